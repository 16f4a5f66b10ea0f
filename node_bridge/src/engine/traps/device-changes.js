import { getAllBinaryNodeChildren, getBinaryNodeChild, getBinaryNodeChildren, isLidUser, isPnUser, jidNormalizedUser } from 'baileys';
import { userOf } from '../addresses.js';
import { intercept } from './intercept.js';

/** @typedef {import('../devices.js').DeviceCache} DeviceCache */

/**
 * A notification that somebody's devices have changed. Baileys changes the list it keeps under the user that is named, most often the number,
 * while ours is kept under the LID that messages go to; and it holds its lock on device lists while it waits for the account's, in which a send
 * waits for the other one: neither would ever go on. Here both lists are forgotten, so that the next message asks. Of our own devices it is
 * told by `account_sync`, in which Baileys looks for other things only.
 * @param {any} sock @param {DeviceCache} devices
 */
export function heedDeviceChanges(sock, devices) {
  intercept(sock.ws, 'CB:notification', (node, next) => {
    if (isOfOwnDevices(node)) return forgetOwn(sock, devices).finally(next);
    if (node.attrs.type !== 'devices') return next();
    forget(sock, devices, node)
      .catch(() => {}) // the socket has closed, or the database is away: then the session ends
      .finally(() => sock.sendMessageAck(node).catch(() => {}));
  });
}

/** @param {any} node */
function isOfOwnDevices(node) {
  return node.attrs.type === 'account_sync' && Boolean(getBinaryNodeChild(node, 'devices'));
}

/** Does not throw. @param {any} sock @param {DeviceCache} devices */
async function forgetOwn({ authState: { creds: { me } } }, devices) {
  const own = [me?.id, me?.lid].filter(Boolean).map(userOf);
  await Promise.allSettled(own.map((user) => devices.del(user)));
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
