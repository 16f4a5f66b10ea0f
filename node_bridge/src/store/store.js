import { BridgeError, firstLine, StaleTerm, StoreUnavailable, Unreadable } from '../errors.js';
import { decode } from './codec.js';
import { Database } from './database.js';
import { boundTo } from './keyring.js';
import { Opening } from './opening.js';
import { GroupReader } from './reader.js';
import { Resealer } from './resealer.js';
import { Vault } from './vault.js';
import { GroupWriter } from './writer.js';

/** @typedef {import('./keyring.js').KeyRing} KeyRing */
/** @typedef {import('../log.js').Log} Log */

const PATIENCE_MS = 5_000;
const KEEP_SENT_DAYS = 7;
const PRUNE_AT_ONCE = 5_000;
const FOREIGN_KEY_VIOLATION = '23503';
const OPENING_STEP = 1_000_000; // far more writes than a former opening can still have under way: it begins one when the one before is over

const OPEN = `
INSERT INTO bridge_creds AS c (session_id, fence, written, data, updated_at) VALUES ($1, $2, 0, NULL, now())
ON CONFLICT (session_id) DO UPDATE SET fence = EXCLUDED.fence, written = c.written + $3, updated_at = now() WHERE c.fence <= EXCLUDED.fence
RETURNING data, written::float8 AS written`;

const WIPE = `
WITH held AS (
  UPDATE bridge_creds SET written = $3, data = NULL, updated_at = now() WHERE session_id = $1 AND fence = $2 AND written <= $3 RETURNING session_id),
gone AS (DELETE FROM bridge_key USING held WHERE bridge_key.session_id = held.session_id)
SELECT 1 FROM held`;

const PRUNE = `
DELETE FROM bridge_sent WHERE ctid = ANY(ARRAY(
  SELECT ctid FROM bridge_sent WHERE created_at < now() - make_interval(days => $1) LIMIT $2))
RETURNING 1`;

// By the number of its write, since the clock may have been set back; by its time what was stored before there were numbers.
const LAST_ADDRESS = 'SELECT address FROM bridge_sent WHERE session_id = $1 ORDER BY written DESC, created_at DESC LIMIT 1';

/** The three tables of the bridge. Opening a session raises its fence; every write after that belongs to that opening. */
export class Store {
  /** @param {{url: string, connections: number, ring: KeyRing, log: Log}} options */
  constructor({ url, connections, ring, log }) {
    this.ring = ring;
    this.log = log;
    this.db = new Database({ url, connections, log });
    this.reader = new GroupReader({ db: this.db });
    this.writer = new GroupWriter({ db: this.db, log });
    this.resealer = new Resealer({ db: this.db, ring, log });
  }

  /**
   * @param {string} session @param {number} term
   * @returns {Promise<{vault: Vault, creds: any | null}>} creds are null when the session was never linked
   * @throws {StaleTerm} a higher term has opened it @throws {Unreadable} they cannot be opened @throws {BridgeError} `not_found` when there is no such session
   */
  async open(session, term) {
    const { opening, data } = await this.#open(session, term);
    return { vault: new Vault({ store: this, opening }), creds: data && this.#openCreds(session, data) };
  }

  /** @param {string} session @param {number} term @returns {Promise<{opening: Opening, data: Buffer | null}>} */
  async #open(session, term) {
    const [row] = await this.#ask(OPEN, [session, term, OPENING_STEP]);
    if (!row) throw new StaleTerm(session, term);
    return { opening: new Opening({ session, term, written: row.written }), data: row.data };
  }

  /** @param {string} session @param {Buffer} sealed */
  #openCreds(session, sealed) {
    try {
      return decode(this.ring.open(boundTo(session, 'creds', 'creds'), sealed).toString());
    } catch (error) {
      throw new Unreadable(firstLine(error));
    }
  }

  /** Under an opening of its own: one that arrives late wipes nothing that was linked since. @param {string} session @param {number} term */
  async wipe(session, term) {
    const { opening } = await this.#open(session, term);
    await this.wipeUnder(opening);
  }

  /** @param {Opening} opening */
  async wipeUnder(opening) {
    const { session, term } = opening;
    const rows = await this.#ask(WIPE, [session, term, opening.next()]);
    if (rows.length === 0) throw new StaleTerm(session, term);
  }

  /** @param {string} session @param {string} id @param {number} patienceMs @returns {Promise<{address: string, data: Buffer} | null>} */
  async readSent(session, id, patienceMs) {
    const sql = 'SELECT address, data FROM bridge_sent WHERE session_id = $1 AND wa_id = $2';
    const rows = await this.db.query(sql, [session, id], { patienceMs, name: 'read sent' });
    return rows[0] ?? null;
  }

  /** @param {string} session @param {number} patienceMs @returns {Promise<string | null>} */
  async readLastAddress(session, patienceMs) {
    const rows = await this.db.query(LAST_ADDRESS, [session], { patienceMs, name: 'read last' });
    return rows[0]?.address ?? null;
  }

  /** Removes sent messages that are too old for any retry receipt. @returns {Promise<number>} */
  async prune() {
    let removed = 0;
    for (let found = PRUNE_AT_ONCE; found === PRUNE_AT_ONCE; removed += found) {
      found = (await this.#ask(PRUNE, [KEEP_SENT_DAYS, PRUNE_AT_ONCE])).length;
    }
    return removed;
  }

  async close() {
    await this.writer.idle();
    await this.db.close();
  }

  /** @param {string} sql @param {unknown[]} values */
  async #ask(sql, values) {
    try {
      return await this.db.query(sql, values, { patienceMs: PATIENCE_MS });
    } catch (error) {
      if (error instanceof StoreUnavailable) throw error;
      if (/** @type {any} */ (error).code === FOREIGN_KEY_VIOLATION) throw new BridgeError('not_found', 'there is no such session');
      throw new StoreUnavailable(`the database refused: ${firstLine(error)}`);
    }
  }
}
