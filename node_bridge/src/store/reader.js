import { onNobodysAccount } from '../attribution.js';
import { StoreUnavailable } from '../errors.js';

/** @typedef {import('./database.js').Database} Database */
/** @typedef {{name: string, data: Buffer}} Row */
/** @typedef {{session: string, kind: string, names: string[], resolve: (rows: Row[]) => void, reject: (error: unknown) => void}} Question */

const PATIENCE_MS = 5_000;

// A subquery, not a join: the plan is kept, and one that was made while the table was small might read all of it for each group.
const READ = `
SELECT asked.question, asked.name,
  (SELECT k.data FROM bridge_key k WHERE k.session_id = asked.session_id AND k.kind = asked.kind AND k.name = asked.name) AS data
FROM unnest($1::int[], $2::uuid[], $3::text[], $4::text[]) AS asked(question, session_id, kind, name)`;

/** Asks for the keys of many sessions together: whatever is wanted within one turn of the event loop is one statement. */
export class GroupReader {
  /** @type {Question[]} */ #asked = [];
  #db;

  /** @param {{db: Database}} options */
  constructor({ db }) {
    this.#db = db;
  }

  /** Those of them that exist. @param {string} session @param {string} kind @param {string[]} names @returns {Promise<Row[]>} */
  read(session, kind, names) {
    return new Promise((resolve, reject) => {
      const first = this.#asked.push({ session, kind, names, resolve, reject }) === 1;
      if (first) onNobodysAccount(() => setImmediate(() => this.#answer(this.#asked.splice(0))));
    });
  }

  /** @param {Question[]} group */
  async #answer(group) {
    try {
      const rows = await this.#db.query(READ, parameters(group), { patienceMs: PATIENCE_MS, name: 'read keys' });
      const found = rows.filter(({ data }) => data);
      for (const [at, { resolve }] of group.entries()) resolve(found.filter(({ question }) => question === at));
    } catch (error) {
      this.#fail(group, error);
    }
  }

  /** One session's question that PostgreSQL refuses must not fail its neighbours'. @param {Question[]} group @param {unknown} error */
  #fail(group, error) {
    if (group.length > 1 && !(error instanceof StoreUnavailable)) for (const question of group) this.#answer([question]);
    else for (const { reject } of group) reject(error);
  }
}

/** @param {Question[]} group @returns {unknown[][]} the arrays of READ, in its order */
function parameters(group) {
  const asked = group.flatMap(({ session, kind, names }, at) => names.map((name) => /** @type {const} */ ([at, session, kind, name])));
  return [0, 1, 2, 3].map((column) => asked.map((row) => row[column]));
}
