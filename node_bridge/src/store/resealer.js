import { setTimeout as sleep } from 'node:timers/promises';
import { firstLine } from '../errors.js';
import { boundTo } from './keyring.js';

/** @typedef {import('./database.js').Database} Database */
/** @typedef {import('./keyring.js').KeyRing} KeyRing */
/** @typedef {import('../log.js').Log} Log */
/** @typedef {{kind: string, name: string}} Place */
/** @typedef {{session: string, term: number, ended: AbortSignal}} Task */

const AT_ONCE = 100;
const PAUSE_MS = 25;
const PATIENCE_MS = 5_000;

const FIND = `
SELECT 'creds'::text AS kind, 'creds'::text AS name FROM bridge_creds WHERE session_id = $1 AND substr(data, 1, $2) <> $3
UNION ALL SELECT kind, name FROM bridge_key WHERE session_id = $1 AND substr(data, 1, $2) <> $3
UNION ALL SELECT 'sent', wa_id FROM bridge_sent WHERE session_id = $1 AND substr(data, 1, $2) <> $3`;

const READ = `
SELECT p.kind, p.name, CASE p.kind
  WHEN 'creds' THEN (SELECT c.data FROM bridge_creds c WHERE c.session_id = $1)
  WHEN 'sent' THEN (SELECT s.data FROM bridge_sent s WHERE s.session_id = $1 AND s.wa_id = p.name)
  ELSE (SELECT k.data FROM bridge_key k WHERE k.session_id = $1 AND k.kind = p.kind AND k.name = p.name) END AS data
FROM unnest($2::text[], $3::text[]) AS p(kind, name)`;

// Fenced as the group writer's statement is, and no part of it: that one is on the way of every send. What has been written since it was
// read differs from `old` and stays.
const REPLACE = `
WITH held AS MATERIALIZED (
  SELECT session_id FROM bridge_creds WHERE session_id = $1 AND fence = $2 FOR NO KEY UPDATE
), anew AS MATERIALIZED (
  SELECT h.session_id, r.kind, r.name, r.old, r.data
  FROM held h, unnest($3::text[], $4::text[], $5::bytea[], $6::bytea[]) AS r(kind, name, old, data)
), creds AS (
  UPDATE bridge_creds b SET data = a.data FROM anew a WHERE a.kind = 'creds' AND b.session_id = a.session_id AND b.data = a.old RETURNING 1
), keys AS (
  UPDATE bridge_key b SET data = a.data FROM anew a
  WHERE b.session_id = a.session_id AND b.kind = a.kind AND b.name = a.name AND b.data = a.old RETURNING 1
), sent AS (
  UPDATE bridge_sent b SET data = a.data FROM anew a
  WHERE a.kind = 'sent' AND b.session_id = a.session_id AND b.wa_id = a.name AND b.data = a.old RETURNING 1
)
SELECT (SELECT count(*) FROM creds) + (SELECT count(*) FROM keys) + (SELECT count(*) FROM sent) AS count`;

/**
 * Brings what sessions have stored under an older key under the ring's first one, so that the older one can be dropped. One session at a time, a few
 * values in a statement and a pause after each: sends go first. With a single key there is nothing to ask for.
 */
export class Resealer {
  #last = Promise.resolve();
  #db;
  #ring;
  #log;

  /** @param {{db: Database, ring: KeyRing, log: Log}} options */
  constructor({ db, ring, log }) {
    this.#db = db;
    this.#ring = ring;
    this.#log = log;
  }

  /**
   * Until the session has ended; the next opening goes on with what is left. Does not throw.
   * @param {string} session
   * @param {number} term
   * @param {AbortSignal} ended
   */
  async reseal(session, term, ended) {
    if (!this.#ring.hasOlder) return;
    this.#last = this.#last.then(() => this.#session({ session, term, ended }));
    await this.#last;
  }

  /** @param {Task} task */
  async #session(task) {
    const { session, ended } = task;
    try {
      const places = ended.aborted ? [] : await this.#find(session);
      if (places.length === 0) return;
      const resealed = await this.#groups(task, places);
      const left = ended.aborted ? undefined : (await this.#find(session)).length;
      this.#log[left ? 'warn' : 'info']({ session, resealed, left }, 'stored values were sealed anew under the first encryption key');
    } catch (error) {
      this.#log.warn({ session, cause: firstLine(error) }, 'stored values could not be sealed anew');
    }
  }

  /** @param {Task} task @param {Place[]} places @returns {Promise<number>} how many were sealed anew */
  async #groups(task, places) {
    let resealed = 0;
    for (let at = 0; at < places.length && !task.ended.aborted; at += AT_ONCE) {
      resealed += await this.#group(task, places.slice(at, at + AT_ONCE));
      await sleep(PAUSE_MS, undefined, { signal: task.ended }).catch(() => {});
    }
    return resealed;
  }

  /** @param {Task} task @param {Place[]} places @returns {Promise<number>} */
  async #group({ session, term }, places) {
    const rows = await this.#query(READ, [session, places.map(({ kind }) => kind), places.map(({ name }) => name)]);
    const anew = rows.flatMap((row) => this.#anew(session, row));
    if (anew.length === 0) return 0;
    const columns = /** @type {const} */ (['kind', 'name', 'old', 'data']).map((column) => anew.map((row) => row[column]));
    const [done] = await this.#query(REPLACE, [session, term, ...columns]);
    return Number(done.count);
  }

  /**
   * What cannot be opened stays as it is: whoever reads it decides.
   * @param {string} session
   * @param {Place & {data: Buffer | null}} row - null: it is gone by now
   */
  #anew(session, { kind, name, data }) {
    if (!data || this.#ring.isNewest(data)) return [];
    const bound = boundTo(session, kind, name);
    try {
      return [{ kind, name, old: data, data: this.#ring.seal(bound, this.#ring.open(bound, data)) }];
    } catch {
      return [];
    }
  }

  /** @param {string} session @returns {Promise<Place[]>} */
  #find(session) {
    return this.#query(FIND, [session, this.#ring.head.length, this.#ring.head]);
  }

  /** @param {string} sql @param {unknown[]} values */
  #query(sql, values) {
    return this.#db.query(sql, values, { patienceMs: PATIENCE_MS });
  }
}
