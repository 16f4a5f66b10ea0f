import { interfere } from '../faults.js';
import { jidOf, masked } from '../wire/jids.js';
import { el, seconds } from '../wire/nodes.js';

/** @typedef {import('../wire/connection.js').Connection} Connection */

/** Somebody has shaken hands: a device that wants to log in, or one that wants to be linked.
 * @param {import('../network.js').Network} net @param {Connection} conn
 * @param {import('baileys').proto.ClientPayload} payload @param {Buffer} noisePublic
 */
export async function admit(net, conn, payload, noisePublic) {
  if (!net.clientVersions.admits(payload)) return refuse(net, conn, String(payload.username ?? ''), 405);
  if (payload.devicePairingData) return net.pairing.begin(conn, payload.devicePairingData, noisePublic);
  const number = String(payload.username ?? '');
  if ((await interfere(conn, net.faults.strike({ on: 'connect', account: number }))) === 'stop') return;
  const device = net.registry.device(number, payload.device ?? 0);
  if (!device?.noisePublic.equals(noisePublic)) return refuse(net, conn, number, 401);
  const deed = net.faults.strike({ on: 'login', account: number });
  if (deed?.action === 'failure') net.journal.count('logins_failed', number);
  if ((await interfere(conn, deed)) === 'stop') return;
  if (conn.isOpen) welcome(net, conn, device);
}

/** 401: this device is not linked; 405: its client is too old.
 * @param {import('../network.js').Network} net @param {Connection} conn @param {string} number @param {401 | 405} code
 */
function refuse(net, conn, number, code) {
  net.journal.count('logins_failed', net.registry.account(number) && number);
  net.journal.tell('login.failed', { account: number, code });
  net.log.info({ account: masked(number), code }, 'a device was not let in');
  conn.fail({ reason: String(code), location: 'sim' });
}

/** @param {import('../network.js').Network} net @param {Connection} conn @param {import('../registry.js').Device} device */
function welcome(net, conn, device) {
  const account = /** @type {import('../registry.js').Account} */ (net.registry.account(device.number));
  net.sockets.claim(conn, device);
  net.journal.count('logins', device.number);
  net.journal.tell('login', { account: device.number, device: device.device });
  conn.send(el('success', { t: seconds(), lid: jidOf(account, 'lid', device.device), location: 'sim', display_name: account.name || undefined }));
}
