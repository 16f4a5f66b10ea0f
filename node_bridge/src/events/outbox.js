import { randomUUID } from 'node:crypto';
import { Delivery } from './delivery.js';
import { Spool } from './spool.js';

/** @typedef {import('../log.js').Log} Log */
/** @typedef {'message.receipt' | 'message.ack' | 'message.received' | 'number.restricted' | 'number.chat_cap'} EventType */

/** What happens on the bridge's side and the web side must hear of. Telling never waits for the web side. */
export class Outbox {
  #seq = 0;
  /** @type {Promise<void> | null} */ #closing = null;
  #spool;
  #delivery;

  /** @param {{dir: string, maxBytes: number, webUrl: string, secret: string, log: Log}} options */
  constructor({ dir, maxBytes, webUrl, secret, log }) {
    this.bridge = randomUUID();
    this.#spool = new Spool({ dir, maxBytes, log });
    this.#delivery = new Delivery({ spool: this.#spool, log, webUrl, secret, bridge: this.bridge });
  }

  /** On disk when it returns. @param {string} session @param {number} term @param {EventType} type @param {Record<string, unknown>} data */
  tell(session, term, type, data) {
    const event = { id: randomUUID(), seq: ++this.#seq, session, term, type, at: new Date().toISOString(), data };
    if (this.#spool.append(JSON.stringify(event))) this.#delivery.wake();
  }

  /** How many events wait. */
  get waiting() {
    return this.#spool.count;
  }

  async close() {
    this.#closing ??= this.#delivery.stop().then(() => this.#spool.close());
    await this.#closing;
  }
}
