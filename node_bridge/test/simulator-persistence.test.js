import assert from 'node:assert/strict';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, linked, startSimulator } from './simulator-kit.js';

const SHOP = '+4915170000001';
const GUEST = '+4915170000002';
const AWAY = '+4915170000003';
const skip = await import('node:sqlite').then(() => false, () => `--data needs Node 22.13 or newer, this is ${process.version}`);

/** @type {string} */
let directory;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'simulator-'));
});
after(() => rm(directory, { recursive: true, force: true }));

test('after kill -9 nothing that was acked is lost, and nobody needs a new session', { skip }, async () => {
  let sim = await startSimulator({ args: ['--data', directory] });
  for (const number of [SHOP, GUEST]) await sim.phone(number, { read_receipts: 'manual' });
  await sim.phone(AWAY, { online: false });
  const { client, device } = await linked(sim, SHOP);
  const { auth } = client;
  await sim.api('POST', `/api/phones/${GUEST}/messages`, { to: SHOP, text: 'before' });
  await client.message(({ message }) => message?.conversation === 'before');
  await client.status(await client.send(GUEST, 'known'), 3);
  await client.ack(await client.send(AWAY, 'for later'));
  // Killed in the midst of a burst: what was acked by then must be there afterwards.
  const burst = Array.from({ length: 20 }, (_, i) => client.send(GUEST, `burst ${i}`));
  await client.until('some acks', () => client.acks.length >= 8);
  await sim.stop('SIGKILL');
  await client.closed();
  await Promise.allSettled(burst);
  const acked = client.acks.map(({ id }) => id);
  const { port } = sim;

  sim = await startSimulator({ args: ['--data', directory], port });
  const shown = async (/** @type {string} */ number) => (await sim.shown(number)).map(({ id }) => id);
  const next = connect(sim, { auth });
  await next.open();
  await next.caughtUp();
  const last = await next.send(GUEST, 'after');
  await sim.until('message.shown', ({ account, message }) => account === GUEST && message.id === last);
  await sim.api('PATCH', `/api/phones/${AWAY}`, { settings: { online: true } });
  await sim.until('message.shown', ({ account }) => account === AWAY);
  const everything = [...(await shown(GUEST)), ...(await shown(AWAY))];
  assert.deepEqual(acked.filter((id) => !everything.includes(id)), []);
  assert.deepEqual((await sim.shown(GUEST)).filter(({ copies }) => copies !== 1), []);

  const { id } = await sim.api('POST', `/api/phones/${GUEST}/messages`, { to: SHOP, text: 'and back' });
  assert.equal((await next.message(({ key }) => key.id === id)).message.conversation, 'and back');
  const stats = await sim.api('GET', '/api/stats');
  assert.deepEqual([stats.decrypt_failures, stats.retry_receipts, stats.pairings], [0, 0, 0]);
  const phone = await sim.api('GET', `/api/phones/${SHOP}`);
  assert.deepEqual([phone.devices[0].device, phone.devices[0].connected], [device, true]);
  await next.end();
  assert.equal(await sim.stop(), 0);
});

test('settings, names, chats, restrictions and hidden ids survive an orderly restart too', { skip }, async () => {
  const args = ['--data', join(directory, 'orderly')];
  let sim = await startSimulator({ args });
  const made = await sim.api('POST', '/api/phones', {
    number: SHOP, name: 'Trattoria', lid: '123456789012345', settings: { read_delay_ms: 5, addressing: 'lid' },
  });
  await sim.phone(GUEST);
  await sim.api('POST', `/api/phones/${GUEST}/messages`, { to: SHOP, text: 'hello' });
  await sim.until('message.status', ({ status }) => status === 'delivered');
  await sim.api('POST', `/api/accounts/${SHOP}/restrictions`, { timelock: { active: true, until: '2030-01-01T00:00:00Z' } });
  const [{ media_ca: certificate }, chats] = [await sim.api('GET', '/api/certificates'), await sim.api('GET', `/api/phones/${SHOP}/chats`)];
  assert.equal(await sim.stop(), 0);

  sim = await startSimulator({ args });
  assert.deepEqual(await sim.api('GET', `/api/phones/${SHOP}`), made);
  assert.deepEqual(await sim.api('GET', `/api/phones/${SHOP}/chats`), chats);
  assert.equal((await sim.api('GET', '/api/certificates')).media_ca, certificate);
  const again = await sim.call('POST', '/api/phones', { number: SHOP, name: 'Somebody else' });
  assert.deepEqual([again.status, again.body.name, again.body.lid], [200, 'Trattoria', '123456789012345@lid']);
  const restriction = await sim.api('POST', `/api/accounts/${SHOP}/restrictions`, {});
  assert.equal(restriction.timelock.active, true);
  await sim.stop();
});

test('a data directory belongs to one simulator, and is for its owner only', { skip }, async () => {
  const args = ['--data', join(directory, 'mine')];
  const sim = await startSimulator({ args });
  await assert.rejects(startSimulator({ args }), /in use by another simulator/);
  assert.equal((await stat(join(directory, 'mine'))).mode & 0o077, 0);
  await sim.stop();
});

test('a data directory that cannot be made is said in one line', { skip }, async () => {
  await assert.rejects(startSimulator({ args: ['--data', '/dev/null/network'] }), /^Error: \/dev\/null\/network: [^\n]+$/);
});
