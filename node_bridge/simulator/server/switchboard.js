import { interfere } from '../faults.js';
import { el } from '../wire/nodes.js';

/** @typedef {import('baileys').BinaryNode} Node */
/** @typedef {import('./messages.js').LoggedIn} LoggedIn */
/** What had waited for a client that came, and how much of it was handed over.
 * @typedef {{waiting: import('./queue.js').Waiting[], handedOver: number}} Backlog
 */

/** How much of what waited a client gets unasked. */
const UNASKED = 5;

/** Hands stanzas over to devices: at once where the device is there, later where it is not.
 * Nothing is handed over before it is on disk.
 */
export class Switchboard {
  #net;

  /** @param {import('../network.js').Network} net */
  constructor(net) {
    this.#net = net;
  }

  /** @param {string} number @param {number} device @param {Node} node @returns {Promise<void>} when it is on disk and handed over */
  async deliver(number, device, node) {
    this.put(number, device, node);
    await this.#net.store.flush();
    this.handOver(number, device);
  }

  /** To every device of an account but those named. @param {string} number @param {Node} node @param {number[]} [except] */
  async deliverToAll(number, node, except = []) {
    const devices = [0, ...this.#net.registry.devicesOf(number).map(({ device }) => device)];
    await Promise.all(devices.filter((device) => !except.includes(device)).map((device) => this.deliver(number, device, node)));
  }

  /** Queues only; whoever calls flushes and hands over. @param {string} number @param {number} device @param {Node} node */
  put(number, device, node) {
    const waiting = this.#net.queues.push(number, device, node);
    const conn = device ? this.#net.sockets.of(number, device) : undefined;
    if (conn?.active) this.#fresh(conn).push(waiting);
  }

  /** @type {WeakMap<import('../wire/connection.js').Connection, import('./queue.js').Waiting[]>} */
  #pending = new WeakMap();
  /** @type {WeakMap<import('../wire/connection.js').Connection, Backlog>} */
  #backlogs = new WeakMap();

  /** @param {import('../wire/connection.js').Connection} conn */
  #fresh(conn) {
    const list = this.#pending.get(conn) ?? [];
    this.#pending.set(conn, list);
    return list;
  }

  /** @param {string} number @param {number} device */
  handOver(number, device) {
    if (device === 0) return void this.#net.phones.get(number)?.wake();
    const conn = this.#net.sockets.of(number, device);
    if (!conn || this.#backlogs.has(conn)) return;
    for (const { node } of this.#fresh(conn).splice(0)) void this.#send(conn, node);
  }

  /** The client is ready: it is told how much has waited for it, and gets the first of it.
   * @param {import('../wire/connection.js').Connection} conn
   */
  async activate(conn) {
    if (!conn.device || conn.active) return;
    const { number, device } = conn.device;
    await this.#net.store.flush();
    conn.active = true;
    const waiting = this.#net.queues.waiting(number, device);
    const count = String(waiting.length);
    const messages = waiting.filter(({ node }) => node.tag === 'message').length;
    conn.send(el('ib', {}, [el('offline_preview', { count, message: String(messages), receipt: '0', notification: '0' })]));
    this.#backlogs.set(conn, { waiting, handedOver: 0 });
    this.handOverBacklog(/** @type {LoggedIn} */ (conn), UNASKED);
  }

  /** What waited comes marked as offline, as much of it as the client asks for; after its end everything comes as it is made.
   * @param {LoggedIn} conn @param {number} most
   */
  handOverBacklog(conn, most) {
    const backlog = this.#backlogs.get(conn);
    if (!backlog) return;
    for (const { node } of backlog.waiting.splice(0, most)) {
      void this.#send(conn, { ...node, attrs: { ...node.attrs, offline: String(backlog.handedOver++) } });
    }
    if (backlog.waiting.length > 0) return;
    this.#backlogs.delete(conn);
    conn.send(el('ib', {}, [el('offline', { count: String(backlog.handedOver) })]));
    this.handOver(conn.device.number, conn.device.device);
  }

  /** @param {import('../wire/connection.js').Connection} conn @param {Node} node */
  async #send(conn, node) {
    if (node.tag === 'receipt' || node.tag === 'notification') {
      const occasion = { account: conn.device?.number, to: this.#net.registry.resolve(node.attrs.from)?.account.number };
      const deed = this.#net.faults.strike({ on: node.tag, id: node.attrs.id, ...occasion });
      if (deed && (await interfere(conn, deed)) === 'stop') return;
    }
    conn.send(node);
    if (node.tag === 'status') this.#net.statuses.expectAck(/** @type {LoggedIn} */ (conn), node);
  }
}
