/** So many at once, then one every `everyMs`, on a clock that nobody sets; with 0 ms any number. */
export class TokenBucket {
  #burst;
  #everyMs;
  #now;
  #tokens;
  #filledAt;

  /** @param {{burst: number, everyMs: number, now?: () => number}} options - milliseconds */
  constructor({ burst, everyMs, now = () => performance.now() }) {
    this.#burst = this.#tokens = burst;
    this.#everyMs = everyMs;
    this.#now = now;
    this.#filledAt = now();
  }

  /** @param {number} wanted @returns {number} how many of them there are; these are gone then */
  take(wanted) {
    if (this.#everyMs === 0) return wanted;
    this.#fill();
    const taken = Math.min(wanted, Math.floor(this.#tokens));
    this.#tokens -= taken;
    return taken;
  }

  #fill() {
    const now = this.#now();
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#filledAt) / this.#everyMs);
    this.#filledAt = now;
  }
}
