import { setTimeout as sleep } from 'node:timers/promises';

/** @typedef {import('./spool.js').Spool} Spool */
/** @typedef {import('./spool.js').Batch} Batch */
/** @typedef {import('../log.js').Log} Log */
/** @typedef {'taken' | 'refused' | 'later'} Answer */

const BATCH = 200;
const GATHER_MS = 50; // a receipt can wait that long, and a request for each costs more than all that is in it
const TIMEOUT_MS = 5_000;
const QUICK_MS = [0, 200, 800]; // the pauses before the three quick attempts
const SLOW_MS = [1_000, 2_000, 5_000, 10_000]; // then these, the last one for ever
// What the web side itself says of a batch that it will never take. Whoever else answers 4xx (a proxy, another service at a wrong
// address, the web side to a host name that it does not go by) has not read the events, and they wait.
const NEVER_TAKEN = new Set(['malformed_json', 'invalid_request', 'body_too_large']);

/** Hands the spool's events to the web side, oldest first, until they are taken. */
export class Delivery {
  #stopping = new AbortController();
  /** @type {Promise<void>} */ #running;
  #wake = () => {};
  #said = ''; // the web side, at the last attempt
  #spool;
  #log;
  #url;
  #secret;
  #bridge;

  /** @param {{spool: Spool, log: Log, webUrl: string, secret: string, bridge: string}} options */
  constructor({ spool, log, webUrl, secret, bridge }) {
    this.#spool = spool;
    this.#log = log;
    this.#url = `${webUrl}/internal/bridge/events`;
    this.#secret = secret;
    this.#bridge = bridge;
    this.#running = this.#run();
  }

  /** There is something new in the spool. */
  wake() {
    this.#wake();
  }

  /** Ends the loop; one last attempt is made with what waits. The rest stays on disk. */
  async stop() {
    this.#stopping.abort();
    this.#wake();
    await this.#running;
    const batch = this.#spool.peek(BATCH);
    if (batch && (await this.#post(batch, 1_000)) === 'taken') this.#spool.advance(batch);
    await this.#spool.sync();
  }

  async #run() {
    while (!this.#stopping.signal.aborted) {
      const woken = new Promise((resolve) => (this.#wake = () => resolve(undefined)));
      try {
        if (this.#spool.count === 0) await woken;
        if (this.#spool.count < BATCH) await this.#pause(GATHER_MS);
        const batch = this.#spool.peek(BATCH);
        const aside = batch ? await this.#deliver(batch) : 0;
        if (aside > 0) this.#log.error({ events: aside, of: batch?.lines.length }, 'the web side refuses events: they are put aside in rejected.ndjson');
      } catch (err) {
        this.#log.error({ err }, 'the event spool cannot be read');
        await this.#pause(SLOW_MS[1] ?? 0);
      }
    }
  }

  /** @param {Batch} batch @returns {Promise<number>} how many of its events were put aside */
  async #deliver(batch) {
    for (let attempt = 0; !this.#stopping.signal.aborted; attempt += 1) {
      await this.#pause(QUICK_MS[attempt] ?? jittered(SLOW_MS[Math.min(attempt - QUICK_MS.length, SLOW_MS.length - 1)] ?? 0));
      if (this.#stopping.signal.aborted) return 0;
      const answer = await this.#post(batch, TIMEOUT_MS);
      if (answer === 'refused') return this.#sift(batch);
      if (answer === 'taken') {
        this.#spool.advance(batch);
        return 0;
      }
      if (attempt + 1 >= QUICK_MS.length) await this.#keep(batch, attempt);
    }
    return 0;
  }

  /**
   * One event that cannot be read must not take the others with it: what was refused is sent again in halves, until it is one event alone.
   * @param {Batch} batch @returns {Promise<number>} how many of its events were put aside
   */
  async #sift(batch) {
    const count = batch.lines.length;
    if (count === 1) {
      this.#spool.reject(batch.lines);
      this.#spool.advance(batch);
      return 1;
    }
    let aside = 0;
    for (const most of [Math.ceil(count / 2), Math.floor(count / 2)]) {
      const half = this.#spool.peek(most);
      if (half) aside += await this.#deliver(half);
    }
    return aside;
  }

  /** @param {Batch} batch @param {number} attempt */
  async #keep(batch, attempt) {
    if (attempt + 1 === QUICK_MS.length) {
      this.#log.warn({ events: batch.lines.length, waiting: this.#spool.count, said: this.#said }, 'the web side does not take events: they wait on disk');
    }
    await this.#spool.sync();
  }

  /** @param {Batch} batch @param {number} timeoutMs @returns {Promise<Answer>} */
  async #post(batch, timeoutMs) {
    const body = `{"bridge":${JSON.stringify(this.#bridge)},"events":[${batch.lines.join(',')}]}`;
    try {
      const response = await fetch(this.#url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${this.#secret}` },
        body,
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      });
      const answer = await response.text(); // which frees the connection, too
      this.#said = `HTTP ${response.status} ${codeOf(answer)}`;
      return judge(response.status, answer);
    } catch (error) {
      const { name, cause } = /** @type {Error & {cause?: {code?: string}}} */ (error);
      this.#said = cause?.code ?? name;
      return 'later';
    }
  }

  /** @param {number} ms */
  async #pause(ms) {
    if (ms > 0) await sleep(ms, undefined, { signal: this.#stopping.signal }).catch(() => {});
  }
}

/** @param {number} status @param {string} body @returns {Answer} */
function judge(status, body) {
  if (status >= 200 && status < 300) return 'taken';
  return status === 422 || (status >= 400 && status < 500 && NEVER_TAKEN.has(codeOf(body))) ? 'refused' : 'later';
}

/** @param {string} body @returns {string} */
function codeOf(body) {
  try {
    return String(JSON.parse(body)?.code ?? '');
  } catch {
    return '';
  }
}

/** @param {number} ms */
function jittered(ms) {
  return ms * (0.75 + Math.random() / 2);
}
