const TICK_MS = 100;
const TICKS = 10; // after a standstill, what waited in it is read within so many

/**
 * For how long this bridge may act. Whoever started it may freeze, or lose the right to its sessions, and others claim them: so from the
 * first `renew` on it lets go by itself when it is not renewed in time. Before that it may act for ever.
 *
 * Timers come late in a process that was frozen: whoever is about to act asks `held`, which looks at the clock.
 */
export class Lease {
  #until = Infinity;
  #ranOut = false;
  #ticks = Array.from({ length: TICKS }, (_, at) => performance.now() - (TICKS - at) * TICK_MS); // when they came, oldest first
  #timer = setInterval(() => this.#tick(), TICK_MS).unref();
  #onEnd;

  /** @param {() => void} onEnd - called each time it runs out; whatever it does at once is done before anything else */
  constructor(onEnd) {
    this.#onEnd = onEnd;
  }

  /** @returns {boolean} */
  held() {
    if (!this.#ranOut && performance.now() >= this.#until) {
      this.#ranOut = true;
      this.#onEnd();
    }
    return !this.#ranOut;
  }

  /**
   * A lease that ran out before has ended what it covered all the same. How long the request waited while the process stood still nobody
   * knows, but the timer did as well: that much is taken off.
   * @param {number} goodForMs - 0 ends it now @returns {boolean} whether it is held now
   */
  renew(goodForMs) {
    this.held();
    const now = performance.now();
    const waited = Math.max(0, now - (this.#ticks[0] ?? now) - TICKS * TICK_MS);
    this.#until = now + goodForMs - waited;
    if (this.#until > now) this.#ranOut = false;
    return this.held();
  }

  close() {
    clearInterval(this.#timer);
  }

  #tick() {
    this.#ticks = [...this.#ticks.slice(1), performance.now()];
    this.held();
  }
}
