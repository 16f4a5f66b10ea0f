import { getContentType, jidNormalizedUser, normalizeMessageContent, proto } from 'baileys';
import { isForeign, lidOf, phoneOf } from './addresses.js';
import { isoOf } from './times.js';

const MAX_TEXT = 65_536;

/** @type {Record<string, string>} */
const KINDS = {
  conversation: 'text',
  extendedTextMessage: 'text',
  imageMessage: 'image',
  videoMessage: 'video',
  audioMessage: 'audio',
  documentMessage: 'document',
  stickerMessage: 'sticker',
  locationMessage: 'location',
  liveLocationMessage: 'location',
  contactMessage: 'contact',
  contactsArrayMessage: 'contact',
  reactionMessage: 'reaction',
  buttonsResponseMessage: 'reply',
  listResponseMessage: 'reply',
  templateButtonReplyMessage: 'reply',
};
const VIEW_ONCE = 'viewOnceMessage'; // only the phone gets what is in it
const { MESSAGE_EDIT } = proto.Message.ProtocolMessage.Type;
const NOT_TOLD = new Set(['protocolMessage', 'senderKeyDistributionMessage', 'messageContextInfo']);

/** @typedef {import('../lru.js').Lru<true>} Seen */

/** Turns what customers write into events, each message once: the server may deliver it again. */
export class Inbound {
  #seen;
  #tell;

  /** @param {{seen: Seen, tell: (data: Record<string, unknown>) => boolean}} options */
  constructor({ seen, tell }) {
    this.#seen = seen;
    this.#tell = tell;
  }

  /** @param {any} message - a decrypted message of the engine @param {boolean} offline - it waited while we were away */
  take(message, offline) {
    const { content, edits } = wordsOf(message.message);
    const type = message.key.isViewOnce ? VIEW_ONCE : getContentType(content);
    if (!type || NOT_TOLD.has(type) || message.key.fromMe || isForeign(message.key.remoteJid)) return;
    const data = { ...describe(message, content ?? {}, type), ...(edits ? { edits } : {}) };
    const once = `${data.chat} ${data.sender} ${data.id}`;
    if (this.#seen.get(once)) return;
    if (this.#tell({ ...data, offline })) this.#seen.set(once, true);
  }
}

/** Of an edit the new words, and the id of the message whose place they take. @param {any} message */
function wordsOf(message) {
  const content = normalizeMessageContent(message);
  const edit = content?.protocolMessage?.type === MESSAGE_EDIT ? content.protocolMessage : undefined;
  return edit ? { content: normalizeMessageContent(edit.editedMessage), edits: edit.key?.id } : { content, edits: undefined };
}

/** @param {any} message @param {any} content @param {string} type */
function describe({ key, pushName, messageTimestamp }, content, type) {
  const chat = jidNormalizedUser(key.remoteJid);
  const addresses = [key.remoteJid, key.remoteJidAlt, key.participant, key.participantAlt];
  return {
    id: key.id,
    chat,
    sender: jidNormalizedUser(key.participant || key.remoteJid),
    phone: addresses.map(phoneOf).find(Boolean),
    lid: addresses.map(lidOf).find(Boolean),
    name: pushName ?? '',
    kind: KINDS[type] ?? 'other',
    text: textOf(content, type).slice(0, MAX_TEXT),
    sent_at: isoOf(messageTimestamp) ?? new Date().toISOString(),
  };
}

/** @param {any} content @param {string} type @returns {string} */
function textOf(content, type) {
  const part = content[type];
  if (typeof part === 'string') return part;
  return part?.text ?? part?.caption ?? part?.selectedDisplayText ?? part?.title ?? '';
}
