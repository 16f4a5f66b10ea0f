import { QueryError } from '../../errors.js';

/** Linking and unlinking, from the device's side. @type {import('./index.js').Handler} */
export function md({ net, conn, what }) {
  if (what.tag === 'remove-companion-device') return unlink(net, conn);
  if (what.tag !== 'link_code_companion_reg') throw new QueryError(400, 'bad-request');
  return net.linkCodes.take(conn, what);
}

/** @param {import('../../network.js').Network} net @param {import('../messages.js').LoggedIn} conn */
function unlink(net, conn) {
  if (!conn.device) throw new QueryError(401, 'not-authorized');
  setImmediate(() => void net.unlink(conn.device, 'by the device'));
  return [];
}
