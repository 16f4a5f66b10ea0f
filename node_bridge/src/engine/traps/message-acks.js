import { isJidMetaAI } from 'baileys';
import { isForeign, userOf } from '../addresses.js';

/** @typedef {{tag: string, attrs: Record<string, string>}} Stanza */

const REMEMBERED = 20_000; // a number that was away has thousands come in at once, and each waits for those before it

/**
 * Baileys #1910: a message that decrypts is answered by a receipt but never by an `<ack class="message">`, and after some days
 * the server ends the stream with the error "ack". Failed ones are acked by Baileys itself, and foreign ones, before anybody hears of them.
 * @param {any} sock
 * @returns {(key: {id?: string | null, remoteJid?: string | null}, decrypted: boolean) => void} to be called with the key of every message that comes out
 */
export function ackMessages(sock) {
  /** @type {Map<string, Stanza>} */
  const waiting = new Map();
  sock.ws.on('CB:message', (/** @type {Stanza} */ { tag, attrs }) => {
    if (isForeign(attrs.from ?? '')) return;
    waiting.set(nameOf(chatOf(attrs), attrs.id), { tag, attrs });
    if (waiting.size > REMEMBERED) waiting.delete(/** @type {string} */ (waiting.keys().next().value));
  });
  return (key, decrypted) => {
    const name = nameOf(key.remoteJid, key.id);
    const node = waiting.get(name);
    waiting.delete(name);
    if (node && decrypted) sock.sendMessageAck(node).catch(() => {}); // the socket has closed: the server will send it again
  };
}

/** Two customers may use one id. @param {string | null | undefined} chat @param {string | null | undefined} id */
const nameOf = (chat, id) => `${userOf(chat ?? '')} ${id}`;

/** As Baileys finds the chat of a message: what another device of ours has written belongs to whom it was for. @param {Record<string, string>} attrs */
const chatOf = ({ from, recipient }) => (recipient && !isJidMetaAI(recipient) ? recipient : from);
