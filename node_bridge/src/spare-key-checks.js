import crypto, { createSecretKey } from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

const TAKE_KEYS = /** @type {const} */ (['createHmac', 'createCipheriv', 'createDecipheriv']);

/**
 * Node asks since 24.18 whether a key is a KeyObject by a check that throws when it is bytes (`isKeyObject`, `isCryptoKey` in lib/internal/crypto/keys.js): two
 * errors with their stack traces for each HMAC and each cipher. Baileys and libsignal hand over bytes, a dozen times a message: a fifth of their CPU.
 * A KeyObject passes at the first question, and making one asks none. To be called before anything encrypts.
 */
export function spareKeyChecks() {
  for (const name of TAKE_KEYS) {
    const make = /** @type {(algorithm: string, key: unknown, ...rest: unknown[]) => unknown} */ (crypto[name]);
    Object.assign(crypto, {
      [name]: (/** @type {string} */ algorithm, /** @type {unknown} */ key, /** @type {unknown[]} */ ...rest) => make(algorithm, asKey(key), ...rest),
    });
  }
  syncBuiltinESMExports(); // for those who have imported them by name
}

/** @param {unknown} key */
function asKey(key) {
  return key instanceof Uint8Array ? createSecretKey(key) : key;
}
