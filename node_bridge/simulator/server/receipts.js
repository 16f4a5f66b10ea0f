import { jidOf } from '../wire/jids.js';
import { children, childrenOf, el, seconds } from '../wire/nodes.js';

/** @typedef {import('baileys').BinaryNode} Node */
/** @typedef {import('./messages.js').LoggedIn} LoggedIn */

/** Types that say only that a message has arrived on a device. */
const ARRIVED = [undefined, 'inactive', 'sender', 'peer_msg', 'retry'];

/** Receipts and acks of linked devices: what they settle, and who is told. */
export class Receipts {
  #net;
  /** @type {WeakMap<LoggedIn, Set<string>>} */
  #asked = new WeakMap();

  /** @param {import('../network.js').Network} net */
  constructor(net) {
    this.#net = net;
  }

  /** @param {LoggedIn} conn @param {Node} node */
  async take(conn, node) {
    const { id, to, type } = node.attrs;
    conn.send(el('ack', { class: 'receipt', id, type, from: to }));
    const { number, device } = conn.device;
    const ids = [id, ...childrenOf(children(node)[0], 'item').map((item) => item.attrs.id)];
    if (ARRIVED.includes(type)) {
      for (const each of ids) this.#net.queues.settle(number, device, (n) => n.tag === 'message' && n.attrs.id === each);
    }
    if (type === 'retry') this.#askedAgain(conn, String(id));
    const target = this.#net.registry.resolve(type === 'sender' ? undefined : to);
    if (!target || type === 'peer_msg' || type === 'hist_sync') return;
    await this.#forward(conn, node, target);
  }

  /**
   * @param {LoggedIn} conn
   * @param {Node} node
   * @param {{account: import('../registry.js').Account, device: number, mode: import('../wire/jids.js').Mode}} target
   */
  async #forward(conn, node, { account, device, mode }) {
    const { type, id, t = seconds(), recipient } = node.attrs;
    const own = /** @type {import('../registry.js').Account} */ (this.#net.registry.account(conn.device.number));
    const from = jidOf(own, mode, conn.device.device);
    if (type === 'retry') return this.#net.switchboard.deliver(account.number, device, { ...node, attrs: { id: String(id), type, t, from } });
    const arrived = type === 'inactive' ? undefined : type;
    const stanza = { ...el('receipt', { id, type: arrived, t, from, recipient }), ...(node.content ? { content: node.content } : {}) };
    if (type !== 'read-self') await this.#net.switchboard.deliverToAll(account.number, stanza);
    // The reader's other devices learn that the chat was read.
    if (type === 'read' || type === 'read-self') {
      const copy = { ...stanza, attrs: { ...stanza.attrs, recipient: jidOf(account, mode) } };
      await this.#net.switchboard.deliverToAll(own.number, copy, [conn.device.device]);
    }
  }

  /** @param {LoggedIn} conn @param {string} id */
  #askedAgain(conn, id) {
    this.#net.journal.count('retry_receipts', conn.device.number);
    const ids = this.#asked.get(conn) ?? new Set();
    this.#asked.set(conn, ids.add(id));
  }

  /** A client confirms a stanza. @param {LoggedIn} conn @param {Node} ack */
  settle(conn, ack) {
    const { number, device } = conn.device;
    const { class: tag, id, to, type, error } = ack.attrs;
    if (tag === 'message' && error) this.#net.journal.tell('message.nacked', { account: number, id, error });
    // The nack that follows a retry receipt is for what that receipt has settled, not for the answer that may wait by now.
    if (tag === 'message' && this.#asked.get(conn)?.delete(String(id))) return;
    this.#net.queues.settle(number, device, (node) =>
      node.tag === tag && node.attrs.id === id && node.attrs.from === to && (tag === 'message' || node.attrs.type === type));
  }
}

