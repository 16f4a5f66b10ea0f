const TICK_MS = 500; // seldom: a process that has nothing to do pays for waking up

/**
 * For how long this bridge may act. Whoever started it may freeze, or lose the right to its sessions, and others claim them: so from the
 * first `renew` on it lets go by itself when it is not renewed in time. Before that it may act for ever.
 *
 * Timers come late in a process that was frozen: whoever is about to act asks `held`, which looks at the clock.
 */
export class Lease {
  #until = Infinity;
  #ranOut = false;
  #ticks = { last: performance.now(), before: performance.now() };
  #ticking = setInterval(() => this.#tick(), TICK_MS).unref();
  /** @type {NodeJS.Timeout | undefined} */ #end;
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
   * knows, but the timer did as well: that much is taken off, and up to a tick more. After a standstill the timer comes first; what
   * waited meanwhile is read before it comes again.
   * @param {number} goodForMs - 0 ends it now @returns {boolean} whether it is held now
   */
  renew(goodForMs) {
    this.held();
    const now = performance.now();
    const waited = Math.max(0, now - this.#ticks.before - TICK_MS);
    this.#until = now + goodForMs - waited;
    if (this.#until > now) this.#ranOut = false;
    clearTimeout(this.#end);
    if (!this.#ranOut) this.#watch();
    return this.held();
  }

  close() {
    clearInterval(this.#ticking);
    clearTimeout(this.#end);
  }

  /** Until its end; a timer may come a moment early. */
  #watch() {
    this.#end = setTimeout(() => this.held() && this.#watch(), this.#until - performance.now()).unref();
  }

  #tick() {
    this.#ticks = { last: performance.now(), before: this.#ticks.last };
    this.held();
  }
}
