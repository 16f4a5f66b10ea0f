import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect, linked, startSimulator } from './simulator-kit.js';

/** @type {import('./simulator-kit.js').Simulator} */
let sim;
let last = 4915130000000;
/** A phone of its own for each test. */
const newPhone = async () => {
  const number = `+${++last}`;
  await sim.phone(number);
  return number;
};
before(async () => {
  sim = await startSimulator();
});
after(() => sim.stop());

test('it links by code', async () => {
  const number = await newPhone();
  const first = connect(sim);
  await first.qr();
  const code = await first.sock.requestPairingCode(number.slice(1));
  await sim.until('code.requested', ({ account }) => account === number);
  const { device } = await sim.api('POST', `/api/phones/${number}/enter-code`, { code: `${code.slice(0, 4)}-${code.slice(4).toLowerCase()}` });
  assert.equal(device.device, 1);
  assert.equal(await first.closed(), 515);
  const client = connect(sim, { auth: first.auth });
  await client.open();
  await client.end();
});

test('a wrong code links nothing, and the right one still works afterwards', async () => {
  const number = await newPhone();
  const first = connect(sim);
  await first.qr();
  const code = await first.sock.requestPairingCode(number.slice(1));
  await sim.until('code.requested', ({ account }) => account === number);
  const wrong = await sim.call('POST', `/api/phones/${number}/enter-code`, { code: 'AAAAAAAA' });
  assert.deepEqual([wrong.status, wrong.body.error.code], [409, 'code_unknown']);
  assert.deepEqual((await sim.api('GET', `/api/phones/${number}`)).devices, []);
  const { device } = await sim.api('POST', `/api/phones/${number}/enter-code`, { code });
  assert.equal(device.device, 1);
  await first.closed();
});

test('a code is unknown on a phone that nobody asked to link', async () => {
  const number = await newPhone();
  const answer = await sim.call('POST', `/api/phones/${number}/enter-code`, { code: 'ABCD1234' });
  assert.deepEqual([answer.status, answer.body.error.code], [409, 'code_unknown']);
});

test('a QR works once, expires with its device, and others are unknown', async () => {
  const number = await newPhone();
  const before = sim.events.at(-1)?.n ?? 0;
  const client = connect(sim);
  const qr = await client.qr();
  const forged = qr.replace(/,[^,]*,/, `,${Buffer.alloc(32).toString('base64')},`);
  const code = async (/** @type {string} */ text) => {
    const { status, body } = await sim.call('POST', `/api/phones/${number}/scan`, { qr: text });
    return [status, body.error?.code];
  };
  assert.deepEqual(await code('https://wa.me/settings/linked_devices#2@nobody,a,b,c,1'), [409, 'qr_unknown']);
  assert.deepEqual(await code('nonsense'), [409, 'qr_unknown']);
  assert.deepEqual(await code(forged), [409, 'qr_unknown']);
  const { socket } = await sim.until('qr.shown', ({ n }) => n > before);
  await client.end();
  await sim.until('socket.closed', (event) => event.socket === socket);
  assert.deepEqual(await code(qr), [409, 'qr_expired']);
});

test('a QR scanned with the wrong secret is refused by the device', async () => {
  const number = await newPhone();
  const client = connect(sim);
  const parts = (await client.qr()).split(',');
  parts[3] = Buffer.alloc(32, 7).toString('base64');
  const { status, body } = await sim.call('POST', `/api/phones/${number}/scan`, { qr: parts.join(',') });
  assert.deepEqual([status, body.error.code], [409, 'link_failed']);
  assert.deepEqual((await sim.api('GET', `/api/phones/${number}`)).devices, []);
});

test('logging out on the phone ends the device with 401 for good; linking again makes a new device', async () => {
  const number = await newPhone();
  const { client, device } = await linked(sim, number);
  await sim.api('DELETE', `/api/phones/${number}/devices/${device}`);
  assert.equal(await client.closed(), 401);
  const stale = connect(sim, { auth: client.auth });
  assert.equal(await stale.closed(), 401);
  const again = await linked(sim, number);
  assert.equal(again.device, 2);
  const { devices } = await sim.api('GET', `/api/phones/${number}`);
  assert.deepEqual(devices.map((/** @type {any} */ each) => [each.device, each.connected]), [[2, true]]);
  assert.match(devices[0].platform, /chrome/);
  await again.client.end();
});

test('logging out on the device unlinks it on the phone', async () => {
  const number = await newPhone();
  const { client } = await linked(sim, number);
  await client.sock.logout();
  await sim.until('device.unlinked', ({ account }) => account === number);
  assert.deepEqual((await sim.api('GET', `/api/phones/${number}`)).devices, []);
});

test('a second socket of the same device replaces the first: 440', async () => {
  const number = await newPhone();
  const { client } = await linked(sim, number);
  const second = connect(sim, { auth: client.auth });
  await second.open();
  assert.equal(await client.closed(), 440);
  await second.end();
});

test('a phone that is deleted is no longer on WhatsApp', async () => {
  const [gone, asking] = [await newPhone(), await newPhone()];
  const { client: lost } = await linked(sim, gone);
  const { client } = await linked(sim, asking);
  assert.equal((await client.sock.onWhatsApp(gone.slice(1)))?.length, 1);
  await sim.api('DELETE', `/api/phones/${gone}`);
  assert.equal(await lost.closed(), 401);
  assert.deepEqual(await client.sock.onWhatsApp(gone.slice(1)), []);
  assert.equal((await sim.call('GET', `/api/phones/${gone}`)).status, 404);
  await client.end();
});
