import { Lru } from '../lru.js';

/** @typedef {import('../store/vault.js').Vault} Vault */

const KIND = 'devices';
const REMEMBERED = 1_000;
const KEPT_MS = 3 * 24 * 60 * 60 * 1000; // changes are notified; this is for a notification that was missed

/**
 * Which devices a user has, kept in the vault. Baileys' own cache lives five minutes and dies with the socket; each miss costs a query, a
 * key fetch and a new Signal session even for known contacts.
 */
export class DeviceCache {
  /** Whom of them to write to. @type {(user: string, devices: any[]) => Promise<any[]>} */ sift = async (_user, devices) => devices;
  /** @type {Lru<number>} by user, how often the list was forgotten */ #forgotten = new Lru(REMEMBERED);
  /** @type {Lru<number>} how often it had been when it was last found missing */ #missed = new Lru(REMEMBERED);
  #vault;

  /** @param {Vault} vault */
  constructor(vault) {
    this.#vault = vault;
  }

  /** @param {string} user @returns {Promise<any>} */
  async get(user) {
    return (await this.mget([user]))[user];
  }

  /** @param {string[]} users @returns {Promise<Record<string, any>>} */
  async mget(users) {
    const entries = Object.entries(await this.#vault.get(KIND, users)).filter(([, entry]) => Date.now() - entry.at < KEPT_MS);
    const found = new Set(entries.map(([user]) => user));
    for (const user of users) if (!found.has(user)) this.#missed.set(user, this.#forgotten.get(user) ?? 0);
    return Object.fromEntries(await Promise.all(entries.map(async ([user, entry]) => [user, await this.sift(user, entry.devices)])));
  }

  /** @param {string} user @param {any} devices */
  async set(user, devices) {
    await this.mset([{ key: user, value: devices }]);
  }

  /** A list that was asked for before it was forgotten is out of date already. @param {{key: string, value: any}[]} entries */
  async mset(entries) {
    const at = Date.now();
    const current = entries.filter(({ key }) => this.#isCurrent(key));
    await this.#vault.set({ [KIND]: Object.fromEntries(current.map(({ key, value }) => [key, { at, devices: value }])) });
  }

  /** @param {string} user */
  async del(user) {
    this.#forgotten.set(user, (this.#forgotten.get(user) ?? 0) + 1);
    await this.#vault.set({ [KIND]: { [user]: null } });
  }

  async flushAll() {}

  /** @param {string} user */
  #isCurrent(user) {
    const forgotten = this.#forgotten.get(user) ?? 0;
    return (this.#missed.get(user) ?? forgotten) === forgotten;
  }
}
