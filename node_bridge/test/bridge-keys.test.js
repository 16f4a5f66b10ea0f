import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { spareKeyChecks } from '../src/spare-key-checks.js';
import { decode, encode } from '../src/store/codec.js';

const bytes = randomBytes(32);
const iv = randomBytes(12);
const KEYS = { buffer: bytes, array: new Uint8Array(bytes), object: createSecretKey(bytes) };

/** @param {any} key */
const hmac = (key) => createHmac('sha256', key).update('text').digest('hex');

/** @param {any} key */
function roundTrip(key) {
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from('bound'));
  const sealed = Buffer.concat([cipher.update('text'), cipher.final()]);
  const decipher = createDecipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from('bound')).setAuthTag(cipher.getAuthTag());
  return [sealed.toString('hex'), decipher.update(sealed, undefined, 'utf8') + decipher.final('utf8')];
}

describe('key checks that are spared', () => {
  it('change no result, for those who imported by name too', () => {
    const before = { createHmac, createCipheriv, createDecipheriv };
    const of = () => Object.values(KEYS).map((key) => [hmac(key), roundTrip(key)]);
    const expected = [of(), hmac('a text'), hmac(Buffer.alloc(0))];
    spareKeyChecks();
    assert.ok(createHmac !== before.createHmac && createCipheriv !== before.createCipheriv && createDecipheriv !== before.createDecipheriv);
    assert.deepEqual([of(), hmac('a text'), hmac(Buffer.alloc(0))], expected);
    assert.throws(() => createCipheriv('aes-256-gcm', randomBytes(5), iv), { code: 'ERR_CRYPTO_INVALID_KEYLEN' });
  });
});

describe('stored values', () => {
  it('come back as they were, with bytes and without', () => {
    for (const value of [{ a: { b: [1, 'x', null] } }, { a: Buffer.from([1, 2]), b: [{ c: Buffer.alloc(0) }] }, { text: 'says "$bytes" itself' }, '$bytes']) {
      assert.deepEqual(decode(encode(value)), value);
    }
  });
});
