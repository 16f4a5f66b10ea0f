import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { describe, it } from 'node:test';
import { Boom } from '@hapi/boom';
import { proto } from 'baileys';
import { DeviceCache } from '../src/engine/devices.js';
import { Linking } from '../src/engine/linking.js';
import { Sender } from '../src/engine/sender.js';
import { makeLog } from '../src/log.js';

const log = makeLog('silent');

describe('parts of the engine without a network', () => {
  it('a list of devices that was asked for before a change was told is not kept', async () => {
    /** @type {Record<string, any>} */
    const kept = {};
    const vault = {
      get: async (/** @type {string} */ _kind, /** @type {string[]} */ users) =>
        Object.fromEntries(users.flatMap((user) => (kept[user] ? [[user, kept[user]]] : []))),
      set: async (/** @type {any} */ { devices }) => void Object.assign(kept, devices),
    };
    const cache = new DeviceCache(/** @type {any} */ (vault));
    assert.deepEqual(await cache.mget(['901']), {});
    await cache.del('901');
    await cache.mset([{ key: '901', value: ['old'] }, { key: '902', value: ['other'] }]);
    assert.deepEqual(await cache.mget(['901', '902']), { 902: ['other'] });
    await cache.mset([{ key: '901', value: ['new'] }]);
    assert.deepEqual(await cache.mget(['901']), { 901: ['new'] });
  });

  it('what was encrypted for somebody else says nothing of a message that was not', async () => {
    const ws = new EventEmitter();
    const [relaying, refused] = [once(ws, 'relaying'), once(ws, 'refused')];
    const relayMessage = async () => {
      ws.emit('relaying');
      await refused;
      throw new Boom('rate-overlimit', { data: 429 });
    };
    const message = Buffer.from(proto.Message.encode({ conversation: 'x' }).finish());
    const vault = { lastAddress: async () => null, renewSent: async () => ({ address: '901@lid', message }) };
    const directory = { requireDevices: async () => [], requireKeys: async () => {} };
    const devices = { del: async () => {} };
    const creds = { me: { id: '49150:7@s.whatsapp.net' } };
    const parts = {
      sock: { ws, authState: { creds }, relayMessage }, vault, directory, devices,
      ended: new AbortController().signal, mayAct: () => true, ackTimeoutMs: 5_000, log,
    };
    const sender = new Sender(/** @type {any} */ (parts));
    const sent = sender.send({ id: 'M', to: { phone: '+49151' }, content: { type: 'text', text: 'x' }, typing_ms: 0, resend: false });
    await relaying;
    sender.noteEncryption(); // as the answer to a retry receipt does
    ws.emit('refused');
    assert.deepEqual(await sent, { outcome: 'not_sent', reason: 'rate_limited' });
  });

  it('a pairing code is refused in words while its socket closes', async () => {
    const ev = new EventEmitter();
    const requestPairingCode = async () => {
      throw new Boom('Connection Closed', { statusCode: 428 });
    };
    const sock = { ev, ws: new EventEmitter(), generateMessageTag: () => '1-1', requestPairingCode };
    const linking = new Linking({ sock, ended: new AbortController().signal });
    linking.show('qr');
    await assert.rejects(linking.requestCode('+4915112345678'), { code: 'not_connected' });
    ev.emit('connection.update', { connection: 'close' });
  });
});
