import { collector, trimmer } from './heap.js';

const WORTH_IT = 50;
const QUIET_MS = 5_000;

/**
 * Gives back the memory that sessions leave when they move elsewhere, and that a storm of logins leaves. V8 collects what is dead when
 * it needs room, and a bridge that has lost most of its sessions needs none for hours; the allocator of C keeps what was freed between
 * two pieces in use: the machine would go on without that memory. A collection takes as long as there is much alive, so one comes only
 * when more sessions have gone than are left; and either comes only when no more of them move.
 */
export class Leavings {
  #gone = 0;
  #moved = 0;
  #left = 0;
  /** @type {NodeJS.Timeout | undefined} */ #timer;
  #collect;
  #trim;
  #quietMs;

  /** @param {{collect?: () => void, trim?: () => void, quietMs?: number}} [options] */
  constructor({ collect = collector(), trim = trimmer(), quietMs = QUIET_MS } = {}) {
    this.#collect = collect;
    this.#trim = trim;
    this.#quietMs = quietMs;
  }

  /** @param {number} left - sessions that are open now */
  opened(left) {
    this.#move(left);
  }

  /** @param {number} left - sessions that are still open */
  closed(left) {
    this.#gone += 1;
    this.#move(left);
  }

  /** @param {number} left */
  #move(left) {
    this.#moved += 1;
    this.#left = left;
    clearTimeout(this.#timer);
    if (this.#moved >= WORTH_IT || this.#mostAreGone) this.#timer = setTimeout(() => this.#run(), this.#quietMs).unref();
  }

  get #mostAreGone() {
    return this.#gone >= WORTH_IT && this.#gone > this.#left;
  }

  #run() {
    this.#moved = 0;
    if (this.#mostAreGone) {
      this.#gone = 0;
      this.#collect();
    }
    setTimeout(this.#trim, this.#quietMs).unref(); // what was collected is freed a turn later
  }
}
