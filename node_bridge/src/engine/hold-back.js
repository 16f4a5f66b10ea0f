import { isForeign, isOwnUser, userOf } from './addresses.js';
import { readReceipt } from './receipts.js';
import { intercept } from './traps/intercept.js';

/**
 * What cannot be told is left with the server: a receipt or a customer's message for which the disk has no room is not handed to Baileys, so it is never
 * acked, and comes again with the next login. A message must not even be decrypted before: its key can be used once.
 * @param {any} sock
 * @param {{tellReceipt: (data: Record<string, unknown>) => boolean, onArrived: (id: string) => void, hasRoom: () => boolean, onHeldBack: () => void}} options
 */
export function holdBack(sock, { tellReceipt, onArrived, hasRoom, onHeldBack }) {
  // Before Baileys' own listener, so that it is on disk before the receipt is acked.
  intercept(sock.ws, 'CB:receipt', (node, next) => {
    const receipts = isOfNoCustomer(sock, node) ? [] : readReceipt(node);
    for (const { id } of receipts) onArrived(id);
    return receipts.every(tellReceipt) ? next() : onHeldBack();
  });
  intercept(sock.ws, 'CB:message', (node, next) => (isOfNoCustomer(sock, node) || hasRoom() ? next() : onHeldBack()));
}

/** @param {any} sock @param {any} node */
function isOfNoCustomer(sock, { attrs: { from } }) {
  return isForeign(from) || isOwnUser(sock.authState.creds.me, userOf(from));
}
