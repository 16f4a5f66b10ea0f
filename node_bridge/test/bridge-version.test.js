import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { afterEach, describe, it } from 'node:test';
import { DEFAULT_CONNECTION_CONFIG } from 'baileys';
import { ClientVersion } from '../src/engine/client-version.js';
import { makeLog } from '../src/log.js';
import { Stage } from './support/stage.js';

/** @typedef {import('./support/bridge.js').Bridge} Bridge */

const [major, minor, revision] = DEFAULT_CONNECTION_CONFIG.version;
const later = (/** @type {number} */ by) => `${major}.${minor}.${revision + by}`;
const OURS = later(0);

describe('a client that WhatsApp calls too old (405)', () => {
  const stage = new Stage();
  afterEach(() => versions({ current: OURS, oldest: null }));

  /** @param {{current?: string, oldest?: string | null}} change */
  const versions = (change) => stage.network.call('POST', '/client-versions', change);
  const refusals = async (/** @type {string} */ number) => (await stage.network.call('GET', '/stats')).accounts[number].logins_failed;
  const health = async (/** @type {Bridge} */ bridge) => (await bridge.call('GET', '/health')).body;
  const alarms = (/** @type {Bridge} */ bridge) =>
    bridge.process.log.map((line) => JSON.parse(line)).filter(({ level, event }) => level === 'error' && event.includes('too old'));
  const closed = async (/** @type {Bridge} */ bridge, /** @type {string} */ id) => (await bridge.status(id, ({ state }) => state === 'closed')).close;

  /** Sessions linked in time, and a bridge that is to log them in now. @param {number} count @param {Record<string, string>} [env] */
  async function latecomers(count, env) {
    const sessions = [];
    for (let at = 0; at < count; at += 1) sessions.push(await stage.linked());
    for (const { id } of sessions) await stage.bridge.close(id);
    return { sessions, bridge: await stage.another(env) };
  }

  it('gets the current version and tries again by itself; the others of this process begin with it', async () => {
    const { sessions, bridge } = await latecomers(3);
    const [first, ...others] = /** @type {[{id: string, number: string}, ...{id: string, number: string}[]]} */ (sessions);
    await versions({ current: later(5), oldest: later(3) });
    assert.equal((await health(bridge)).wa_version, OURS);
    await bridge.open(first.id, { term: 2 });
    await bridge.status(first.id, ({ state }) => state === 'connected');
    assert.equal((await health(bridge)).wa_version, later(5));
    for (const { id } of others) await bridge.open(id, { term: 2 });
    for (const { id } of others) await bridge.status(id, ({ state }) => state === 'connected');
    assert.deepEqual(await Promise.all(sessions.map(({ number }) => refusals(number))), [1, 0, 0]);
    assert.deepEqual(alarms(bridge).map(({ refused, now }) => [refused, now]), [[OURS, later(5)]]);
  });

  it('looks once for many sessions, and links with it, too', async () => {
    const { sessions, bridge } = await latecomers(4);
    await versions({ current: later(7), oldest: later(7) });
    const number = await stage.phone();
    const fresh = await stage.db.makeSession();
    await Promise.all([...sessions.map(({ id }) => bridge.open(id, { term: 2 })), bridge.open(fresh, { term: 1, link: { mode: 'qr' } })]);
    const { qr } = await bridge.status(fresh, (status) => status.qr);
    await stage.network.scan(number, qr.text);
    for (const id of [fresh, ...sessions.map((one) => one.id)]) await bridge.status(id, ({ state }) => state === 'connected');
    assert.equal(alarms(bridge).length, 1);
  });

  for (const [what, change, attempts, says] of /** @type {[string, {current: string, oldest: string}, number, RegExp][]} */ ([
    ['there is no newer version', { current: OURS, oldest: later(1) }, 1, /no newer version/],
    ['the newest version is refused as well', { current: later(2), oldest: later(9) }, 2, /the newest version is used/],
  ])) {
    it(`closes when ${what}, and the link stays`, async () => {
      const { sessions: [session], bridge } = await latecomers(1);
      const { id, number } = /** @type {{id: string, number: string}} */ (session);
      await versions(change);
      await bridge.open(id, { term: 2 });
      const close = await closed(bridge, id);
      assert.deepEqual([close.code, close.reason, await refusals(number)], [405, 'client_outdated', attempts]);
      assert.deepEqual(alarms(bridge).map(({ event }) => says.test(event)), [true]);
      await versions({ oldest: null });
      bridge.forget();
      await bridge.open(id, { term: 2 });
      await bridge.status(id, ({ state }) => state === 'connected');
    });
  }

  it('closes when nobody tells the version, says so once, and does not ask again at once', async () => {
    const { sessions: [session], bridge } = await latecomers(1, { WA_VERSION_URL: `${stage.network.url}/nothing-here` });
    const { id } = /** @type {{id: string, number: string}} */ (session);
    await versions({ current: later(5), oldest: later(3) });
    for (let times = 0; times < 2; times += 1) {
      bridge.forget();
      await bridge.open(id, { term: 2 });
      assert.equal((await closed(bridge, id)).reason, 'client_outdated');
    }
    assert.deepEqual(alarms(bridge).map(({ event }) => /could not be had/.test(event)), [true]);
    assert.equal((await health(bridge)).wa_version, OURS);
  });
});

describe('the version of WhatsApp Web', () => {
  it('is not looked for when another session has had it renewed, nor taken when it is an older one', async () => {
    let looked = 0;
    const server = createServer((_request, response) => response.end(`self.x={\\"client_revision\\": ${revision + 4 - 2 * looked++}}`)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    const version = new ClientVersion({ url: `http://127.0.0.1:${port}/`, log: makeLog('silent') });
    const refused = version.current;
    assert.deepEqual(await Promise.all([version.renew(refused), version.renew(refused)]), [true, true]);
    assert.deepEqual([String(version), looked], [later(4), 1]);
    const now = performance.now;
    performance.now = () => now.call(performance) + 120_000;
    try {
      assert.deepEqual([await version.renew(refused), looked], [true, 1]);
      assert.deepEqual([await version.renew(version.current), looked], [false, 2]);
    } finally {
      performance.now = now;
    }
    assert.equal(String(version), later(4));
    server.close();
  });
});
