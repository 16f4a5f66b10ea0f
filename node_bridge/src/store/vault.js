import { BridgeError, firstLine, StaleTerm, StoreUnavailable } from '../errors.js';
import { Lru } from '../lru.js';
import { decode, encode } from './codec.js';
import { boundTo, SealError } from './keyring.js';

/** @typedef {import('./opening.js').Opening} Opening */
/** @typedef {import('./store.js').Store} Store */
/** @typedef {import('./writer.js').Change} Change */
/** @typedef {{address: string, message: Buffer}} Envelope */

const CACHED = 200; // values of one session, as text
const READ_PATIENCE_MS = 5_000;
const NOT_CACHED = new Set(['pre-key']); // hundreds of them, each used once
const ABSENT = '';
// What is about one customer and can be had again: a session is made, a number is looked up, a message encoded anew.
const OF_ONE_CUSTOMER = new Set([
  'session', 'identity-key', 'sender-key', 'sender-key-memory', 'lid-mapping', 'device-list', 'devices', 'tctoken', 'tctoken-issued', 'sent',
]);

/**
 * What one session has stored, from one opening on. The fence makes this the only writer, so what was read or written
 * once may be answered from memory. After a failed read or write nothing is known any more: the vault breaks for good, tells
 * its session why, and refuses everything; `absent` is answered only when the database said so, or when a value of one customer is lost for good.
 */
export class Vault {
  /** @type {Lru<string>} */ #cache = new Lru(CACHED);
  /** @type {Map<string, {text: string}>} what is being written and must not be read from the database */ #dirty = new Map();
  /** @type {Error | null} */ #broken = null;
  /** @type {Set<Promise<void>>} */ #writes = new Set();
  #store;
  #opening;

  /** Called once, when the vault breaks. @type {(error: Error) => void} */
  onBroken = () => {};

  /** @param {{store: Store, opening: Opening}} options */
  constructor({ store, opening }) {
    this.#store = store;
    this.#opening = opening;
    this.session = opening.session;
  }

  /** Names that hold nothing are left out. @param {string} kind @param {string[]} names @returns {Promise<Record<string, any>>} */
  async get(kind, names) {
    this.#check();
    // Held here: while the others are being read, what is known now may be pushed out of the cache.
    const known = new Map(names.map((name) => [name, this.#known(kind, name)]));
    const missing = names.filter((name) => known.get(name) === undefined);
    const fetched = missing.length > 0 ? await this.#fetch(kind, missing) : new Map();
    /** @type {Record<string, any>} */
    const found = {};
    for (const name of names) {
      const text = this.#known(kind, name) ?? known.get(name) ?? fetched.get(name) ?? ABSENT;
      if (text !== ABSENT) found[name] = decode(text);
    }
    return found;
  }

  /** Resolves once committed; null deletes. @param {Record<string, Record<string, unknown>>} values */
  async set(values) {
    this.#check();
    const keys = new Map();
    for (const [kind, named] of Object.entries(values)) {
      for (const [name, value] of Object.entries(named)) keys.set(at(kind, name), this.#prepare(kind, name, value));
    }
    if (keys.size === 0) return;
    const given = [...keys.keys()].map((place) => /** @type {const} */ ([place, this.#dirty.get(place)]));
    await this.#write({ keys });
    for (const [place, entry] of given) if (this.#dirty.get(place) === entry) this.#dirty.delete(place);
  }

  /** @param {unknown} creds */
  async saveCreds(creds) {
    this.#check();
    await this.#write({ creds: this.#store.ring.seal(this.#bound('creds', 'creds'), Buffer.from(encode(creds))) });
  }

  /** @param {string} id @returns {Promise<Envelope | null>} */
  async readSent(id) {
    const row = await this.#readSent(id);
    return row && this.#openSent(id, row);
  }

  /** As `readSent`; it counts as the one that was stored last from now on. @param {string} id @returns {Promise<Envelope | null>} */
  async renewSent(id) {
    const row = await this.#readSent(id);
    const envelope = row && this.#openSent(id, row);
    if (!envelope) return null;
    if (this.#store.ring.isNewest(row.data)) await this.#write({ sent: new Map([[id, row]]) });
    else await this.saveSent(id, envelope); // the key it was sealed under is on its way out
    return envelope;
  }

  /** Where the message went that was stored last. @returns {Promise<string | null>} */
  async lastAddress() {
    this.#check();
    return this.#read(() => this.#store.readLastAddress(this.session, READ_PATIENCE_MS));
  }

  /** @param {string} id @param {Envelope} envelope */
  async saveSent(id, { address, message }) {
    this.#check();
    const data = this.#store.ring.seal(this.#bound('sent', id), message);
    await this.#write({ sent: new Map([[id, { address, data }]]) });
  }

  /** In the background: seals anew what is stored under an older key. Does not throw. @param {AbortSignal} ended */
  async reseal(ended) {
    await this.#store.resealer.reseal(this.session, this.#opening.term, ended);
  }

  /** Waits for the writes under way; does not throw. */
  async settle() {
    await Promise.allSettled([...this.#writes]);
  }

  /** Waits for the writes under way, those that begin meanwhile too: none may come after a wipe. Refuses everything after that. */
  async retire() {
    while (this.#writes.size > 0) await this.settle();
    this.#broken ??= new BridgeError('not_connected', 'the session is closed');
    this.#cache.clear();
  }

  /** Forgets credentials and keys in the database, of a vault that is retired. Sent messages stay: a resend needs them. */
  async wipe() {
    await this.#store.wipeUnder(this.#opening);
  }

  /** @param {string} id */
  async #readSent(id) {
    this.#check();
    return this.#read(() => this.#store.readSent(this.session, id, READ_PATIENCE_MS));
  }

  /** @param {string} id @param {{address: string, data: Buffer}} row @returns {Envelope | null} */
  #openSent(id, { address, data }) {
    const message = this.#open('sent', id, data);
    return message && { address, message };
  }

  /** @param {string} kind @param {string} name @returns {string | undefined} */
  #known(kind, name) {
    return this.#dirty.get(at(kind, name))?.text ?? this.#cache.get(at(kind, name));
  }

  /** @param {string} kind @param {string[]} names @returns {Promise<Map<string, string>>} */
  async #fetch(kind, names) {
    const rows = await this.#read(() => this.#store.reader.read(this.session, kind, names));
    const found = new Map(rows.map((row) => [row.name, this.#open(kind, row.name, row.data)?.toString() ?? ABSENT]));
    for (const name of names) this.#remember(kind, name, found.get(name) ?? ABSENT);
    return found;
  }

  /** A value written while it was being read is newer than what was read. @param {string} kind @param {string} name @param {string} text */
  #remember(kind, name, text) {
    if (NOT_CACHED.has(kind) || this.#cache.get(at(kind, name)) !== undefined) return;
    this.#cache.set(at(kind, name), text);
  }

  /** @param {string} kind @param {string} name @param {unknown} value */
  #prepare(kind, name, value) {
    const text = value === null || value === undefined ? ABSENT : encode(value);
    this.#dirty.set(at(kind, name), { text });
    if (!NOT_CACHED.has(kind)) this.#cache.set(at(kind, name), text);
    const data = text === ABSENT ? null : this.#store.ring.seal(this.#bound(kind, name), Buffer.from(text));
    return { kind, name, data };
  }

  /** @param {Change} change */
  async #write(change) {
    const written = this.#store.writer.write(this.#opening, change);
    this.#writes.add(written);
    try {
      await written;
    } catch (error) {
      throw this.#break(error);
    } finally {
      this.#writes.delete(written);
    }
  }

  /** @template T @param {() => Promise<T>} read @returns {Promise<T>} */
  async #read(read) {
    try {
      return await read();
    } catch (error) {
      throw this.#break(error);
    }
  }

  /** @param {string} kind @param {string} name @param {Buffer} sealed @returns {Buffer | null} null: it is lost, and counts as absent */
  #open(kind, name, sealed) {
    try {
      return this.#store.ring.open(this.#bound(kind, name), sealed);
    } catch (err) {
      if (!(err instanceof SealError && err.lost && OF_ONE_CUSTOMER.has(kind))) throw this.#break(err);
      this.#store.log.error({ err, session: this.session, kind }, 'a stored value is damaged: what it said of one customer is lost, and made anew');
      return null;
    }
  }

  /** @param {unknown} error @returns {Error} */
  #break(error) {
    const known = error instanceof StaleTerm || error instanceof StoreUnavailable;
    const reason = known ? error : new StoreUnavailable(firstLine(error));
    if (!this.#broken) {
      this.#broken = reason;
      this.onBroken(reason);
    }
    return reason;
  }

  #check() {
    if (this.#broken) throw this.#broken;
  }

  /** @param {string} kind @param {string} name */
  #bound(kind, name) {
    return boundTo(this.session, kind, name);
  }
}

/** @param {string} kind @param {string} name */
function at(kind, name) {
  return `${kind}\0${name}`;
}
