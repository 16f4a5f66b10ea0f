import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const WORTH_IT = 50;
const QUIET_MS = 5_000;

/**
 * Gives back the memory of sessions that have moved elsewhere. V8 collects what is dead when it needs room, and a bridge that has lost
 * most of its sessions needs none for hours: the machine would go on without that memory. A collection takes as long as there is
 * much alive, so one comes only when more sessions have gone than are left, and when no more go.
 */
export class Leavings {
  #gone = 0;
  /** @type {NodeJS.Timeout | undefined} */ #timer;
  #collect;
  #quietMs;

  /** @param {{collect?: () => void, quietMs?: number}} [options] */
  constructor({ collect = collector(), quietMs = QUIET_MS } = {}) {
    this.#collect = collect;
    this.#quietMs = quietMs;
  }

  /** @param {number} left - sessions that are still open */
  closed(left) {
    this.#gone += 1;
    clearTimeout(this.#timer);
    if (this.#gone >= WORTH_IT && this.#gone > left) this.#timer = setTimeout(() => this.#run(), this.#quietMs).unref();
  }

  #run() {
    this.#gone = 0;
    this.#collect();
  }
}

/** A usual collection keeps the pages it has freed; one of the last resort gives them to the system. @returns {() => void} */
function collector() {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  return () => collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
