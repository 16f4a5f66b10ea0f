import { until } from './until.js';
import { randomUUID } from 'node:crypto';
import pg from 'pg';

const URL = process.env.BRIDGE_TEST_DATABASE_URL ?? '';
if (!URL) throw new Error('BRIDGE_TEST_DATABASE_URL must name a PostgreSQL database with the tables of the Django migrations');

export const databaseUrl = URL;

/** A value for a column that must have one. @type {Record<string, any>} */
const FILL = { uuid: randomUUID(), 'character varying': '', text: '', integer: 0, smallint: 0, bigint: 0, boolean: false };

/** Makes sessions for tests to work with; each test its own, so that tests may run side by side. */
export class TestDatabase {
  pool = new pg.Pool({ connectionString: URL, max: 2 });

  /** @returns {Promise<string>} the id of a new session */
  async makeSession() {
    const restaurant = await this.#insert('restaurant', { name: 'Trattoria' });
    return this.#insert('wa_session', { restaurant_id: restaurant, name: randomUUID() });
  }

  /** @param {string} sql @param {any[]} [values] @returns {Promise<any[]>} */
  async rows(sql, values = []) {
    return (await this.pool.query(sql, values)).rows;
  }

  /** @param {() => Promise<unknown>} holds */
  until(holds) {
    return until(holds);
  }

  /** Keeps everybody from opening a session, and from writing what is its, until `release`; `waited`: somebody wants to. @param {string} session */
  async hold(session) {
    const client = await this.pool.connect();
    await client.query('BEGIN');
    const { rows: [held] } = await client.query('SELECT pg_backend_pid() AS pid FROM bridge_creds WHERE session_id = $1 FOR UPDATE', [session]);
    const waiting = () => this.rows('SELECT 1 FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))', [held.pid]);
    const release = async () => {
      await client.query('ROLLBACK');
      client.release();
    };
    return { waited: () => this.until(async () => (await waiting()).length > 0), release };
  }

  close() {
    return this.pool.end();
  }

  /** Fills every column that must have a value, whatever the models will add. @param {string} table @param {Record<string, unknown>} given */
  async #insert(table, given) {
    const columns = await this.rows(
      `SELECT column_name AS name, data_type AS type FROM information_schema.columns
       WHERE table_schema = 'public' AND table_name = $1 AND is_nullable = 'NO' AND column_default IS NULL`,
      [table],
    );
    const values = new Map(columns.map(({ name, type }) => [name, FILL[type] ?? new Date()]));
    values.set('id', randomUUID());
    for (const [name, value] of Object.entries(given)) values.set(name, value);
    const names = [...values.keys()];
    await this.rows(`INSERT INTO ${table} (${names.join(', ')}) VALUES (${names.map((_, at) => `$${at + 1}`).join(', ')})`, [...values.values()]);
    return /** @type {string} */ (values.get('id'));
  }
}
