import { randomUUID } from 'node:crypto';
import { Delivery } from './delivery.js';
import { Spool } from './spool.js';

/** @typedef {import('../log.js').Log} Log */
/** @typedef {'message.receipt' | 'message.ack' | 'message.received' | 'number.restricted' | 'number.chat_cap'} EventType */

const ROOM_BYTES = 64 * 1024; // for all but the longest messages
const LOOK_FOR_ROOM_MS = 5_000;
const ADOPT_EVERY_MS = 10_000;
const MOST_IN_MEMORY = 200;
const LONGEST_IN_MEMORY = 1024 * 1024; // the spool would never take more

/** What happens on the bridge's side and the web side must hear of. Telling never waits for the web side. */
export class Outbox {
  #seq = 0;
  /** @type {string[]} what was under way when the disk had no more room, and cannot be had again */ #overflow = [];
  /** @type {Map<string, () => void>} */ #waiting = new Map();
  /** @type {NodeJS.Timeout | undefined} */ #looking;
  /** @type {Promise<void> | null} */ #closing = null;
  #adopting;
  #spool;
  #delivery;
  #log;

  /** @param {{dir: string, maxBytes: number, webUrl: string, secret: string, log: Log}} options */
  constructor({ dir, maxBytes, webUrl, secret, log }) {
    this.bridge = randomUUID();
    this.#log = log;
    this.#spool = new Spool({ dir, maxBytes, log });
    this.#delivery = new Delivery({ spool: this.#spool, log, webUrl, secret, bridge: this.bridge });
    this.#adopting = setInterval(() => this.#adopt(), ADOPT_EVERY_MS).unref();
  }

  /**
   * On disk when it returns; without room there, in memory; without room there, either, it is false, and nobody will hear of it. Receipts are
   * only ever kept on disk, since the server keeps them, too.
   * @param {string} session @param {number} term @param {EventType} type @param {Record<string, unknown>} data @returns {boolean}
   */
  tell(session, term, type, data) {
    const event = { id: randomUUID(), seq: ++this.#seq, session, term, type, at: new Date().toISOString(), data };
    return this.#keep(JSON.stringify(event)) || (type !== 'message.receipt' && this.#remember(session, type, JSON.stringify(event)));
  }

  /** Whether what comes next could be told. */
  get hasRoom() {
    return this.#spool.fits(ROOM_BYTES);
  }

  /** Calls `back` once there is room again; a later call for the same name takes its place. @param {string} name @param {() => void} back */
  whenRoom(name, back) {
    this.#waiting.set(name, back);
    if (this.#looking) return;
    this.#log.error({ waiting: this.waiting }, "no room for events: receipts and customers' messages are left with WhatsApp until there is");
    this.#looking = setInterval(() => this.#lookForRoom(), LOOK_FOR_ROOM_MS).unref();
  }

  /** How many events wait. */
  get waiting() {
    return this.#spool.count + this.#overflow.length;
  }

  async close() {
    this.#closing ??= this.#end();
    await this.#closing;
  }

  async #end() {
    this.#flush();
    await this.#delivery.stop();
    this.#flush(); // the last delivery may have made room
    if (this.#overflow.length > 0) this.#log.error({ events: this.#overflow.length }, 'events are dropped: neither disk nor web side took them');
    clearInterval(this.#looking);
    clearInterval(this.#adopting);
    this.#spool.close();
  }

  /** The worker moves here what others have left that have ended for good. */
  #adopt() {
    try {
      if (this.#spool.adopt()) this.#delivery.wake();
    } catch (err) {
      this.#log.warn({ err }, 'the directory of the event spool cannot be read');
    }
  }

  /** @param {string} line @returns {boolean} */
  #keep(line) {
    const kept = this.#spool.append(line);
    if (kept) this.#delivery.wake();
    return kept;
  }

  /** @param {string} session @param {EventType} type @param {string} line @returns {boolean} */
  #remember(session, type, line) {
    if (this.#overflow.length >= MOST_IN_MEMORY || Buffer.byteLength(line) >= LONGEST_IN_MEMORY) {
      this.#log.error({ session, type }, 'an event is dropped: neither disk nor memory has room');
      return false;
    }
    this.#overflow.push(line);
    this.whenRoom('overflow', () => this.#flush());
    return true;
  }

  #flush() {
    this.#overflow = this.#overflow.filter((line) => !this.#keep(line));
    if (this.#overflow.length > 0) this.whenRoom('overflow', () => this.#flush());
  }

  #lookForRoom() {
    if (!this.hasRoom) return;
    this.#log.info('there is room for events again');
    clearInterval(this.#looking);
    this.#looking = undefined;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const back of waiting) back();
  }
}
