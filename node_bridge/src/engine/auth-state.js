import { proto } from 'baileys';

/** @typedef {import('../store/vault.js').Vault} Vault */

/**
 * Baileys' key store over a vault. Asked for a trusted-contact token it always adds that ours was issued just now: Baileys would
 * send one with every message and lose the record of it in a transaction that is already committed. `tokens.js` issues them instead.
 * @param {Vault} vault @returns {any} what Baileys calls a SignalKeyStore
 */
export function keyStore(vault) {
  return {
    /** @param {string} kind @param {string[]} names */
    get: async (kind, names) => {
      const values = await vault.get(kind, names);
      if (kind === 'app-state-sync-key') for (const name in values) values[name] = proto.Message.AppStateSyncKeyData.fromObject(values[name]);
      if (kind === 'tctoken') for (const name of names) if (name !== '__index') values[name] = withFreshIssue(values[name]);
      return values;
    },
    /** @param {Record<string, Record<string, unknown>>} values */
    set: (values) => vault.set(values),
  };
}

/** @param {object | undefined} entry */
function withFreshIssue(entry) {
  return { token: Buffer.alloc(0), ...entry, senderTimestamp: Math.floor(Date.now() / 1000) };
}
