import pg from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import { onNobodysAccount } from '../attribution.js';
import { StoreUnavailable } from '../errors.js';

/** @typedef {import('../log.js').Log} Log */

const STATEMENT_TIMEOUT_MS = 5_000;
const RETRY_PAUSE_MS = 250;
const TRANSIENT_STATES = /^(08...|57P0[123]|53300|40001|40P01|55P03|57014|25006)$/;
const TRANSIENT_SYSTEM = /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN)$/;
const TRANSIENT_TEXT = /timeout|terminated|Connection ended|not queryable/i;

/**
 * PostgreSQL, with a time limit on everything. A statement that could not be carried out because the database was away is
 * tried again until its patience is used up, then `StoreUnavailable`; statements given here must bear being repeated.
 */
export class Database {
  #pool;

  /** @param {{url: string, connections: number, log: Log}} options */
  constructor({ url, connections, log }) {
    this.#pool = new pg.Pool({
      connectionString: url,
      max: connections,
      application_name: 'restaurant-wa bridge',
      connectionTimeoutMillis: 5_000,
      idleTimeoutMillis: 60_000,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      query_timeout: STATEMENT_TIMEOUT_MS + 1_000, // when the network swallowed the answer
      keepAlive: true,
      options: '-c plan_cache_mode=force_generic_plan', // planning took four times as long as reading a key did
    });
    // An idle connection that breaks emits here; unheard, it would end the process.
    this.#pool.on('error', (err) => log.warn({ err }, 'an idle database connection broke'));
  }

  /**
   * @param {string} sql @param {unknown[]} values @param {{patienceMs: number, name?: string}} options
   * @returns {Promise<any[]>}
   */
  async query(sql, values, { patienceMs, name }) {
    const giveUpAt = performance.now() + patienceMs;
    for (;;) {
      try {
        return (await onNobodysAccount(() => this.#pool.query({ text: sql, values, name }))).rows;
      } catch (error) {
        if (!isTransient(error)) throw error;
        if (performance.now() + RETRY_PAUSE_MS > giveUpAt) throw new StoreUnavailable(`the database is away: ${/** @type {Error} */ (error).message}`);
        await sleep(RETRY_PAUSE_MS);
      }
    }
  }

  async close() {
    await this.#pool.end();
  }
}

/** @param {unknown} error @returns {boolean} */
export function isTransient(error) {
  const { code, message } = /** @type {{code?: string, message?: string}} */ (error ?? {});
  if (error instanceof AggregateError) return true; // every address of the host refused
  if (code) return TRANSIENT_STATES.test(code) || TRANSIENT_SYSTEM.test(code);
  return TRANSIENT_TEXT.test(message ?? '');
}
