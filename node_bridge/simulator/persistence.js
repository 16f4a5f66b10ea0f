import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { deserialize, serialize } from 'node:v8';

/** A network that forgets: the same interface, nothing kept.
 * @typedef {object} Store
 * @property {(key: string, value: unknown) => void} put remembers the value as it is when the batch is written
 * @property {(key: string) => void} delete
 * @property {(key: string) => any} get what was stored before this start
 * @property {() => Promise<void>} flush resolves when everything put so far is on disk
 * @property {(prefix: string) => Iterable<[string, any]>} all in key order
 * @property {() => void} close writes what is left
 */

/** @returns {Store} */
export function memoryStore() {
  return { put() {}, delete() {}, get() {}, flush: () => Promise.resolve(), all: () => [], close() {} };
}

const GONE = Symbol('gone');

/** Keeps the network in one SQLite file. Everything put in one turn of the event loop is one transaction, so what
 * belongs together survives together. Safe against kill -9 of the process; a second process on the same file is refused.
 * @implements {Store}
 */
class SqliteStore {
  #db;
  #write;
  #remove;
  /** @type {Map<string, unknown>} */
  #dirty = new Map();
  /** @type {Promise<void> | undefined} */
  #batch;

  /** @param {import('node:sqlite').DatabaseSync} db */
  constructor(db) {
    this.#db = db;
    this.#write = db.prepare('INSERT INTO entry VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value');
    this.#remove = db.prepare('DELETE FROM entry WHERE key = ?');
  }

  /** @param {string} key @param {unknown} value */
  put(key, value) {
    this.#dirty.set(key, value);
    void this.flush();
  }

  /** @param {string} key */
  delete(key) {
    this.put(key, GONE);
  }

  flush() {
    this.#batch ??= new Promise((resolve, reject) => {
      setImmediate(() => {
        this.#batch = undefined;
        try {
          this.#commit();
          resolve();
        } catch (error) {
          reject(error);
        }
      });
    });
    return this.#batch;
  }

  #commit() {
    if (!this.#dirty.size) return;
    const dirty = this.#dirty;
    this.#dirty = new Map();
    this.#db.exec('BEGIN');
    for (const [key, value] of dirty) {
      if (value === GONE) this.#remove.run(key);
      else this.#write.run(key, serialize(value));
    }
    this.#db.exec('COMMIT');
  }

  /** @param {string} key */
  get(key) {
    const row = this.#db.prepare('SELECT value FROM entry WHERE key = ?').get(key);
    return row && deserialize(/** @type {Uint8Array} */ (row.value));
  }

  /** @param {string} prefix */
  *all(prefix) {
    const rows = this.#db.prepare('SELECT key, value FROM entry WHERE key >= ? AND key < ? ORDER BY key');
    for (const row of rows.all(prefix, `${prefix}\uffff`)) {
      yield /** @type {[string, any]} */ ([String(row.key), deserialize(/** @type {Uint8Array} */ (row.value))]);
    }
  }

  close() {
    this.#commit();
    this.#db.close();
  }
}

/** @param {string} directory made when it is missing @returns {Promise<Store>}
 * @throws {Error} with one clear line: not writable, in use, or Node too old
 */
export async function openStore(directory) {
  const { DatabaseSync } = await sqlite();
  try {
    makeDirectory(resolve(directory));
    const db = new DatabaseSync(join(directory, 'network.sqlite'));
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
    db.exec('CREATE TABLE IF NOT EXISTS entry (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID');
    return new SqliteStore(db);
  } catch (error) {
    const reason = /** @type {Error} */ (error).message;
    throw new Error(`${directory}: ${/locked/.test(reason) ? 'in use by another simulator' : reason}`);
  }
}

/** Not mkdir's own recursion: that never returns where nothing can be made, as under /proc. @param {string} path */
function makeDirectory(path) {
  if (existsSync(path)) return;
  makeDirectory(dirname(path));
  mkdirSync(path, { mode: 0o700 });
}

async function sqlite() {
  // Node announces its SQLite as experimental on stderr at the first import; that is no news to whoever runs this.
  const emit = process.emitWarning;
  process.emitWarning = () => {};
  try {
    return await import('node:sqlite');
  } catch {
    throw new Error(`--data needs Node 22.13 or newer, this is ${process.version}`);
  } finally {
    process.emitWarning = emit;
  }
}
