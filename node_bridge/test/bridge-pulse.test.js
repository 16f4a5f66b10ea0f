import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, afterEach, before, describe, it } from 'node:test';
import { DEFAULT_CONNECTION_CONFIG, initAuthCreds } from 'baileys';
import { Pulse } from '../src/engine/pulse.js';
import { closeSocket, openSocket } from '../src/engine/socket.js';
import { makeLog } from '../src/log.js';
import { KeyRing } from '../src/store/keyring.js';
import { Store } from '../src/store/store.js';
import { databaseUrl, TestDatabase } from './support/database.js';
import { Network } from './support/network.js';
import { Proxy } from './support/proxy.js';

const log = makeLog('silent');
const QUIET_MS = 200;
const ANSWER_MS = 300;
const SILENCE_MS = 1_000; // longer than a busy machine takes to begin

describe('the pulse of a connection', { timeout: 60_000 }, () => {
  const db = new TestDatabase();
  const store = new Store({ url: databaseUrl, connections: 1, ring: KeyRing.parse(`k:${randomBytes(32).toString('base64')}`), log });
  /** @type {Network} */ let network;
  /** @type {Proxy} */ let proxy;
  /** @type {string} */ let url;
  /** @type {any[]} */ let open = [];
  /** @type {string[]} */ let causes = [];
  before(async () => (network = await Network.start()));
  afterEach(async () => {
    await Promise.all(open.map(({ sock, pulse }) => (pulse.stop(), closeSocket(sock))));
    proxy.close();
    open = [];
    causes = [];
  });
  after(() => Promise.all([network.stop(), store.close(), db.close()]));

  /** A real socket to the network, by way of a cable that can be held unless told otherwise, with a pulse in a hurry. */
  async function connection({ by, quietMs = QUIET_MS, answerMs = ANSWER_MS } = /** @type {{by?: string, quietMs?: number, answerMs?: number}} */ ({})) {
    ({ proxy, url } = await Proxy.before(network.socketUrl));
    const { vault } = await store.open(await db.makeSession(), 1);
    const { sock } = openSocket({
      vault, creds: initAuthCreds(), version: DEFAULT_CONNECTION_CONFIG.version, socketUrl: by ?? url, log,
      onEncrypt: () => {}, onMessage: () => {}, onPasskey: () => {}, onStalled: () => {},
    });
    const pulse = new Pulse({ sock, onDead: (cause) => causes.push(cause), quietMs, answerMs });
    open.push({ sock, pulse });
    await once(sock.ws, 'CB:iq,type:set,pair-device');
    return { sock, pulse };
  }

  /** Until a ping has left this process. @param {any} sock */
  async function pinged(sock) {
    const { query } = sock;
    await new Promise((resolve) => {
      sock.query = (/** @type {any[]} */ ...asked) => {
        resolve(undefined);
        return query(...asked);
      };
    });
    sock.query = query;
    await new Promise(setImmediate);
  }

  const pings = async () => (await network.call('GET', '/stats')).pings;

  it('pings after a silence, once, and measures the round trip', async () => {
    const before = await pings();
    const { sock, pulse } = await connection({ quietMs: SILENCE_MS });
    assert.equal(pulse.pingMs, null);
    const heard = pulse.lastStanzaAt ?? 0;
    proxy.delayMs = 120;
    await once(sock.ws, 'frame');
    await network.until(async () => pulse.pingMs !== null);
    assert.equal(await pings(), before + 1);
    assert.ok(Number(pulse.pingMs) >= 115 && Number(pulse.pingMs) < ANSWER_MS + 1_000, `${pulse.pingMs} ms`);
    assert.ok((pulse.lastStanzaAt ?? 0) - heard >= SILENCE_MS - 20);
    await once(sock.ws, 'frame');
    assert.equal(await pings(), before + 2);
    assert.deepEqual(causes, []);
  });

  it('does not ping while there is traffic', async () => {
    const quietMs = 1_000;
    const { sock, pulse } = await connection({ quietMs });
    const before = await pings();
    const ask = () => sock.query({ tag: 'iq', attrs: { to: '@s.whatsapp.net', type: 'get', xmlns: 'usync' } }, 5_000).catch(() => {});
    for (const end = performance.now() + 3 * quietMs; performance.now() < end; await sleep(quietMs / 20)) await ask();
    assert.equal(await pings(), before);
    assert.equal(pulse.pingMs, null);
  });

  it('calls a socket dead whose server has fallen silent, although it is open', async () => {
    const { sock } = await connection();
    proxy.delayMs = 600_000;
    await network.until(async () => causes.length);
    assert.deepEqual([sock.ws.isOpen, causes], [true, ['nothing came for 0.2 s, nor within 0.3 s of a ping']]);
    await sleep(QUIET_MS + ANSWER_MS + 100);
    assert.equal(causes.length, 1);
  });

  it('goes by anything that comes, not by the answer alone', async () => {
    const { sock } = await connection();
    await network.fault({ on: 'query', match: { xmlns: 'w:p' }, times: 0, do: { action: 'drop' } });
    const ask = () => sock.query({ tag: 'iq', attrs: { to: '@s.whatsapp.net', type: 'get', xmlns: 'usync' } }, 5_000).catch(() => {});
    for (let at = 0; at < 4; at += 1) {
      await network.until(async () => (await network.call('GET', '/faults')).faults[0].struck > at);
      await ask(); // a stanza that is no answer to the ping
    }
    assert.deepEqual(causes, []);
    await network.until(async () => causes.length); // and now nothing at all
    await network.call('DELETE', '/faults');
  });

  it('reads what came while this process stood still before it judges', async () => {
    const { sock } = await connection({ by: network.socketUrl });
    await pinged(sock);
    standStill(ANSWER_MS + 500); // the answer lies in the socket, and the timer is first
    await once(sock.ws, 'frame');
    await sleep(QUIET_MS);
    assert.deepEqual(causes, []);
  });

  it('does not count the time in which this process stood still: it pings anew', async () => {
    const answerMs = 700;
    const { sock } = await connection({ answerMs });
    const before = await pings();
    proxy.delayMs = 3_000; // the answer is still on its way when the process goes on
    await pinged(sock);
    await once(proxy, 'said'); // the cable has the answer
    standStill(2_700);
    await once(sock.ws, 'frame');
    assert.deepEqual(causes, []);
    assert.ok((await pings()) > before + 1);
    proxy.delayMs = 600_000;
    standStill(QUIET_MS + answerMs + 1_500);
    await network.until(async () => causes.length); // a server that is gone is found all the same
  });

  it('leaves no timer behind, however the connection ends', async () => {
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    for (const end of [
      (/** @type {any} */ { pulse }) => pulse.stop(),
      (/** @type {any} */ { sock }) => sock.ev.emit('connection.update', { connection: 'close' }),
    ]) {
      const one = await connection();
      const before = timers();
      end(one);
      assert.equal(timers(), before - 1);
      one.sock.ws.emit('frame', {});
      assert.equal(timers(), before - 1);
      await closeSocket(one.sock);
      proxy.close();
    }
  });
});

/** As a process that was stopped: no timer, no socket, nothing. @param {number} ms */
function standStill(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
