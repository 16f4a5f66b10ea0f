import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { readConfig } from '../src/config.js';
import { maskNumbers, maskPhone } from '../src/mask.js';
import { KeyRing } from '../src/store/keyring.js';

const key = () => randomBytes(32).toString('base64');
const [first, second] = [key(), key()];
const ENV = { WHATSAPP_SECRET: 's', DATABASE_URL: 'postgresql://localhost/x', WA_ENCRYPTION_KEYS: `a:${first}`, BRIDGE_SPOOL_DIR: '/tmp/x' };

describe('configuration', () => {
  it('has the defaults of its contract', () => {
    const config = readConfig(ENV);
    assert.deepEqual([config.port, config.webUrl, config.ackTimeoutMs, config.logLevel], [8002, 'http://127.0.0.1:8000', 60_000, 'info']);
  });

  it('takes the older names', () => {
    assert.equal(readConfig({ ...ENV, FASTAPI_URL: 'http://web:1/' }).webUrl, 'http://web:1');
    assert.equal(readConfig({ ...ENV, BRIDGE_DATABASE_URL: 'postgres://other/y' }).databaseUrl, 'postgres://other/y');
  });

  it('knows where the current version of WhatsApp Web is told', () => {
    const told = (/** @type {Record<string, string>} */ env) => readConfig({ ...ENV, ...env }).versionUrl;
    assert.equal(told({}), 'https://web.whatsapp.com/sw.js');
    assert.equal(told({ WA_SOCKET_URL: 'ws://127.0.0.1:8099/ws/chat', WA_VERSION_URL: '' }), 'http://127.0.0.1:8099/sw.js');
    assert.equal(told({ WA_SOCKET_URL: 'wss://network:1/ws/chat' }), 'https://network:1/sw.js');
    assert.equal(told({ WA_VERSION_URL: 'https://mirror/version' }), 'https://mirror/version');
  });

  for (const [change, says] of /** @type {[Record<string, string>, RegExp][]} */ ([
    [{ WHATSAPP_SECRET: '' }, /WHATSAPP_SECRET is not set/],
    [{ DATABASE_URL: '' }, /BRIDGE_DATABASE_URL or DATABASE_URL is not set/],
    [{ DATABASE_URL: 'mysql://x' }, /must be a URL that starts with postgres/],
    [{ WHATSAPP_PORT: '99999' }, /WHATSAPP_PORT must be a whole number/],
    [{ WA_VERSION_URL: 'file:///etc/version' }, /WA_VERSION_URL must be a URL that starts with http/],
    [{ SEND_ACK_TIMEOUT_S: 'soon' }, /SEND_ACK_TIMEOUT_S must be a number of seconds/],
    [{ WA_LOOKUP_BURST: '0' }, /WA_LOOKUP_BURST must be a whole number from 1 /],
    [{ WA_ENCRYPTION_KEYS: 'nonsense' }, /key 1 must read id:base64/],
    [{ WA_ENCRYPTION_KEYS: `a:${first},b:c2hvcnQ=` }, /key 2 \("b"\) is not the base64 of 32 bytes/],
    [{ WA_ENCRYPTION_KEYS: `a:${first},a:${second}` }, /two keys have the same id/],
  ])) {
    it(`refuses ${Object.keys(change)} that is ${JSON.stringify(Object.values(change)[0]).slice(0, 24)}`, () => {
      assert.throws(() => readConfig({ ...ENV, ...change }), (error) => says.test(String(error)) && !String(error).includes(first));
    });
  }
});

describe('the key ring', () => {
  it('opens what it sealed, under the old key too after a new one was put first', () => {
    const before = KeyRing.parse(`a:${first}`);
    const sealed = before.seal('s/session/1.0', Buffer.from('secret'));
    const after = KeyRing.parse(`b:${second},a:${first}`);
    assert.equal(after.open('s/session/1.0', sealed).toString(), 'secret');
    assert.equal(after.seal('x', Buffer.from('y')).subarray(2, 3).toString(), 'b');
  });

  it('does not open a value that was moved, changed, or sealed under a key it lacks', () => {
    const ring = KeyRing.parse(`a:${first}`);
    const sealed = ring.seal('one/session/1.0', Buffer.from('secret'));
    assert.throws(() => ring.open('two/session/1.0', sealed), /damaged or belongs elsewhere/);
    const changed = Buffer.from(sealed);
    changed[changed.length - 20] = (changed[changed.length - 20] ?? 0) ^ 1;
    assert.throws(() => ring.open('one/session/1.0', changed), /damaged or belongs elsewhere/);
    assert.throws(() => KeyRing.parse(`z:${first}`).open('one/session/1.0', sealed), /needs the encryption key "a"/);
    assert.throws(() => ring.open('one/session/1.0', Buffer.from('old')), /unknown form/);
  });
});

describe('masking', () => {
  it('hides the middle of phone numbers', () => {
    assert.equal(maskPhone('+4915112345678'), '+49151*****78');
    assert.equal(maskNumbers('to 4915112345678@s.whatsapp.net at 12:30'), 'to 49151*****78@s.whatsapp.net at 12:30');
    assert.equal(maskPhone('123'), '*****');
  });
});
