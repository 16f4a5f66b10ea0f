import { createCipheriv, createDecipheriv, createSecretKey, randomBytes } from 'node:crypto';

const VERSION = 1;
const NONCE = 12;
const TAG = 16;

/** @typedef {import('node:crypto').KeyObject} KeyObject */

/** A value could not be opened: an unknown key, a damaged value, or one that was moved from another row. */
export class SealError extends Error {
  /** @param {string} message @param {boolean} [lost] - no key will ever open it */
  constructor(message, lost = false) {
    super(message);
    this.lost = lost;
  }
}

/**
 * AES-256-GCM under one of several keys. What is sealed reads: version, length of the key id, key id, nonce, ciphertext,
 * tag. The first key of the ring seals; every key opens.
 */
export class KeyRing {
  /** @type {Map<string, KeyObject>} */ #keys;
  /** @type {string} */ #first;
  /** @type {Set<string>} those that have opened something: not a wrong key under the name of the right one */ #proven = new Set();

  /** @param {Map<string, KeyObject>} keys @param {string} first */
  constructor(keys, first) {
    this.#keys = keys;
    this.#first = first;
    const id = Buffer.from(first);
    /** What everything begins with that the first key has sealed, and nothing else does. */
    this.head = Buffer.concat([Buffer.from([VERSION, id.length]), id]);
  }

  /** Whether it is sealed under the first key. @param {Buffer} sealed */
  isNewest(sealed) {
    return sealed.subarray(0, this.head.length).equals(this.head);
  }

  /** Whether there may be something under another key that can be opened. */
  get hasOlder() {
    return this.#keys.size > 1;
  }

  /** Reads `id:base64 of 32 bytes[,id:…]`; never repeats a key in an error. @param {string} text @returns {KeyRing} */
  static parse(text) {
    const entries = text.split(',').map((part, at) => readKey(part.trim(), at + 1));
    const keys = new Map(entries);
    if (keys.size !== entries.length) throw new Error('two keys have the same id');
    return new KeyRing(keys, /** @type {[string, KeyObject]} */ (entries[0])[0]);
  }

  /** @param {string} bound - what the value belongs to @param {Uint8Array} plain @returns {Buffer} */
  seal(bound, plain) {
    const nonce = randomBytes(NONCE);
    const key = /** @type {KeyObject} */ (this.#keys.get(this.#first));
    const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(bound));
    return Buffer.concat([this.head, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** @param {string} bound @param {Buffer} sealed @returns {Buffer} @throws {SealError} */
  open(bound, sealed) {
    const { id, key, nonce, body, tag } = this.#parts(bound, sealed);
    try {
      const cipher = createDecipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(bound)).setAuthTag(tag);
      const plain = Buffer.concat([cipher.update(body), cipher.final()]);
      this.#proven.add(id);
      return plain;
    } catch {
      throw new SealError(`the stored value ${bound} is damaged or belongs elsewhere`, this.#proven.has(id));
    }
  }

  /** @param {string} bound @param {Buffer} sealed */
  #parts(bound, sealed) {
    const start = 2 + (sealed[1] ?? 0);
    if (sealed[0] !== VERSION || sealed.length < start + NONCE + TAG) throw new SealError(`the stored value ${bound} has an unknown form`);
    const id = sealed.subarray(2, start).toString();
    const key = this.#keys.get(id);
    if (!key) throw new SealError(`the stored value ${bound} needs the encryption key "${id}", which is not in WA_ENCRYPTION_KEYS`);
    const nonce = sealed.subarray(start, start + NONCE);
    return { id, key, nonce, body: sealed.subarray(start + NONCE, -TAG), tag: sealed.subarray(-TAG) };
  }
}

/** What a value is bound to, so that it opens nowhere else. @param {string} session @param {string} kind @param {string} name */
export function boundTo(session, kind, name) {
  return `${session}/${kind}/${name}`;
}

/** @param {string} part @param {number} at @returns {[string, KeyObject]} */
function readKey(part, at) {
  const colon = part.indexOf(':');
  const id = part.slice(0, colon);
  if (colon < 1 || !/^[\w.-]{1,64}$/.test(id)) throw new Error(`key ${at} must read id:base64 of 32 bytes`);
  const encoded = part.slice(colon + 1);
  const bytes = Buffer.from(encoded, 'base64');
  if (bytes.length !== 32 || bytes.toString('base64').replace(/=+$/, '') !== encoded.replace(/=+$/, '')) {
    throw new Error(`key ${at} ("${id}") is not the base64 of 32 bytes`);
  }
  return [id, createSecretKey(bytes)];
}
