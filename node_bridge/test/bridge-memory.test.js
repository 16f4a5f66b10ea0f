import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { after, before, describe, it } from 'node:test';
import { ClientVersion } from '../src/engine/client-version.js';
import { Lookups } from '../src/engine/lookups.js';
import { Memories } from '../src/engine/memory.js';
import { Outbox } from '../src/events/outbox.js';
import { makeLog } from '../src/log.js';
import { Sessions } from '../src/sessions.js';
import { Signals } from '../src/signals.js';
import { KeyRing } from '../src/store/keyring.js';
import { Store } from '../src/store/store.js';
import { scratch, SECRET } from './support/bridge.js';
import { databaseUrl, TestDatabase } from './support/database.js';
import { Network } from './support/network.js';
import { Web } from './support/web.js';

const CYCLES = 40;
const log = makeLog('silent');

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

describe('memory', { timeout: 120_000 }, () => {
  const db = new TestDatabase();
  const store = new Store({ url: databaseUrl, connections: 2, ring: KeyRing.parse(`k:${randomBytes(32).toString('base64')}`), log });
  /** @type {Network} */ let network;
  /** @type {Web} */ let web;
  /** @type {Outbox} */ let outbox;
  before(async () => {
    network = await Network.start();
    web = await Web.start();
    outbox = new Outbox({ dir: scratch(), maxBytes: 1_000_000, webUrl: web.url, secret: SECRET, log });
  });
  after(async () => {
    await Promise.all([network.stop(), outbox.close(), store.close(), db.close()]);
    await web.stop();
  });

  it('returns after sessions were opened and closed, with their timers', async () => {
    const signals = new Signals();
    const clientVersion = new ClientVersion({ url: `${network.url}/sw.js`, log });
    const sessions = new Sessions({
      store, outbox, signals, clientVersion, mayAct: () => true, socketUrl: network.socketUrl, ackTimeoutMs: 5_000,
      lookupLimit: { burst: 1, everyMs: 0 }, log,
    });
    const heard = (/** @type {(status: any) => unknown} */ fits) =>
      new Promise((resolve) => (signals.publish = (status) => fits(status) && resolve(status)));
    const connected = (/** @type {any} */ status) => status.state === 'connected';

    const id = await db.makeSession();
    await network.phone('+4915199999999');
    const shown = heard((status) => status.qr);
    await sessions.open({ id, owner: 'w', term: 1, link: { mode: 'qr' } });
    const { qr } = /** @type {any} */ (await shown);
    const linked = heard(connected);
    await network.scan('+4915199999999', qr.text);
    await linked;

    const cycles = async () => {
      for (let at = 0; at < CYCLES; at += 1) {
        await sessions.close(id, 1, false);
        const again = heard(connected);
        await sessions.open({ id, owner: 'w', term: 1 });
        await again;
      }
      await sessions.close(id, 1, false);
      collect();
      return { heap: process.memoryUsage().heapUsed, timers: process.getActiveResourcesInfo().filter((one) => one === 'Timeout').length };
    };
    await cycles();
    const before = await cycles();
    const after = await cycles();
    assert.ok(after.heap - before.heap < 3_000_000, `${after.heap - before.heap} bytes more after ${CYCLES} cycles`);
    // One that a session leaves behind would be there 40 times; a few of sockets and pools come and go.
    assert.ok(after.timers < before.timers + CYCLES / 2, `${before.timers} timers, then ${after.timers}`);
    assert.equal(sessions.size, 0);
  });
});

describe('what is remembered', () => {
  const lookupLimit = { burst: 1, everyMs: 0 };
  const HOUR_MS = 60 * 60 * 1000;

  it('of numbers goes when it is out of date, asked for again or not', () => {
    const lookups = new Lookups(lookupLimit);
    for (const [phone, address] of /** @type {const} */ ([['+491', 'a'], ['+492', null], ['+493', null]])) lookups.set(phone, address, 0);
    assert.deepEqual([lookups.get('+492', 6 * HOUR_MS), lookups.size], [undefined, 2]);
    lookups.sweep(6 * HOUR_MS);
    assert.deepEqual([lookups.get('+491', 6 * HOUR_MS), lookups.size], ['a', 1]);
  });

  it('of a session goes a day after it has closed, unless it was opened again', () => {
    let now = 0;
    const memories = new Memories({ lookupLimit, now: () => now });
    const [kept, open] = [memories.of('closed', false), memories.of('open', false)];
    memories.of('gone', false);
    open.lookups.set('+491', 'a', now);
    for (const id of ['closed', 'gone']) memories.closed(id);
    now = 24 * HOUR_MS;
    memories.sweep();
    assert.deepEqual([memories.size, memories.of('closed', false) === kept, open.lookups.size], [3, true, 0]);
    now += 1;
    memories.sweep();
    assert.deepEqual([memories.size, memories.of('closed', false) === kept, memories.of('open', false) === open], [2, true, true]);
  });
});
