import { DEFAULT_CONNECTION_CONFIG, jidDecode } from 'baileys';
import { Lru } from '../../lru.js';

const REMEMBERED = 1_000;
const ASK_AGAIN_MS = 10 * 60 * 1000;

/** @typedef {{pn: string, lid: string}} Pair */
/** @typedef {(pns: string[]) => Promise<Pair[] | undefined>} PnToLid */

/**
 * Baileys' Signal repository with these changes:
 * - Every transaction of an account excludes every other. Baileys locks a send by the account and an inbound message by
 *   its sender: each reads the session record, and the later commit undoes the earlier one's ratchet. A customer who answers at the
 *   very moment of a send would make the next message undecryptable.
 * - Who has no LID is asked for keys by number. Baileys leaves them out of the question, and then no message to them can be encrypted.
 * - A LID that is not there is not asked for again for ten minutes: Baileys asks several times for each message, under the account's lock.
 * - `onEncrypt` is called before anything is encrypted: from then on a failed send may have reached the wire.
 * @param {() => void} onEncrypt
 * @returns {typeof DEFAULT_CONNECTION_CONFIG.makeSignalRepository}
 */
export function repositoryWith(onEncrypt) {
  return (auth, logger, pnToLid) => {
    const repository = DEFAULT_CONNECTION_CONFIG.makeSignalRepository({ creds: auth.creds, keys: serial(auth) }, logger, askedOnce(pnToLid));
    nameAll(repository.lidMapping);
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

/** @param {any} lidMapping */
function nameAll(lidMapping) {
  /** @type {(pns: string[]) => Promise<Pair[] | null>} */
  const known = lidMapping.getLIDsForPNs.bind(lidMapping);
  lidMapping.getLIDForPN = async (/** @type {string} */ pn) => (await known([pn]))?.[0]?.lid ?? null;
  lidMapping.getLIDsForPNs = async (/** @type {string[]} */ pns) => {
    const pairs = (await known(pns)) ?? [];
    const named = new Set(pairs.map(({ pn }) => deviceOf(pn)));
    return [...pairs, ...pns.filter((pn) => !named.has(deviceOf(pn))).map((pn) => ({ pn, lid: pn }))];
  };
}

/** @param {string} jid */
function deviceOf(jid) {
  const decoded = jidDecode(jid);
  return `${decoded?.user}:${decoded?.device ?? 0}`;
}

/** @param {PnToLid | undefined} pnToLid @param {() => number} [now] @returns {PnToLid} */
export function askedOnce(pnToLid, now = () => performance.now()) {
  /** @type {Lru<number>} until when they are believed to have none */
  const without = new Lru(REMEMBERED);
  return async (pns) => {
    const asked = pns.filter((pn) => (without.get(pn) ?? 0) <= now());
    const pairs = (asked.length > 0 && (await pnToLid?.(asked).catch(() => []))) || [];
    const found = new Set(pairs.map(({ pn }) => pn));
    for (const pn of asked) if (!found.has(pn)) without.set(pn, now() + ASK_AGAIN_MS);
    return pairs;
  };
}
