import { Lru } from '../lru.js';

/**
 * @typedef {{code: string | null, phash?: string | undefined, staleLid?: boolean, at: string}} Ack - `phash`: the server's hash of the devices that the
 *   message is for; `staleLid`: it went to a LID that is its number's no more
 */
/** @typedef {{take: (ack: Ack) => void, over: Promise<unknown>, end: () => void}} Turn */

const LATE_ONES = 500;
const AFTER_RECEIPT_MS = 1_000;

/** @type {WeakMap<object, AckBook>} */
const books = new WeakMap();

/** Matches the server's acks to what was sent. It listens before anything is; Baileys tells of errors only, and of acks nothing. */
export class AckBook {
  /** One that comes when the send is over. @type {(id: string, ack: Ack) => void} */ onLate = () => {};
  /** @type {Map<string, Turn>} */ #turns = new Map();
  /** @type {Lru<true>} */ #late = new Lru(LATE_ONES);

  /** The one book of a socket. @param {any} ws @returns {AckBook} */
  static of(ws) {
    const book = books.get(ws) ?? new AckBook(ws);
    books.set(ws, book);
    return book;
  }

  /** @param {any} ws */
  constructor(ws) {
    ws.on('CB:ack,class:message', (/** @type {any} */ node) => this.#take(node.attrs));
  }

  /**
   * Waits until nothing else that was sent under this id awaits its ack: the answer to a retry receipt bears the message's own id, and nothing
   * tells their acks apart. Whoever has the turn releases it.
   * @param {string} id @returns {Promise<{acked: Promise<Ack>}>}
   */
  async turn(id) {
    for (let other = this.#turns.get(id); other; other = this.#turns.get(id)) await other.over;
    let [take, end] = [(/** @type {Ack} */ _ack) => {}, () => {}];
    const acked = new Promise((/** @type {(ack: Ack) => void} */ resolve) => (take = resolve));
    const over = new Promise((resolve) => (end = () => resolve(undefined)));
    this.#turns.set(id, { take, over, end });
    return { acked };
  }

  /**
   * A device has it, read or not: so has the server. An ack that is just behind says more, and is waited for; one that is lost must not hold up what
   * follows.
   * @param {string} id
   */
  arrived(id) {
    const turn = this.#turns.get(id);
    if (turn) setTimeout(turn.take, AFTER_RECEIPT_MS, { code: null, at: new Date().toISOString() }).unref();
  }

  /** It is over. An ack that still comes is told as a late one if `late`. @param {string} id @param {boolean} late */
  release(id, late) {
    this.#turns.get(id)?.end();
    this.#turns.delete(id);
    if (late) this.#late.set(id, true);
  }

  /** @param {Record<string, string>} attrs */
  #take({ id = '', error, phash, refresh_lid: refreshLid }) {
    const ack = { code: error ?? null, phash, staleLid: refreshLid === 'true', at: new Date().toISOString() };
    const turn = this.#turns.get(id);
    if (turn) return turn.take(ack);
    if (!this.#late.get(id)) return;
    this.#late.delete(id);
    this.onLate(id, ack);
  }
}
