import { getBinaryNodeChild, S_WHATSAPP_NET } from 'baileys';

/** The server may ask whether we are there. Baileys does not answer. @param {any} sock */
export function answerPings(sock) {
  sock.ws.on('CB:iq,type:get', (/** @type {any} */ node) => {
    const { id, from, xmlns } = node.attrs;
    if (xmlns !== 'urn:xmpp:ping' && !getBinaryNodeChild(node, 'ping')) return;
    sock.sendNode({ tag: 'iq', attrs: { to: from ?? S_WHATSAPP_NET, type: 'result', id } }).catch(() => {});
  });
}
