import { randomUUID } from 'node:crypto';
import { Delivery } from './delivery.js';
import { Spool } from './spool.js';

/** @typedef {import('../log.js').Log} Log */
/** @typedef {'message.receipt' | 'message.ack' | 'message.received' | 'number.restricted' | 'number.chat_cap'} EventType */

const ROOM_BYTES = 64 * 1024; // for all but the longest messages
const LOOK_FOR_ROOM_MS = 5_000;

/** What happens on the bridge's side and the web side must hear of. Telling never waits for the web side. */
export class Outbox {
  #seq = 0;
  /** @type {Map<string, () => void>} */ #waiting = new Map();
  /** @type {NodeJS.Timeout | undefined} */ #looking;
  /** @type {Promise<void> | null} */ #closing = null;
  #spool;
  #delivery;

  /** @param {{dir: string, maxBytes: number, webUrl: string, secret: string, log: Log}} options */
  constructor({ dir, maxBytes, webUrl, secret, log }) {
    this.bridge = randomUUID();
    this.#spool = new Spool({ dir, maxBytes, log });
    this.#delivery = new Delivery({ spool: this.#spool, log, webUrl, secret, bridge: this.bridge });
  }

  /**
   * On disk when it returns, or false: then nobody will hear of it.
   * @param {string} session @param {number} term @param {EventType} type @param {Record<string, unknown>} data @returns {boolean}
   */
  tell(session, term, type, data) {
    const event = { id: randomUUID(), seq: ++this.#seq, session, term, type, at: new Date().toISOString(), data };
    const kept = this.#spool.append(JSON.stringify(event));
    if (kept) this.#delivery.wake();
    return kept;
  }

  /** Whether what comes next could be told. */
  get hasRoom() {
    return this.#spool.fits(ROOM_BYTES);
  }

  /** Calls `back` once there is room again; a later call for the same name takes its place. @param {string} name @param {() => void} back */
  whenRoom(name, back) {
    this.#waiting.set(name, back);
    this.#looking ??= setInterval(() => this.#lookForRoom(), LOOK_FOR_ROOM_MS).unref();
  }

  #lookForRoom() {
    if (!this.hasRoom) return;
    clearInterval(this.#looking);
    this.#looking = undefined;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const back of waiting) back();
  }

  /** How many events wait. */
  get waiting() {
    return this.#spool.count;
  }

  async close() {
    clearInterval(this.#looking);
    this.#closing ??= this.#delivery.stop().then(() => this.#spool.close());
    await this.#closing;
  }
}
