import { Lru } from '../lru.js';

/** @typedef {{code: string | null, phash?: string | undefined, at: string}} Ack - `phash`: the server's hash of the devices that the message is for */

const LATE_ONES = 500;
const AFTER_RECEIPT_MS = 1_000;

/** Matches the server's acks to messages. It listens before anything is sent; Baileys tells of errors only, and of acks nothing. */
export class AckBook {
  /** @type {Map<string, (ack: Ack) => void>} */ #awaited = new Map();
  /** @type {Lru<true>} */ #late = new Lru(LATE_ONES);
  #onLate;

  /** @param {{ws: any, onLate: (id: string, ack: Ack) => void}} options */
  constructor({ ws, onLate }) {
    this.#onLate = onLate;
    ws.on('CB:ack,class:message', (/** @type {any} */ node) => this.#take(node.attrs));
  }

  /** @param {string} id @returns {Promise<Ack>} */
  expect(id) {
    return new Promise((resolve) => this.#awaited.set(id, resolve));
  }

  /**
   * A customer's receipt: the server has it, too. An ack that is just behind says more, and is waited for; one that is lost must not hold up
   * what follows.
   * @param {string} id
   */
  arrived(id) {
    const awaited = this.#awaited.get(id);
    if (awaited) setTimeout(awaited, AFTER_RECEIPT_MS, { code: null, at: new Date().toISOString() }).unref();
  }

  /** The send is over. An ack that still comes is told as a late one if `late`. @param {string} id @param {boolean} late */
  release(id, late) {
    this.#awaited.delete(id);
    if (late) this.#late.set(id, true);
  }

  /** @param {Record<string, string>} attrs */
  #take({ id = '', error, phash }) {
    const ack = { code: error ?? null, phash, at: new Date().toISOString() };
    const awaited = this.#awaited.get(id);
    if (awaited) return awaited(ack);
    if (!this.#late.get(id)) return;
    this.#late.delete(id);
    this.#onLate(id, ack);
  }
}
