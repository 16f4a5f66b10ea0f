import { DEFAULT_CONNECTION_CONFIG } from 'baileys';

/**
 * Baileys' Signal repository with two changes:
 * - Every transaction of an account excludes every other. Baileys locks a send by the account and an inbound message by
 *   its sender: each reads the session record, and the later commit undoes the earlier one's ratchet. A customer who answers at the
 *   very moment of a send would make the next message undecryptable.
 * - `onEncrypt` is called before anything is encrypted: from then on a failed send may have reached the wire.
 * @param {() => void} onEncrypt
 * @returns {typeof DEFAULT_CONNECTION_CONFIG.makeSignalRepository}
 */
export function repositoryWith(onEncrypt) {
  return (auth, logger, pnToLid) => {
    const repository = DEFAULT_CONNECTION_CONFIG.makeSignalRepository({ creds: auth.creds, keys: serial(auth) }, logger, pnToLid);
    const encrypt = repository.encryptMessage;
    repository.encryptMessage = (options) => {
      onEncrypt();
      return encrypt(options);
    };
    return repository;
  };
}

/**
 * LID mappings keep a lock of their own: a lookup outside any transaction may be what one inside is waiting for.
 * @param {{creds: any, keys: any}} auth
 */
function serial({ creds, keys }) {
  /** @param {() => Promise<unknown>} work @param {string} lock */
  const transaction = (work, lock) => keys.transaction(work, lock === 'lid-mapping' ? lock : (creds.me?.id ?? 'unlinked'));
  return { ...keys, transaction };
}
