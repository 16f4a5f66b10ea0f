/** @typedef {{tag: string, attrs: Record<string, string>}} Stanza */

const REMEMBERED = 1_000;

/**
 * Baileys #1910: a message that decrypts is answered by a receipt but never by an `<ack class="message">`, and after some days
 * the server ends the stream with the error "ack". Failed ones are acked by Baileys itself.
 * @param {any} sock
 * @returns {(key: {id?: string | null}) => void} to be called with the key of every message that decrypted
 */
export function ackMessages(sock) {
  /** @type {Map<string, Stanza>} */
  const waiting = new Map();
  sock.ws.on('CB:message', (/** @type {any} */ node) => {
    waiting.set(node.attrs.id, { tag: node.tag, attrs: node.attrs });
    if (waiting.size > REMEMBERED) waiting.delete(/** @type {string} */ (waiting.keys().next().value));
  });
  return (key) => {
    const node = waiting.get(key.id ?? '');
    waiting.delete(key.id ?? '');
    if (node) sock.sendMessageAck(node).catch(() => {}); // the socket has closed: the server will send it again
  };
}
