import { interfere } from '../../faults.js';
import { QueryError } from '../../errors.js';
import { child, children, el } from '../../wire/nodes.js';
import { account } from './account.js';
import { encrypt } from './encrypt.js';
import { md } from './md.js';
import { mediaConnection } from './media.js';
import { mex } from './mex.js';
import { usync } from './usync.js';

/** @typedef {import('baileys').BinaryNode} Node */
/** What a handler gets: `what` is the iq's first child.
 * @typedef {{net: import('../../network.js').Network, conn: import('../messages.js').LoggedIn, iq: Node, what: Node}} Query
 */
/** @typedef {(query: Query) => Node[] | Promise<Node[]>} Handler */

/** @type {Record<string, Handler>} */
const HANDLERS = { ...account, encrypt, md, usync, 'w:m': mediaConnection, 'w:mex': mex };

/** What a client may ask before it is linked. */
const UNLINKED = ['md', 'w:p'];

/** Answers one iq of a client.
 * @param {import('../../network.js').Network} net @param {import('../../wire/connection.js').Connection} conn @param {Node} iq
 */
export async function answer(net, conn, iq) {
  const { id, xmlns = '', to } = iq.attrs;
  const account = conn.device?.number;
  net.journal.count(xmlns === 'w:p' ? 'pings' : 'queries', account);
  net.journal.countAsked(xmlns, account);
  const asks = children(child(children(iq)[0], 'query')).map(({ tag }) => tag);
  const deed = net.faults.strike({ on: 'query', account, xmlns, asks, id });
  if ((await interfere(conn, deed)) === 'stop') return;
  try {
    if (deed?.action === 'iq_error') throw new QueryError(Number(deed.code), deed.text ?? 'error');
    const content = without(deed?.tags ?? [], await handle(net, conn, iq, xmlns));
    await net.store.flush();
    conn.send(el('iq', { from: to, type: 'result', id }, content.length ? content : undefined));
  } catch (error) {
    if (!(error instanceof QueryError)) net.log.error({ err: error, xmlns }, 'a query failed');
    const { code, message } = error instanceof QueryError ? error : new QueryError(500, 'internal-server-error');
    conn.send(el('iq', { from: to, type: 'error', id }, [el('error', { code: String(code), text: message })]));
  }
}

/** @param {import('../../network.js').Network} net @param {import('../../wire/connection.js').Connection} conn @param {Node} iq @param {string} xmlns */
async function handle(net, conn, iq, xmlns) {
  const handler = HANDLERS[xmlns];
  const what = children(iq)[0] ?? el('nothing');
  if (!handler) {
    net.journal.count('unknown_queries', conn.device?.number);
    net.log.info({ xmlns, what: what.tag }, 'a query the simulator does not know');
    throw new QueryError(501, 'feature-not-implemented');
  }
  if (!conn.device && !UNLINKED.includes(xmlns)) throw new QueryError(401, 'not-authorized');
  return handler({ net, conn: /** @type {import('../messages.js').LoggedIn} */ (conn), iq, what });
}

/** What is left of an answer without these tags, however deep they stand. @param {string[]} tags @param {Node[]} nodes @returns {Node[]} */
function without(tags, nodes) {
  if (tags.length === 0) return nodes;
  const left = nodes.filter(({ tag }) => !tags.includes(tag));
  return left.map((node) => (Array.isArray(node.content) ? { ...node, content: without(tags, node.content) } : node));
}
