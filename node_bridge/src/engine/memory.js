import { Lru } from '../store/lru.js';
import { Lookups } from './lookups.js';

const SEEN = 2_000;

/** What is worth knowing about a session beyond one connection of it, in this process only. */
export class SessionMemory {
  /** @type {Lru<true>} the inbound messages that were told */ seen = new Lru(SEEN);

  /** @param {import('./lookups.js').LookupLimit} lookupLimit */
  constructor(lookupLimit) {
    this.lookups = new Lookups(lookupLimit);
  }
}
