/** What waits for a device until the device says that it has it.
 * @typedef {{seq: number, node: import('baileys').BinaryNode}} Waiting
 */

/** Stanzas on their way to devices, phones included. Kept on disk until the device has taken them. */
export class Queues {
  #store;
  #seq = 0;
  /** @type {Map<string, Map<number, Waiting>>} */
  #queues = new Map();

  /** @param {import('../persistence.js').Store} store */
  constructor(store) {
    this.#store = store;
    for (const [key, node] of store.all('queue/')) {
      const [, number, device, seq] = /** @type {[string, string, string, string]} */ (key.split('/'));
      this.#seq = Math.max(this.#seq, Number(seq));
      this.#queue(number, Number(device)).set(Number(seq), { seq: Number(seq), node });
    }
  }

  /** @param {string} number @param {number} device @param {import('baileys').BinaryNode} node @returns {Waiting} */
  push(number, device, node) {
    const waiting = { seq: ++this.#seq, node };
    this.#queue(number, device).set(waiting.seq, waiting);
    this.#store.put(key(number, device, waiting.seq), node);
    return waiting;
  }

  /** @param {string} number @param {number} device @returns {Waiting[]} oldest first */
  waiting(number, device) {
    return [...(this.#queues.get(`${number}/${device}`)?.values() ?? [])];
  }

  /** @param {string} number @param {number} device @returns {Waiting | undefined} the oldest */
  first(number, device) {
    return this.#queues.get(`${number}/${device}`)?.values().next().value;
  }

  /** @param {string} number @param {number} device @param {number} seq */
  take(number, device, seq) {
    this.#queues.get(`${number}/${device}`)?.delete(seq);
    this.#store.delete(key(number, device, seq));
  }

  /** Takes the oldest stanza that fits. @param {string} number @param {number} device @param {(node: import('baileys').BinaryNode) => boolean} fits */
  settle(number, device, fits) {
    for (const { seq, node } of this.#queues.get(`${number}/${device}`)?.values() ?? []) {
      if (fits(node)) return this.take(number, device, seq);
    }
  }

  /** @param {string} number @param {number} device */
  clear(number, device) {
    for (const { seq } of this.waiting(number, device)) this.take(number, device, seq);
  }

  /** @param {string} number @param {number} device */
  #queue(number, device) {
    const name = `${number}/${device}`;
    const queue = this.#queues.get(name) ?? new Map();
    this.#queues.set(name, queue);
    return queue;
  }
}

/** @param {string} number @param {number} device @param {number} seq */
const key = (number, device, seq) => `queue/${number}/${device}/${String(seq).padStart(12, '0')}`;
