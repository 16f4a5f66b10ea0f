import { getBinaryNodeChild } from 'baileys';
import { intercept } from './intercept.js';

const OF_THE_NAME = 'critical_block';

/**
 * A notification that the phone has changed its settings: a chat was opened, archived or pinned, a contact saved. Baileys asks for them under the account's lock, for which
 * what customers write waits, and writes the whole collection anew. Nothing here wants them but the number's own name; the others are acked and left.
 * @param {any} sock
 */
export function leaveSettings(sock) {
  intercept(sock.ws, 'CB:notification', (node, next) => {
    const { type } = node.attrs;
    if (type !== 'server_sync' || getBinaryNodeChild(node, 'collection')?.attrs.name === OF_THE_NAME) return next();
    sock.sendMessageAck(node).catch(() => {});
  });
}
