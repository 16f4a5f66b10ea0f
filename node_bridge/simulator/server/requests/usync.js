import { digits, jidOf } from '../../wire/jids.js';
import { child, children, childrenOf, el, text } from '../../wire/nodes.js';

/** @typedef {import('baileys').BinaryNode} Node */
/** @typedef {import('../../registry.js').Account} Account */

/** Who is on WhatsApp, under which hidden id, with which devices. @type {import('./index.js').Handler} */
export function usync({ net, what }) {
  const protocols = children(child(what, 'query')).map(({ tag }) => tag);
  const users = childrenOf(child(what, 'list'), 'user').map((user) => answerFor(net, user, protocols));
  const { sid, index, last, mode, context } = what.attrs;
  return [el('usync', { sid, index, last, mode, context }, [el('result', {}, protocols.map((tag) => el(tag))), el('list', {}, users)])];
}

/** @param {import('../../network.js').Network} net @param {Node} user @param {string[]} protocols */
function answerFor(net, user, protocols) {
  const asked = user.attrs.jid;
  const phone = digits(text(child(user, 'contact')));
  const account = asked ? net.registry.resolve(asked)?.account : net.registry.account(phone);
  const jid = asked ?? `${phone}@s.whatsapp.net`;
  return el('user', { jid }, protocols.flatMap((tag) => result(net, tag, { account, byLid: jid.endsWith('@lid') })));
}

/** @param {import('../../network.js').Network} net @param {string} protocol @param {{account: Account | undefined, byLid: boolean}} who @returns {Node[]} */
function result(net, protocol, { account, byLid }) {
  switch (protocol) {
    case 'contact':
      return [el('contact', { type: account ? 'in' : 'out' })];
    case 'devices':
      return [el('devices', {}, [el('device-list', {}, account ? deviceList(net, account) : [])])];
    case 'lid':
      // Asked by LID, there is nothing to add; a LID that maps to itself is refused by clients.
      return account && !byLid ? [el('lid', { val: jidOf(account, 'lid') })] : [];
    default:
      return [];
  }
}

/** @param {import('../../network.js').Network} net @param {Account} account */
function deviceList(net, { number }) {
  const linked = net.registry.devicesOf(number).map(({ device, keyIndex }) => el('device', { id: String(device), 'key-index': String(keyIndex) }));
  return [el('device', { id: '0' }), ...linked];
}
