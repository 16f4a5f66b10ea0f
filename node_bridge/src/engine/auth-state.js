import { proto } from 'baileys';

/** @typedef {import('../store/vault.js').Vault} Vault */

const MOST_ROUNDS = 5;
const UNANSWERED_MS = 19_000; // a question waits for 20 s
const IN_A_ROW_MS = 25_000;

/**
 * Baileys' key store over a vault. Asked for a trusted-contact token it always adds that ours was issued just now: Baileys would
 * send one with every message and lose the record of it in a transaction that is already committed. `tokens.js` issues them instead.
 * @param {Vault} vault @returns {any} what Baileys calls a SignalKeyStore
 */
export function keyStore(vault) {
  const rounds = new Rounds();
  return {
    /** @param {string} kind @param {string[]} names */
    get: async (kind, names) => {
      const values = await vault.get(kind, names);
      if (kind === 'app-state-sync-version') for (const name of names) if (!values[name]) rounds.count(name);
      if (kind === 'app-state-sync-key') for (const name in values) values[name] = proto.Message.AppStateSyncKeyData.fromObject(values[name]);
      if (kind === 'tctoken') for (const name of names) if (name !== '__index') values[name] = withFreshIssue(values[name]);
      return values;
    },
    /** @param {Record<string, Record<string, unknown>>} values */
    set: (values) => vault.set(values),
  };
}

/**
 * Baileys asks for the phone's settings again and again while the answers do not name the collection that was asked for, or do not come, under the
 * account's lock, for which sends wait. Each round looks here for the version it knows, as long as there is none: an error ends it, and Baileys goes
 * on without; on this connection it is not asked for again.
 */
class Rounds {
  /** @type {Map<string, {count: number, at: number}>} */ #of = new Map();
  /** @type {Set<string>} */ #givenUp = new Set();

  /** @param {string} name - a collection */
  count(name) {
    const now = performance.now();
    const before = this.#of.get(name);
    const sinceMs = before ? now - before.at : Infinity;
    const count = before && sinceMs < IN_A_ROW_MS ? before.count + 1 : 1;
    this.#of.set(name, { count, at: now });
    if (count > MOST_ROUNDS || (count > 1 && sinceMs > UNANSWERED_MS)) this.#givenUp.add(name);
    if (this.#givenUp.has(name)) throw new Error(`WhatsApp does not answer what was asked of "${name}"`);
  }
}

/** @param {object | undefined} entry */
function withFreshIssue(entry) {
  return { token: Buffer.alloc(0), ...entry, senderTimestamp: Math.floor(Date.now() / 1000) };
}
