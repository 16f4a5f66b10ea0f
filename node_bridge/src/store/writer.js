import { StaleTerm, StoreUnavailable } from '../errors.js';
import { isTransient } from './database.js';

/** @typedef {import('./database.js').Database} Database */
/** @typedef {import('../log.js').Log} Log */
/** @typedef {{address: string, data: Buffer}} Sent */
/** @typedef {{creds?: Buffer, keys?: Map<string, KeyWrite>, sent?: Map<string, Sent>}} Change */
/** @typedef {{kind: string, name: string, data: Buffer | null}} KeyWrite - null deletes */
/** @typedef {{resolve: () => void, reject: (error: Error) => void}} Waiter */
/** @typedef {{session: string, term: number, creds?: Buffer, keys: Map<string, KeyWrite>, sent: Map<string, Sent>, waiters: Waiter[]}} Batch */

const PATIENCE_MS = 10_000;
const MAX_VALUES = 4_000; // in one statement; linking a number alone writes about 812

/**
 * One statement is one transaction. `held` locks the fence of each session at the writer's own term; whatever follows joins
 * it, so a session that a higher term has opened gets nothing written. The opener's UPDATE of the same row waits for this
 * lock, and this lock for the opener: a write under a lower term is either seen by the opener or never happens.
 */
const WRITE = `
WITH held AS MATERIALIZED (
  SELECT c.session_id, c.fence FROM bridge_creds c
  JOIN unnest($1::uuid[], $2::bigint[]) AS w(session_id, term) ON c.session_id = w.session_id AND c.fence = w.term
  ORDER BY c.session_id FOR NO KEY UPDATE OF c
), put AS (
  INSERT INTO bridge_key (session_id, kind, name, data)
  SELECT k.session_id, k.kind, k.name, k.data
  FROM unnest($3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::bytea[]) AS k(session_id, term, kind, name, data)
  JOIN held h ON h.session_id = k.session_id AND h.fence = k.term
  WHERE k.data IS NOT NULL
  ON CONFLICT (session_id, kind, name) DO UPDATE SET data = EXCLUDED.data
), gone AS (
  DELETE FROM bridge_key b
  USING unnest($3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::bytea[]) AS k(session_id, term, kind, name, data), held h
  WHERE h.session_id = k.session_id AND h.fence = k.term AND k.data IS NULL
    AND b.session_id = k.session_id AND b.kind = k.kind AND b.name = k.name
), creds AS (
  UPDATE bridge_creds b SET data = c.data, updated_at = now()
  FROM unnest($8::uuid[], $9::bigint[], $10::bytea[]) AS c(session_id, term, data)
  JOIN held h ON h.session_id = c.session_id AND h.fence = c.term
  WHERE b.session_id = c.session_id
), sent AS (
  INSERT INTO bridge_sent (session_id, wa_id, address, data, created_at)
  SELECT s.session_id, s.wa_id, s.address, s.data, now()
  FROM unnest($11::uuid[], $12::bigint[], $13::text[], $14::text[], $15::bytea[]) AS s(session_id, term, wa_id, address, data)
  JOIN held h ON h.session_id = s.session_id AND h.fence = s.term
  ON CONFLICT (session_id, wa_id) DO UPDATE SET address = EXCLUDED.address, data = EXCLUDED.data, created_at = EXCLUDED.created_at
)
SELECT session_id::text AS session, fence::float8 AS term FROM held`;

/**
 * Commits what many sessions have to write together: while one commit runs, the next group gathers. A session's changes
 * are committed in the order they were given; within a group the last value of a name wins.
 */
export class GroupWriter {
  /** @type {Map<string, Batch>} */ #pending = new Map();
  /** @type {Promise<void> | null} */ #running = null;
  #db;
  #log;

  /** @param {{db: Database, log: Log}} options */
  constructor({ db, log }) {
    this.#db = db;
    this.#log = log;
  }

  /** Resolves once the change is committed. @param {string} session @param {number} term @param {Change} change @returns {Promise<void>} */
  write(session, term, change) {
    const batch = this.#batch(session, term);
    if (change.creds) batch.creds = change.creds;
    for (const [at, key] of change.keys ?? []) batch.keys.set(at, key);
    for (const [id, sent] of change.sent ?? []) batch.sent.set(id, sent);
    const written = new Promise((resolve, reject) => batch.waiters.push({ resolve: () => resolve(undefined), reject }));
    this.#running ??= this.#run();
    return /** @type {Promise<void>} */ (written);
  }

  /** Resolves when nothing waits to be written. */
  async idle() {
    while (this.#running) await this.#running;
  }

  /** @param {string} session @param {number} term @returns {Batch} */
  #batch(session, term) {
    const at = `${session}:${term}`;
    const batch = this.#pending.get(at) ?? { session, term, keys: new Map(), sent: new Map(), waiters: [] };
    this.#pending.set(at, batch);
    return batch;
  }

  async #run() {
    await null; // lets everything written in this turn of the event loop join the first group
    while (this.#pending.size > 0) await this.#commit(this.#take());
    this.#running = null;
  }

  /** @returns {Batch[]} */
  #take() {
    const group = [];
    let values = 0;
    for (const [at, batch] of this.#pending) {
      this.#pending.delete(at);
      group.push(batch);
      values += batch.keys.size + batch.sent.size;
      if (values >= MAX_VALUES) break;
    }
    return group;
  }

  /** @param {Batch[]} group */
  async #commit(group) {
    try {
      const rows = await this.#db.query(WRITE, parameters(group), { patienceMs: PATIENCE_MS, name: 'write' });
      const held = new Set(rows.map((row) => `${row.session}:${row.term}`));
      for (const batch of group) settle(batch, held.has(`${batch.session}:${batch.term}`) ? null : new StaleTerm(batch.session, batch.term));
    } catch (error) {
      await this.#fail(group, error);
    }
  }

  /** One session's value that PostgreSQL refuses must not fail its neighbours. @param {Batch[]} group @param {unknown} error */
  async #fail(group, error) {
    if (group.length > 1 && !(error instanceof StoreUnavailable) && !isTransient(error)) {
      for (const batch of group) await this.#commit([batch]);
      return;
    }
    this.#log.error({ err: error, sessions: group.length }, 'a write to the database failed');
    const reason = error instanceof StoreUnavailable ? error : new StoreUnavailable('a write to the database failed');
    for (const batch of group) settle(batch, reason);
  }
}

/** @param {Batch} batch @param {Error | null} error */
function settle(batch, error) {
  for (const waiter of batch.waiters) error ? waiter.reject(error) : waiter.resolve();
}

/** @param {Batch[]} group @returns {unknown[][]} the arrays of WRITE, in its order */
function parameters(group) {
  const keys = group.flatMap((b) => [...b.keys.values()].map((k) => [b.session, b.term, k.kind, k.name, k.data]));
  const creds = group.flatMap((b) => (b.creds ? [[b.session, b.term, b.creds]] : []));
  const sent = group.flatMap((b) => [...b.sent].map(([id, s]) => [b.session, b.term, id, s.address, s.data]));
  const fences = group.map((b) => [b.session, b.term]);
  return [...columns(fences, 2), ...columns(keys, 5), ...columns(creds, 3), ...columns(sent, 5)];
}

/** @param {unknown[][]} rows @param {number} count */
function columns(rows, count) {
  return Array.from({ length: count }, (_, at) => rows.map((row) => row[at]));
}
