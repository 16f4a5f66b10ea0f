import { hkdfSync } from 'node:crypto';
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

/** Baileys' own `Curve.verify` accepts every signature, so everything is verified with curve25519-js. About 5 ms.
 * @param {Uint8Array} publicKey 32 bytes
 * @param {Uint8Array} message
 * @param {Uint8Array | null | undefined} signature
 */
export function signatureIsGood(publicKey, message, signature) {
  if (publicKey?.length !== 32 || signature?.length !== 64) return false;
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
