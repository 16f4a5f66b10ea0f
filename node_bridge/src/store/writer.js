import { StaleTerm, StoreUnavailable } from '../errors.js';
import { isTransient } from './database.js';

/** @typedef {import('./database.js').Database} Database */
/** @typedef {import('./opening.js').Opening} Opening */
/** @typedef {import('../log.js').Log} Log */
/** @typedef {{address: string, data: Buffer}} Sent */
/** @typedef {{creds?: Buffer, keys?: Map<string, KeyWrite>, sent?: Map<string, Sent>}} Change */
/** @typedef {{kind: string, name: string, data: Buffer | null}} KeyWrite - null deletes */
/** @typedef {{resolve: () => void, reject: (error: Error) => void}} Waiter */
/** @typedef {{opening: Opening, number: number, creds?: Buffer, keys: Map<string, KeyWrite>, sent: Map<string, Sent>, waiters: Waiter[]}} Batch */

const PATIENCE_MS = 10_000;
const MAX_VALUES = 4_000; // in one statement; linking a number alone writes about 812

/**
 * One statement is one transaction. `held` locks the fence of each session at the writer's own term and no higher number; whatever follows joins
 * it, so a session that has been opened again gets nothing written, nor one that has written since. The opener's UPDATE of the same row waits for
 * this lock, and this lock for the opener: what a former opening writes is either seen by the opener or never happens. The same number is the same
 * write: it is repeated when nobody knows whether it was carried out.
 */
const WRITE = `
WITH held AS MATERIALIZED (
  SELECT c.session_id, w.number, w.creds FROM bridge_creds c
  JOIN unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[]) AS w(session_id, term, number, creds)
    ON c.session_id = w.session_id AND c.fence = w.term AND c.written <= w.number
  ORDER BY c.session_id FOR NO KEY UPDATE OF c
), raised AS (
  UPDATE bridge_creds b SET written = h.number, data = COALESCE(h.creds, b.data), updated_at = now()
  FROM held h WHERE b.session_id = h.session_id
), put AS (
  INSERT INTO bridge_key (session_id, kind, name, data)
  SELECT k.session_id, k.kind, k.name, k.data
  FROM unnest($5::uuid[], $6::bigint[], $7::text[], $8::text[], $9::bytea[]) AS k(session_id, number, kind, name, data)
  JOIN held h ON h.session_id = k.session_id AND h.number = k.number
  WHERE k.data IS NOT NULL
  ON CONFLICT (session_id, kind, name) DO UPDATE SET data = EXCLUDED.data
), gone AS (
  DELETE FROM bridge_key b
  USING unnest($5::uuid[], $6::bigint[], $7::text[], $8::text[], $9::bytea[]) AS k(session_id, number, kind, name, data), held h
  WHERE h.session_id = k.session_id AND h.number = k.number AND k.data IS NULL
    AND b.session_id = k.session_id AND b.kind = k.kind AND b.name = k.name
), sent AS (
  INSERT INTO bridge_sent (session_id, wa_id, address, data, written, created_at)
  SELECT s.session_id, s.wa_id, s.address, s.data, s.number, now()
  FROM unnest($10::uuid[], $11::bigint[], $12::text[], $13::text[], $14::bytea[]) AS s(session_id, number, wa_id, address, data)
  JOIN held h ON h.session_id = s.session_id AND h.number = s.number
  ON CONFLICT (session_id, wa_id) DO UPDATE
  SET address = EXCLUDED.address, data = EXCLUDED.data, written = EXCLUDED.written, created_at = EXCLUDED.created_at
)
SELECT session_id::text AS session, number::float8 AS number FROM held`;

/**
 * Commits what many sessions have to write together: while one commit runs, the next group gathers. A session's changes
 * are committed in the order they were given; within a group the last value of a name wins.
 */
export class GroupWriter {
  /** @type {Map<Opening, Batch>} */ #pending = new Map();
  /** @type {Promise<void> | null} */ #running = null;
  #db;
  #log;

  /** @param {{db: Database, log: Log}} options */
  constructor({ db, log }) {
    this.#db = db;
    this.#log = log;
  }

  /** Resolves once the change is committed. @param {Opening} opening @param {Change} change @returns {Promise<void>} */
  write(opening, change) {
    const batch = this.#batch(opening);
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

  /** @param {Opening} opening @returns {Batch} */
  #batch(opening) {
    const batch = this.#pending.get(opening) ?? { opening, number: opening.next(), keys: new Map(), sent: new Map(), waiters: [] };
    this.#pending.set(opening, batch);
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
    for (const [opening, batch] of this.#pending) {
      this.#pending.delete(opening);
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
      const held = new Set(rows.map((row) => `${row.session}:${row.number}`));
      for (const batch of group) {
        settle(batch, held.has(`${batch.opening.session}:${batch.number}`) ? null : new StaleTerm(batch.opening.session, batch.opening.term));
      }
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
  const writes = group.map(({ opening, number, creds }) => [opening.session, opening.term, number, creds ?? null]);
  const keys = group.flatMap((b) => [...b.keys.values()].map((k) => [b.opening.session, b.number, k.kind, k.name, k.data]));
  const sent = group.flatMap((b) => [...b.sent].map(([id, s]) => [b.opening.session, b.number, id, s.address, s.data]));
  return [...columns(writes, 4), ...columns(keys, 5), ...columns(sent, 5)];
}

/** @param {unknown[][]} rows @param {number} count */
function columns(rows, count) {
  return Array.from({ length: count }, (_, at) => rows.map((row) => row[at]));
}
