import { ControlError } from '../errors.js';
import { jidOf } from '../wire/jids.js';
import { el, seconds } from '../wire/nodes.js';
import { Chats, present } from './chats.js';
import { Inbox } from './inbox.js';
import { PhoneKeys } from './keys.js';
import { Outbox } from './outbox.js';

/**
 * @typedef {{online: boolean, delivery_receipts: boolean, read_receipts: 'manual' | 'auto' | 'off', read_delay_ms: number,
 *   addressing: 'pn' | 'lid'}} Settings
 */

/** @type {Settings} */
const DEFAULTS = { online: true, delivery_receipts: true, read_receipts: 'manual', read_delay_ms: 800, addressing: 'pn' };

/** A virtual phone: device 0 of its number. It really decrypts what it shows, and really encrypts what is typed on it. */
export class Phone {
  #net;
  #inbox;
  #work = Promise.resolve();
  #draining = false;
  #closed = false;
  /** @type {Set<NodeJS.Timeout>} */
  #readings = new Set();

  /** @param {import('../network.js').Network} net @param {import('../registry.js').Account} account */
  constructor(net, account) {
    this.#net = net;
    this.account = account;
    /** @type {Settings} */
    this.settings = { ...DEFAULTS, ...net.store.get(`settings/${account.number}`) };
    this.keys = new PhoneKeys(account.number, net.store);
    this.chats = new Chats(account.number, net.store);
    this.outbox = new Outbox(net, this);
    this.#inbox = new Inbox(net, this);
  }

  get number() {
    return this.account.number;
  }

  get online() {
    return this.settings.online && !this.#closed;
  }

  /** Goes on where it was before the network was restarted. */
  resume() {
    for (const message of this.chats.shown()) if (!message.from_me && message.status !== 'read') this.#planToRead(message);
    for (const device of this.#net.registry.devicesOf(this.number)) if (this.#net.sockets.of(this.number, device.device)?.active) void this.#net.greet(device);
    this.wake();
  }

  /** @param {{name?: string, settings?: Partial<Settings>}} changes */
  change({ name, settings }) {
    if (name !== undefined) this.account.name = name;
    Object.assign(this.settings, settings);
    this.#net.registry.save(this.account);
    this.#net.store.put(`settings/${this.number}`, this.settings);
    if (this.online) this.resume();
  }

  /** One thing at a time: the ratchets stand on it.
   * @template T
   * @param {() => Promise<T>} job
   * @returns {Promise<T>}
   */
  run(job) {
    const done = this.#work.then(job);
    this.#work = done.then(() => {}, () => {});
    return done;
  }

  /** Something waits for the phone: it takes it when it is online. */
  wake() {
    if (!this.online || this.#draining) return;
    this.#draining = true;
    void this.run(() => this.#drain());
  }

  async #drain() {
    for (let next = this.#next(); next; next = this.#next()) {
      await this.#inbox.receive(next.node).catch((error) => this.#net.log.error({ err: error }, 'a phone failed over a stanza'));
      this.#net.queues.take(this.number, 0, next.seq);
    }
    this.#draining = false;
  }

  #next() {
    return this.online ? this.#net.queues.first(this.number, 0) : undefined;
  }

  /** Shows a message, and answers it as the settings say.
   * @param {Parameters<Chats['show']>[0]} arrived @param {string} [name]
   */
  show(arrived, name) {
    const { message, isNew } = this.chats.show(arrived, name);
    const { journal } = this.#net;
    if (!isNew) journal.count('duplicates', this.number);
    journal.tell(isNew ? 'message.shown' : 'message.copy', { account: this.number, message: present(message) });
    if (isNew && !message.from_me) this.#planToRead(message);
    return message;
  }

  /** @param {string} chat @param {string} id @param {import('./chats.js').Status} status */
  raise(chat, id, status) {
    const message = this.chats.raise(chat, id, status);
    if (message) this.#net.journal.tell('message.status', { account: this.number, chat: `+${chat}`, id, status });
  }

  /** @param {string} chat @param {{id: string, text: string}} edit @returns {boolean} whether there was such a message */
  reword(chat, { id, text }) {
    const message = this.chats.reword(chat, id, text);
    if (message) this.#net.journal.tell('message.edited', { account: this.number, message: present(message) });
    return Boolean(message);
  }

  /** The person opens the chat. @param {string} peer @returns {Promise<number>} how many messages were read */
  async read(peer) {
    const unread = this.chats.open(peer);
    if (!this.online) throw new ControlError(409, 'offline', 'the phone is offline');
    for (const message of unread) await this.#readOne(message);
    return unread.length;
  }

  /** @param {import('./chats.js').Message} message */
  #planToRead(message) {
    if (this.settings.read_receipts !== 'auto') return;
    const timer = setTimeout(() => {
      this.#readings.delete(timer);
      if (!this.online || message.status === 'read') return;
      this.chats.open(message.chat);
      void this.#readOne(message);
    }, this.settings.read_delay_ms);
    this.#readings.add(timer);
  }

  /** @param {import('./chats.js').Message} message */
  async #readOne(message) {
    this.raise(message.chat, message.id, 'read');
    if (this.settings.read_receipts !== 'off') await this.receipt(message, 'read');
  }

  /** @param {import('./chats.js').Message} message @param {'read'} [type] delivered when left out */
  async receipt({ chat, id, via }, type) {
    const from = jidOf(this.account, via.mode);
    await this.#net.switchboard.deliverToAll(chat, el('receipt', { id, from, type, t: seconds() }));
  }

  close() {
    this.#closed = true;
    for (const timer of this.#readings) clearTimeout(timer);
  }

  erase() {
    this.close();
    this.chats.erase();
    this.keys.erase();
    this.outbox.erase();
    this.#net.queues.clear(this.number, 0);
    this.#net.store.delete(`settings/${this.number}`);
  }
}
