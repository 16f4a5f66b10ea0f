import { normalizeMessageContent, proto, unpadRandomMax16 } from 'baileys';

/** @param {Buffer} padded @returns {proto.Message} */
export const parseMessage = (padded) => proto.Message.decode(unpadRandomMax16(padded));

const { MESSAGE_EDIT } = proto.Message.ProtocolMessage.Type;

/** Other words for a message that was sent. @param {{jid: string, id: string, text: string}} of @returns {proto.IMessage} */
export function edited({ jid, id, text }) {
  const protocolMessage = { key: { remoteJid: jid, fromMe: true, id }, type: MESSAGE_EDIT, editedMessage: { conversation: text }, timestampMs: Date.now() };
  return { editedMessage: { message: { protocolMessage } } };
}

/** @param {proto.IMessage | null | undefined} message @returns {{id: string, text: string} | undefined} */
export function editOf(message) {
  const { type, key, editedMessage } = normalizeMessageContent(message ?? undefined)?.protocolMessage ?? {};
  return type === MESSAGE_EDIT ? { id: key?.id ?? '', text: contentOf(editedMessage)?.text ?? '' } : undefined;
}

/** A picture that may be looked at once. @param {string} caption @returns {proto.IMessage} */
export const viewedOnce = (caption) => ({ viewOnceMessageV2: { message: { imageMessage: { caption, viewOnce: true } } } });

/** What a phone's screen would show of a message; undefined for those that only phones talk among themselves.
 * @param {proto.IMessage | null | undefined} message
 * @returns {{kind: string, text: string, media?: Media | undefined} | undefined}
 */
export function contentOf(message) {
  const content = normalizeMessageContent(message ?? undefined);
  if (!content || content.protocolMessage || content.senderKeyDistributionMessage) return undefined;
  const plain = content.conversation || content.extendedTextMessage?.text;
  if (plain) return { kind: 'text', text: plain };
  return mediaOf(content) ?? otherOf(content);
}

/** @typedef {{mediaKey: Uint8Array, directPath: string, fileSha256: Uint8Array, mimetype: string, type: MediaType}} Media */
/** @typedef {'image' | 'video' | 'audio' | 'document' | 'sticker'} MediaType */

const MEDIA = /** @type {const} */ ({
  image: 'imageMessage', video: 'videoMessage', audio: 'audioMessage', document: 'documentMessage', sticker: 'stickerMessage',
});

/** @param {proto.IMessage} content */
function mediaOf(content) {
  for (const [type, field] of /** @type {[MediaType, typeof MEDIA[MediaType]][]} */ (Object.entries(MEDIA))) {
    const found = /** @type {any} */ (content[field]);
    if (!found) continue;
    const { mediaKey, directPath, fileSha256, mimetype } = found;
    const media = mediaKey && directPath ? { mediaKey, directPath, fileSha256, mimetype, type } : undefined;
    return { kind: type, text: found.caption || found.fileName || '', media };
  }
  return undefined;
}

/** @param {proto.IMessage} content */
function otherOf(content) {
  const { reactionMessage: reaction, locationMessage: place, contactMessage: contact } = content;
  if (reaction) return { kind: 'reaction', text: reaction.text ?? '' };
  if (place) return { kind: 'location', text: place.name || `${place.degreesLatitude}, ${place.degreesLongitude}` };
  if (contact) return { kind: 'contact', text: contact.displayName ?? '' };
  return { kind: 'other', text: '' };
}
