import { ClientVersions } from './client-versions.js';
import { Faults, interfere } from './faults.js';
import { Journal } from './events.js';
import { selfSigned } from './media/certificate.js';
import { MediaStore } from './media/store.js';
import { Phones } from './phones/directory.js';
import { greetings } from './phones/history.js';
import { Registry } from './registry.js';
import { Restrictions } from './restrictions.js';
import { Bundles } from './server/bundles.js';
import { LinkCodes } from './server/link-code.js';
import { admit } from './server/login.js';
import { Messages } from './server/messages.js';
import { Pairing } from './server/pairing.js';
import { Queues } from './server/queue.js';
import { Receipts } from './server/receipts.js';
import { answer } from './server/requests/index.js';
import { Sockets } from './server/sockets.js';
import { Statuses } from './server/statuses.js';
import { Switchboard } from './server/switchboard.js';
import { Tokens } from './server/tokens.js';
import { Connection } from './wire/connection.js';
import { makeServerIdentity } from './wire/certificates.js';
import { jidOf, masked } from './wire/jids.js';
import { child, el, seconds } from './wire/nodes.js';

/** @typedef {import('./server/messages.js').LoggedIn} LoggedIn */

/** The network: its parts, and what concerns several of them. */
export class Network {
  identity = makeServerIdentity();
  journal = new Journal();
  faults = new Faults(this.journal);
  clientVersions = new ClientVersions();
  sockets = new Sockets();
  startedAt = Date.now();
  /** host:port, set when the server listens */
  mediaHost = '';
  /** @type {WeakMap<Connection, (() => void)[]>} */
  #onClosed = new WeakMap();

  /** @param {{store: import('./persistence.js').Store, log: import('pino').Logger, directory?: string | undefined, host: string}} parts */
  constructor({ store, log, directory, host }) {
    this.store = store;
    this.log = log;
    this.certificate = keptCertificate(store, host);
    this.media = new MediaStore(directory);
    this.registry = new Registry(store);
    this.queues = new Queues(store);
    this.switchboard = new Switchboard(this);
    this.messages = new Messages(this);
    this.receipts = new Receipts(this);
    this.statuses = new Statuses(this);
    this.bundles = new Bundles(this);
    this.linkCodes = new LinkCodes(this);
    this.pairing = new Pairing(this);
    this.restrictions = new Restrictions(this);
    this.tokens = new Tokens(this);
    this.phones = new Phones(this);
    this.phones.load();
  }

  /** A client has opened a socket. @param {import('ws').WebSocket} ws */
  accept(ws) {
    const conn = new Connection({ ws, identity: this.identity, log: this.log });
    this.sockets.all.add(conn);
    this.journal.count('connections', undefined);
    this.journal.tell('socket.opened', { socket: conn.id });
    conn.onFinish = (payload, noisePublic) => this.#guard(conn, admit(this, conn, payload, noisePublic));
    conn.onNode = (node) => this.#guard(conn, this.#take(conn, node));
    conn.onClose = () => this.#closed(conn);
  }

  /** @param {Connection} conn @param {import('baileys').BinaryNode} node */
  async #take(conn, node) {
    if (node.tag === 'iq') return answer(this, conn, node);
    if (!conn.device) return;
    const member = /** @type {LoggedIn} */ (conn);
    if (node.tag === 'message') return this.messages.take(member, node);
    if (node.tag === 'receipt') return this.receipts.take(member, node);
    if (node.tag === 'ack') return this.receipts.settle(member, node);
    if (node.tag === 'chatstate') return this.#typing(member, node);
    if (node.tag === 'ib') return this.#more(member, node);
  }

  /** A client asks for the next window of what waited for it. @param {LoggedIn} conn @param {import('baileys').BinaryNode} node */
  async #more(conn, node) {
    const batch = child(node, 'offline_batch');
    if (!batch || (await interfere(conn, this.faults.strike({ on: 'backlog', account: conn.device.number }))) === 'stop') return;
    this.switchboard.handOverBacklog(conn, Number(batch.attrs.count) || 0);
  }

  /** @param {LoggedIn} conn @param {import('baileys').BinaryNode} node */
  #typing(conn, node) {
    const to = this.registry.resolve(node.attrs.to)?.account.number;
    const state = Array.isArray(node.content) ? node.content[0]?.tag : undefined;
    this.journal.tell('typing', { account: conn.device.number, to, state });
  }

  /** @param {Connection} conn @param {Promise<unknown>} work */
  #guard(conn, work) {
    work.catch((error) => {
      this.log.error({ err: error, socket: conn.id }, 'cut a socket after an error of the simulator');
      conn.terminate();
    });
  }

  /** @param {Connection} conn */
  #closed(conn) {
    const { device } = conn;
    this.sockets.release(conn);
    this.journal.tell('socket.closed', { socket: conn.id, ...(device ? { account: device.number, device: device.device } : {}) });
    for (const then of this.#onClosed.get(conn) ?? []) then();
  }

  /** @param {Connection} conn @param {() => void} then */
  onClosed(conn, then) {
    const list = this.#onClosed.get(conn) ?? [];
    this.#onClosed.set(conn, list);
    list.push(then);
  }

  /** A device is ready for what waits for it, and gets its history if it is new. @param {LoggedIn} conn */
  async activate(conn) {
    await this.switchboard.activate(conn);
    await this.greet(conn.device);
  }

  /** @param {import('./registry.js').Device} device */
  async greet(device) {
    const phone = this.phones.get(device.number);
    if (device.historySent || !phone?.online) return;
    device.historySent = true;
    this.registry.saveDevice(device);
    for (const message of greetings(this, phone)) await phone.outbox.sendToOwn(device.device, message);
  }

  /** @param {import('./registry.js').Device} device @param {string} reason */
  async unlink(device, reason) {
    const { number, device: id } = device;
    const account = this.registry.account(number);
    this.registry.removeDevice(device);
    this.queues.clear(number, id);
    await this.store.flush();
    this.journal.tell('device.unlinked', { account: number, device: id, reason });
    this.log.info({ account: masked(number), device: id, reason }, 'unlinked');
    this.sockets.of(number, id)?.streamError(401, [el('conflict', { type: 'device_removed' })]);
    if (account) this.announceDevices(account, 'remove', id);
  }

  /** Tells linked devices of the account and of its chats' peers that its device list has changed: peers what, its own what it is now.
   * @param {import('./registry.js').Account} account @param {'add' | 'remove'} change @param {number} device
   */
  announceDevices(account, change, device) {
    const peers = this.phones.get(account.number)?.chats.peers() ?? [];
    for (const number of new Set([account.number, ...peers])) {
      const own = number === account.number;
      const content = own ? this.#deviceList(account) : el(change, { device_hash: '2:sim' }, [el('device', { jid: jidOf(account, 'pn', device) })]);
      const attrs = { from: jidOf(account, 'pn'), type: own ? 'account_sync' : 'devices', id: `devices-${device}-${Date.now()}`, t: seconds() };
      for (const { device: listener } of this.registry.devicesOf(number)) {
        if (!own || listener !== device) void this.switchboard.deliver(number, listener, el('notification', attrs, [content]));
      }
    }
  }

  /** @param {import('./registry.js').Account} account */
  #deviceList(account) {
    const linked = this.registry.devicesOf(account.number).map(({ device, keyIndex }) => ({ device, keyIndex: String(keyIndex) }));
    const devices = [{ device: 0, keyIndex: undefined }, ...linked];
    return el('devices', { dhash: '2:sim' }, devices.map(({ device, keyIndex }) => el('device', { jid: jidOf(account, 'pn', device), 'key-index': keyIndex })));
  }

  /** @param {string} what @param {string | undefined} number */
  badSignature(what, number) {
    this.journal.count('bad_signatures', number);
    this.journal.tell('bad_signature', { account: number, what });
    this.log.warn({ account: number && masked(number), what }, 'a signature does not verify');
  }

  async close() {
    this.phones.close();
    for (const conn of this.sockets.all) conn.terminate();
    await this.store.flush();
    this.store.close();
  }
}


/** The media host's certificate outlives a restart, so that whoever trusts it goes on doing so.
 * @param {import('./persistence.js').Store} store @param {string} host
 */
function keptCertificate(store, host) {
  const certificate = store.get(`certificate/${host}`) ?? selfSigned(host);
  store.put(`certificate/${host}`, certificate);
  return certificate;
}
