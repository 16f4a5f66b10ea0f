import { getAllBinaryNodeChildren, getBinaryNodeChildren, isLidUser, isPnUser, jidNormalizedUser } from 'baileys';
import { userOf } from '../addresses.js';
import { intercept } from './intercept.js';

/** @typedef {import('../devices.js').DeviceCache} DeviceCache */

/**
 * A notification that somebody's devices have changed. Baileys changes the list it keeps under the user that is named, most often the number,
 * while ours is kept under the LID that messages go to; and it holds its lock on device lists while it waits for the account's, in which a send
 * waits for the other one: neither would ever go on. Here both lists are forgotten, so that the next message asks.
 * @param {any} sock @param {DeviceCache} devices
 */
export function heedDeviceChanges(sock, devices) {
  intercept(sock.ws, 'CB:notification', (node, next) => {
    if (node.attrs.type !== 'devices') return next();
    forget(sock, devices, node)
      .catch(() => {}) // the socket has closed, or the database is away: then the session ends
      .finally(() => sock.sendMessageAck(node).catch(() => {}));
  });
}

/** @param {any} sock @param {DeviceCache} devices @param {any} node */
async function forget(sock, devices, node) {
  const from = jidNormalizedUser(node.attrs.from);
  const users = new Set([from, await otherAddress(sock, from)].filter(Boolean).map((jid) => userOf(/** @type {string} */ (jid))));
  await Promise.all([...users].map((user) => devices.del(user)));
  const gone = getAllBinaryNodeChildren(node).filter(({ tag }) => tag === 'remove').flatMap((child) => getBinaryNodeChildren(child, 'device'));
  const jids = gone.map(({ attrs }) => attrs.jid).filter(Boolean);
  if (jids.length > 0) await sock.signalRepository.deleteSession(jids);
}

/** @param {any} sock @param {string} jid @returns {Promise<string | null | undefined>} the LID of a number, the number of a LID */
async function otherAddress({ signalRepository: { lidMapping } }, jid) {
  if (isLidUser(jid)) return lidMapping.getPNForLID(jid);
  return isPnUser(jid) ? lidMapping.getLIDForPN(jid) : null;
}
