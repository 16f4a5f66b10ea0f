import { Lru } from '../lru.js';
import { Lookups } from './lookups.js';

const SEEN = 2_000;
const HASHES = 1_000;
const MOVED = 1_000;
const SESSIONS = 10_000;
const KEPT_MS = 24 * 60 * 60 * 1000; // after its close; by then nothing that was said of numbers holds any more

/** What is worth knowing about a session beyond one connection of it, in this process only. */
export class SessionMemory {
  /** @type {Lru<true>} the inbound messages that were told */ seen = new Lru(SEEN);
  /** @type {Lru<string>} by address, what the server last said of the devices there and here */ deviceHashes = new Lru(HASHES);
  /** @type {Lru<string>} by LID that is its number's no more, the one that is */ moved = new Lru(MOVED);

  /** @param {import('./lookups.js').LookupLimit} lookupLimit */
  constructor(lookupLimit) {
    this.lookups = new Lookups(lookupLimit);
  }
}

/** The memories of the sessions that are open, and of those that have closed within the last day. */
export class Memories {
  /** @type {Lru<{memory: SessionMemory, closedAt: number | null}>} */ #all = new Lru(SESSIONS);
  #lookupLimit;
  #now;

  /** @param {{lookupLimit: import('./lookups.js').LookupLimit, now?: () => number}} options - the clock that `Lookups` goes by */
  constructor({ lookupLimit, now = Date.now }) {
    this.#lookupLimit = lookupLimit;
    this.#now = now;
  }

  /**
   * Of a session that is being opened. One that is being linked begins anew: the LIDs of the numbers it had looked up are gone with its keys.
   * @param {string} id @param {boolean} linking @returns {SessionMemory}
   */
  of(id, linking) {
    const memory = (linking ? undefined : this.#all.get(id)?.memory) ?? new SessionMemory(this.#lookupLimit);
    this.#all.set(id, { memory, closedAt: null });
    return memory;
  }

  /** @param {string} id */
  closed(id) {
    const entry = this.#all.get(id);
    if (entry) entry.closedAt = this.#now();
  }

  /** To be called now and then: nothing is forgotten by itself. */
  sweep() {
    const now = this.#now();
    for (const [id, { memory, closedAt }] of this.#all.entries()) {
      if (closedAt !== null && now - closedAt > KEPT_MS) this.#all.delete(id);
      else memory.lookups.sweep(now);
    }
  }

  get size() {
    return this.#all.size;
  }
}
