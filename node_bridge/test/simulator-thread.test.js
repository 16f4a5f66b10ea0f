import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect, linked, startSimulator } from './simulator-kit.js';

const SHOP = '+4915110000001';
const GUEST = '+4915110000002';

/** @type {import('./simulator-kit.js').Simulator} */
let sim;
before(async () => {
  sim = await startSimulator();
  await sim.phone(SHOP, {}, 'Trattoria');
  await sim.phone(GUEST, {}, 'Guest');
});
after(() => sim.stop());

test('it links by QR, restarts after 515, logs in, and its message is decrypted, acked and confirmed', async () => {
  const first = connect(sim);
  const { device } = await sim.api('POST', `/api/phones/${SHOP}/scan`, { qr: await first.qr() });
  assert.equal(device.device, 1);
  assert.equal(await first.closed(), 515);

  const client = connect(sim, { auth: first.auth });
  await client.open();
  const id = await client.send(GUEST, 'Your table is ready');
  const ack = await client.ack(id);
  assert.equal(ack.error, undefined);
  await client.status(id, 3);

  const [shown] = await sim.shown(GUEST);
  assert.deepEqual(
    { id: shown.id, chat: shown.chat, from: shown.from, from_me: shown.from_me, text: shown.text, kind: shown.kind, copies: shown.copies },
    { id, chat: SHOP, from: SHOP, from_me: false, text: 'Your table is ready', kind: 'text', copies: 1 },
  );
  const [own] = await sim.shown(SHOP);
  assert.equal(own.text, 'Your table is ready');
  assert.equal(own.from_me, true);
  assert.equal(own.chat, GUEST);

  const stats = await sim.api('GET', '/api/stats');
  assert.equal(stats.decrypt_failures, 0);
  assert.equal(stats.bad_signatures, 0);
  assert.equal(stats.accounts[SHOP].messages, 1);
  await client.end();
});

test('what a guest types arrives decrypted, and reading it tells the guest', async () => {
  const { client } = await linked(sim, SHOP);
  const { id } = await sim.api('POST', `/api/phones/${GUEST}/messages`, { to: SHOP, text: 'A table for two?' });
  const message = await client.message(({ key }) => key.id === id);
  assert.equal(message.message.conversation, 'A table for two?');
  assert.equal(message.pushName, 'Guest');
  await sim.until('message.status', (event) => event.id === id && event.status === 'delivered');
  await client.sock.readMessages([message.key]);
  await sim.until('message.status', (event) => event.id === id && event.status === 'read' && event.account === GUEST);
  await client.end();
});
