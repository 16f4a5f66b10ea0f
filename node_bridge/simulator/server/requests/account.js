import { QueryError } from '../../errors.js';
import { childrenOf, el } from '../../wire/nodes.js';

const PRIVACY = {
  readreceipts: 'all', last: 'all', online: 'all', profile: 'all', status: 'all', groupadd: 'all', calladd: 'all', messages: 'all', defense: 'off',
};

/** Whether clients attach a contact's trusted-contact token to their messages. */
const PROPS = { 10518: 'true' };

const nothing = () => [];

/** The small questions about the own account, by xmlns. @type {Record<string, import('./index.js').Handler>} */
export const account = {
  'w:p': nothing,
  'w:stats': nothing,
  'urn:xmpp:whatsapp:dirty': nothing,
  disappearing_mode: nothing,
  status: nothing,
  passive: async ({ net, conn, what }) => {
    if (what.tag === 'active') setImmediate(() => void net.activate(conn));
    return [];
  },
  abt: () => [el('props', { hash: 'simulated' }, Object.entries(PROPS).map(([config_code, config_value]) => el('prop', { config_code, config_value })))],
  blocklist: () => [el('list', { dhash: 'simulated' })],
  privacy: (query) => (query.iq.attrs.type === 'set' ? giveTokens(query) : [privacy()]),
  'w:g2': () => [el('groups')],
  'w:profile:picture': () => {
    throw new QueryError(404, 'item-not-found');
  },
  'w:sync:app:state': ({ what }) => [el('sync', {}, childrenOf(what, 'collection').map(collection))],
};

const privacy = () => el('privacy', {}, Object.entries(PRIVACY).map(([name, value]) => el('category', { name, value })));

/** @param {import('./index.js').Query} query */
function giveTokens({ net, conn, what }) {
  const giver = net.registry.account(conn.device.number);
  for (const token of childrenOf(what, 'token')) {
    const receiver = net.registry.resolve(token.attrs.jid)?.account;
    if (giver && receiver) net.tokens.give(giver, receiver);
  }
  return [];
}

/** Nothing is kept of a client's settings: each collection is as new as the client's own, or one newer when it has patched it.
 * @param {import('baileys').BinaryNode} asked
 */
function collection(asked) {
  const patched = childrenOf(asked, 'patch').length;
  return el('collection', { name: asked.attrs.name, version: String(Number(asked.attrs.version ?? 0) + patched), type: 'result' });
}
