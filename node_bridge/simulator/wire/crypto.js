import { createHash, hkdfSync } from 'node:crypto';
import { verify } from 'curve25519-js';
import { generateSignalPubKey } from 'baileys';

/**
 * @param {Uint8Array} secret
 * @param {number} length bytes
 * @param {{salt?: Uint8Array, info?: string}} [options]
 */
export function hkdf(secret, length, { salt = Buffer.alloc(32), info = '' } = {}) {
  return Buffer.from(hkdfSync('sha256', secret, salt, info, length));
}

const REMEMBERED = 50_000;
/** @type {Set<string>} signatures found good; clients attach the same ones to message after message */
const good = new Set();

/** Baileys' own `Curve.verify` accepts every signature, so everything is verified with curve25519-js. 5 ms at the first sight.
 * @param {Uint8Array} publicKey 32 bytes
 * @param {Uint8Array} message
 * @param {Uint8Array | null | undefined} signature
 */
export function signatureIsGood(publicKey, message, signature) {
  if (publicKey?.length !== 32 || signature?.length !== 64) return false;
  const known = createHash('sha256').update(publicKey).update(signature).update(message).digest('base64');
  if (good.has(known)) return true;
  if (!verified(publicKey, message, signature)) return false;
  if (good.size >= REMEMBERED) good.clear();
  good.add(known);
  return true;
}

/** @param {Uint8Array} publicKey @param {Uint8Array} message @param {Uint8Array} signature */
function verified(publicKey, message, signature) {
  try {
    return verify(publicKey, message, signature);
  } catch {
    return false;
  }
}

/** A public key as Signal signs and stores it: with its type byte in front.
 * @param {Uint8Array} publicKey
 * @returns {Buffer}
 */
export const typedKey = (publicKey) => Buffer.from(generateSignalPubKey(publicKey));
