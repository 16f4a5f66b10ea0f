/** @typedef {import('../store/vault.js').Vault} Vault */

const KIND = 'devices';
const KEPT_MS = 3 * 24 * 60 * 60 * 1000; // changes are notified; this is for a notification that was missed

/**
 * Which devices a user has, kept in the vault. Baileys' own cache lives five minutes and dies with the socket; each miss costs a query, a
 * key fetch and a new Signal session even for known contacts.
 */
export class DeviceCache {
  /** Whom of them to write to. @type {(user: string, devices: any[]) => Promise<any[]>} */ sift = async (_user, devices) => devices;
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
    return Object.fromEntries(await Promise.all(entries.map(async ([user, entry]) => [user, await this.sift(user, entry.devices)])));
  }

  /** @param {string} user @param {any} devices */
  async set(user, devices) {
    await this.mset([{ key: user, value: devices }]);
  }

  /** @param {{key: string, value: any}[]} entries */
  async mset(entries) {
    const at = Date.now();
    await this.#vault.set({ [KIND]: Object.fromEntries(entries.map(({ key, value }) => [key, { at, devices: value }])) });
  }

  /** @param {string} user */
  async del(user) {
    await this.#vault.set({ [KIND]: { [user]: null } });
  }

  async flushAll() {}
}
