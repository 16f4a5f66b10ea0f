import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { describe, it } from 'node:test';
import { Boom } from '@hapi/boom';
import { proto } from 'baileys';
import { DeviceCache } from '../src/engine/devices.js';
import { Linking } from '../src/engine/linking.js';
import { Sender } from '../src/engine/sender.js';
import { answerRetries } from '../src/engine/traps/retry-receipts.js';
import { makeLog } from '../src/log.js';

const log = makeLog('silent');
const message = { conversation: 'x' };

/**
 * A sender whose messages are stored already.
 * @param {object} more - of its socket
 * @param {object} [also] - of the sender
 */
function senderOn(more, also = {}) {
  const ws = new EventEmitter();
  const stored = { address: '901@lid', message: Buffer.from(proto.Message.encode(message).finish()) };
  const creds = { me: { id: '49150:7@s.whatsapp.net' }, account: { details: Buffer.of(1) } };
  const sock = { ws, authState: { creds, keys: { transaction: (/** @type {() => unknown} */ work) => work() } }, ...more };
  const sender = new Sender(/** @type {any} */ ({
    sock,
    vault: { lastAddress: async () => null, renewSent: async () => stored },
    directory: { requireDevices: async () => [], requireKeys: async () => {} },
    devices: { del: async () => {} },
    ended: new AbortController().signal, mayAct: () => true, ackTimeoutMs: 5_000, log, onAcked: () => {}, onLateAck: () => {},
    ...also,
  }));
  const send = (/** @type {string} */ id) =>
    sender.send({ id, to: { phone: '+49151' }, content: { type: 'text', text: 'x' }, typing_ms: 0, resend: false });
  return { ws, sock, sender, send };
}

/** All that has nothing to wait for is done. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

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
    let refuse = () => {};
    const refused = new Promise((resolve) => (refuse = () => resolve(undefined)));
    const relayMessage = async () => {
      ws.emit('relaying');
      await refused;
      throw new Boom('rate-overlimit', { data: 429 });
    };
    const { ws, sender, send } = senderOn({ relayMessage });
    const relaying = once(ws, 'relaying');
    const sent = send('M');
    await relaying;
    sender.noteEncryption(); // as the answer to a retry receipt does
    refuse();
    assert.deepEqual(await sent, { outcome: 'not_sent', reason: 'rate_limited' });
  });

  it('a message and the answer to a retry receipt, which bears its id, get their own acks', async () => {
    /** @type {string[]} */
    const wire = [];
    /** @type {string[]} */
    const late = [];
    const { ws, sock, send } = senderOn({
      serverProps: {},
      assertSessions: async () => true,
      signalRepository: { encryptMessage: async () => ({ type: 'msg', ciphertext: Buffer.of(1) }) },
      relayMessage: async () => void ws.emit('on the wire', wire.push('message')),
      sendNode: async () => void ws.emit('on the wire', wire.push('answer')),
      sendMessageAck: async () => {},
    }, { onLateAck: (/** @type {string} */ id) => late.push(id) });
    answerRetries(sock, { findMessage: async () => ({ address: '901@lid', message }), log });
    const askAgain = () =>
      ws.emit('CB:receipt', { tag: 'receipt', attrs: { id: 'M', from: '901@lid', type: 'retry' }, content: [{ tag: 'retry', attrs: { count: '1' } }] });
    const ack = (/** @type {object} */ attrs = {}) => ws.emit('CB:ack,class:message', { attrs: { id: 'M', from: '901@lid', ...attrs } });
    const reaching = () => once(ws, 'on the wire');

    const first = reaching();
    const sent = send('M');
    await first;
    askAgain();
    await settled();
    assert.deepEqual(wire, ['message'], 'the answer waits for the message');
    const second = reaching();
    ack();
    assert.equal((await sent).outcome, 'acked');
    await second;
    const again = send('M');
    await settled();
    assert.deepEqual(wire, ['message', 'answer'], 'and the message for the answer');
    const third = reaching();
    ack({ error: '463' });
    await third;
    ack();
    assert.equal((await again).outcome, 'acked');
    assert.deepEqual([wire, late], [['message', 'answer', 'message'], []]);
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
