import { EventEmitter } from 'node:events';
import { e164 } from './wire/jids.js';

const KEPT = 20_000;

/** @typedef {{n: number, at: string, type: string} & Record<string, unknown>} NetworkEvent */

const COUNTERS = /** @type {const} */ ([
  'connections', 'logins', 'logins_failed', 'pairings', 'qr_shown', 'messages', 'acks', 'duplicates', 'decrypt_failures',
  'old_counters', 'retry_receipts', 'bad_signatures', 'queries', 'pings', 'unknown_queries', 'inbound', 'faults',
]);
/** @typedef {typeof COUNTERS[number]} Counter */

/** What happens in the network, numbered, and counted for everybody and by account. */
export class Journal {
  #n = 0;
  /** @type {NetworkEvent[]} */
  #kept = [];
  #bus = new EventEmitter().setMaxListeners(0);
  #total = zeros();
  /** @type {Map<string, Record<Counter, number>>} */
  #byAccount = new Map();
  /** @type {Map<string, Record<string, number>>} */
  #asked = new Map();

  /** @param {string} type @param {Record<string, unknown>} data */
  tell(type, data) {
    const event = { n: ++this.#n, at: new Date().toISOString(), type, ...data, ...numbers(data) };
    this.#kept.push(event);
    if (this.#kept.length > KEPT * 1.2) this.#kept.splice(0, this.#kept.length - KEPT);
    this.#bus.emit('event', event);
  }

  /** @param {Counter} counter @param {string | undefined} number */
  count(counter, number) {
    this.#total[counter]++;
    if (!number) return;
    const own = this.#byAccount.get(number) ?? zeros();
    own[counter]++;
    this.#byAccount.set(number, own);
  }

  /** A query, by what it is about. @param {string} xmlns @param {string | undefined} number */
  countAsked(xmlns, number = '') {
    const own = this.#asked.get(number) ?? {};
    own[xmlns] = (own[xmlns] ?? 0) + 1;
    this.#asked.set(number, own);
  }

  /** @param {number} n @returns {NetworkEvent[]} what is still kept of everything after event n */
  since(n) {
    const first = this.#kept[0]?.n ?? 0;
    return this.#kept.slice(Math.max(0, n + 1 - first));
  }

  get last() {
    return this.#n;
  }

  /** @param {(event: NetworkEvent) => void} listener @returns {() => void} stops it */
  listen(listener) {
    this.#bus.on('event', listener);
    return () => void this.#bus.off('event', listener);
  }

  stats() {
    const accounts = [...this.#byAccount].map(([number, counters]) => [e164(number), { ...counters, asked: this.#asked.get(number) ?? {} }]);
    return { ...this.#total, accounts: Object.fromEntries(accounts) };
  }
}

function zeros() {
  return /** @type {Record<Counter, number>} */ (Object.fromEntries(COUNTERS.map((name) => [name, 0])));
}

/** Accounts are digits inside, E.164 outside. @param {Record<string, unknown>} data */
function numbers(data) {
  const named = ['account', 'to'].filter((key) => /^\d+$/.test(String(data[key] ?? '')));
  return Object.fromEntries(named.map((key) => [key, e164(String(data[key]))]));
}
