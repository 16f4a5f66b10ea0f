import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startSimulator } from './simulator-kit.js';
import { CheapClient, populate } from './simulator-swarm.js';

const SHOPS = 1000;
const SENDERS = 100;
const skip = await import('node:sqlite').then(() => false, () => `--data needs Node 22.13 or newer, this is ${process.version}`);

test('a thousand devices are connected to one network, and their messages arrive once each', { skip, timeout: 180_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'simulator-scale-'));
  const { shops, guests } = await populate(directory, { shops: SHOPS, guests: 10 });
  const sim = await startSimulator({ args: ['--data', directory] });
  const clients = shops.map((account) => new CheapClient(sim.socketUrl, account));
  await Promise.all(clients.map((client) => client.login()));
  const health = await sim.api('GET', '/api/health');
  assert.equal(health.sockets, SHOPS);
  assert.ok(health.rss_mb < 512, `${health.rss_mb} MB`);

  for (const text of ['first', 'second']) {
    const acks = await Promise.all(clients.slice(0, SENDERS).map((client, i) => client.send(/** @type {any} */ (guests[i % 10]), text)));
    assert.deepEqual(acks.filter(({ attrs }) => attrs.error), []);
  }
  const arrived = () => sim.events.filter(({ type, message }) => type === 'message.shown' && !message.from_me).length;
  await sim.until('message.shown', () => arrived() === SENDERS * 2);
  const shown = (await Promise.all(guests.map(({ number }) => sim.shown(`+${number}`)))).flat();
  assert.deepEqual([shown.length, shown.filter(({ copies }) => copies !== 1)], [SENDERS * 2, []]);
  assert.equal((await sim.api('GET', '/api/stats')).decrypt_failures, 0);
  for (const client of clients) client.close();
  await sim.stop();
  await rm(directory, { recursive: true, force: true });
});
