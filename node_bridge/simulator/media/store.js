import { createDecipheriv, createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MEDIA_HKDF_KEY_MAPPING } from 'baileys';
import { hkdf } from '../wire/crypto.js';

const NAME = /^[A-Za-z0-9_-]{43}$/;

/** Uploaded media, still encrypted, by the hash of the ciphertext. */
export class MediaStore {
  #directory;
  /** @type {Map<string, Buffer>} */
  #memory = new Map();

  /** @param {string | undefined} directory in memory when left out */
  constructor(directory) {
    this.#directory = directory && join(directory, 'media');
  }

  /** @param {string} name base64url of the ciphertext's SHA-256 @param {Buffer} body @returns {boolean} false when the name is not the body's hash */
  put(name, body) {
    if (createHash('sha256').update(body).digest('base64url') !== name.replace(/=+$/, '')) return false;
    const key = name.replace(/=+$/, '');
    if (!this.#directory) this.#memory.set(key, body);
    else {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      writeFileSync(join(this.#directory, key), body);
    }
    return true;
  }

  /** @param {string} name @returns {Buffer | undefined} */
  get(name) {
    const key = name.replace(/=+$/, '');
    if (!NAME.test(key)) return undefined;
    if (!this.#directory) return this.#memory.get(key);
    try {
      return readFileSync(join(this.#directory, key));
    } catch {
      return undefined;
    }
  }

  /** What a phone does before it shows a picture: fetch, check, decrypt.
   * @param {import('../phones/contents.js').Media} media
   * @returns {Buffer | undefined} undefined when it is not there or not what the message says
   */
  open({ mediaKey, directPath, fileSha256, type }) {
    const body = this.get(directPath.replace(/\?.*$/, '').split('/').at(-1) ?? '');
    if (!body || body.length < 26) return undefined;
    const keys = hkdf(mediaKey, 112, { info: `WhatsApp ${MEDIA_HKDF_KEY_MAPPING[type]} Keys` });
    const [iv, cipherKey, macKey] = [keys.subarray(0, 16), keys.subarray(16, 48), keys.subarray(48, 80)];
    const [sealed, mac] = [body.subarray(0, -10), body.subarray(-10)];
    if (!timingSafeEqual(createHmac('sha256', macKey).update(iv).update(sealed).digest().subarray(0, 10), mac)) return undefined;
    const decipher = createDecipheriv('aes-256-cbc', cipherKey, iv);
    const plain = Buffer.concat([decipher.update(sealed), decipher.final()]);
    return createHash('sha256').update(plain).digest().equals(fileSha256) ? plain : undefined;
  }
}
