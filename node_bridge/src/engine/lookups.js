import { Lru } from '../lru.js';
import { TokenBucket } from './token-bucket.js';

/** @typedef {{burst: number, everyMs: number}} LookupLimit - so many numbers at once, then one every so many ms; 0 ms: any number */

const SIZE = 10_000;
const PRESENT_MS = 24 * 60 * 60 * 1000;
const ABSENT_MS = 6 * 60 * 60 * 1000; // people join

/** Which numbers are on WhatsApp, as one session was told: asking often is itself held against a number. Outlives connections. */
export class Lookups {
  /** @type {Lru<{address: string | null, until: number}>} */ #known = new Lru(SIZE);
  #bucket;

  /** @param {LookupLimit} limit */
  constructor(limit) {
    this.#bucket = new TokenBucket(limit);
  }

  /** @param {string[]} phones @returns {string[]} those of them that may be asked for now, the first ones */
  mayAsk(phones) {
    return phones.slice(0, this.#bucket.take(phones.length));
  }

  /** @param {string} phone @param {number} now @returns {string | null | undefined} its address, null when it is not on WhatsApp, undefined when unknown */
  get(phone, now) {
    const entry = this.#known.get(phone);
    if (entry && entry.until > now) return entry.address;
    this.#known.delete(phone);
    return undefined;
  }

  /** @param {string} phone */
  forget(phone) {
    this.#known.delete(phone);
  }

  /** Forgets what is out of date. @param {number} now */
  sweep(now) {
    for (const [phone, { until }] of this.#known.entries()) if (until <= now) this.#known.delete(phone);
  }

  get size() {
    return this.#known.size;
  }

  /** @param {string} phone @param {string | null} address @param {number} now */
  set(phone, address, now) {
    this.#known.set(phone, { address, until: now + (address ? PRESENT_MS : ABSENT_MS) });
  }
}
