import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { jidDecode } from 'baileys';
import { linked, startSimulator } from './simulator-kit.js';

const SHOP = '+4915180000001';
const GUEST = '+4915180000002';
const UNTIL = '2031-05-01T12:00:00.000Z';

/** @type {import('./simulator-kit.js').Simulator} */
let sim;
/** @type {import('./simulator-kit.js').Client} */
let client;
before(async () => {
  sim = await startSimulator();
  await sim.phone(SHOP);
  await sim.phone(GUEST);
  ({ client } = await linked(sim, SHOP));
});
after(async () => {
  await client.end();
  await sim.stop();
});

test('a number with a phone is on WhatsApp, another is not', async () => {
  const found = await client.sock.onWhatsApp(GUEST, '+4915189999999');
  assert.deepEqual(found?.map(({ jid, exists }) => [jid, exists]), [[`${GUEST.slice(1)}@s.whatsapp.net`, true]]);
});

test('queries are counted by what they are about', async () => {
  const asked = async () => (await sim.api('GET', '/api/stats')).accounts[SHOP].asked;
  const before = await asked();
  await client.sock.onWhatsApp(GUEST);
  await client.sock.fetchAccountReachoutTimelock();
  const after = await asked();
  assert.deepEqual([after.usync - before.usync, after['w:mex'] - (before['w:mex'] ?? 0)], [1, 1]);
});

test('device lists follow linking and unlinking, by number and by hidden id', async () => {
  const { lid } = await sim.api('GET', `/api/phones/${GUEST}`);
  const devices = async (/** @type {string} */ jid) => (await client.sock.getUSyncDevices([jid], false, false)).map((each) => each.device ?? 0);
  const pn = `${GUEST.slice(1)}@s.whatsapp.net`;
  assert.deepEqual(await devices(pn), [0]);
  const { client: browser, device } = await linked(sim, GUEST);
  for (const jid of [pn, lid]) assert.deepEqual(await devices(jid), [0, device]);
  await sim.api('DELETE', `/api/phones/${GUEST}/devices/${device}`);
  await browser.closed();
  for (const jid of [pn, lid]) assert.deepEqual(await devices(jid), [0]);
  assert.equal(await client.sock.signalRepository.lidMapping.getLIDForPN(pn), lid);
});

test('a contact\'s new device is announced, so that the next message reaches it', async () => {
  await client.status(await client.send(GUEST, 'before'), 3);
  const announced = new Promise((resolve) => client.sock.ws.once('CB:notification,type:devices', resolve));
  const { client: browser, device } = await linked(sim, GUEST);
  const node = /** @type {any} */ (await announced);
  assert.equal(jidDecode(node.content[0].content[0].attrs.jid)?.device, device);
  const id = await client.send(GUEST, 'for the new one too');
  await browser.message(({ key, message }) => key.id === id && message);
  await browser.end();
});

test('the restriction queries say what was set', async () => {
  assert.deepEqual(await client.sock.fetchAccountReachoutTimelock(), { isActive: false, timeEnforcementEnds: undefined, enforcementType: 'DEFAULT' });
  await sim.api('POST', `/api/accounts/${SHOP}/restrictions`, {
    timelock: { active: true, until: UNTIL, type: 'BIZ_QUALITY' }, cap: { status: 'first_warning', total: 50, used: 40, cycle_ends_at: UNTIL },
  });
  assert.deepEqual(await client.sock.fetchAccountReachoutTimelock(), { isActive: true, timeEnforcementEnds: new Date(UNTIL), enforcementType: 'BIZ_QUALITY' });
  const cap = /** @type {any} */ (await client.sock.fetchNewChatMessageCap());
  assert.deepEqual([cap.capping_status, cap.total_quota, cap.used_quota, cap.cycle_end_timestamp], ['FIRST_WARNING', 50, 40, String(Date.parse(UNTIL) / 1000)]);
});

test('a restriction is pushed when asked for', async () => {
  const capping = new Promise((resolve) => client.sock.ev.on(/** @type {any} */ ('message-capping.update'), resolve));
  const restriction = { timelock: { active: true, until: UNTIL }, cap: { status: 'capped', total: 5, used: 5 }, push: true };
  await sim.api('POST', `/api/accounts/${SHOP}/restrictions`, restriction);
  const pushed = await client.until('the time-lock', () =>
    client.updates.find(({ reachoutTimeLock, connection }) => reachoutTimeLock?.isActive && !connection));
  assert.deepEqual(pushed.reachoutTimeLock.timeEnforcementEnds, new Date(UNTIL));
  assert.equal(/** @type {any} */ (await capping).capping_status, 'CAPPED');
  client.updates.length = 0;
  await sim.api('POST', `/api/accounts/${SHOP}/restrictions`, { timelock: { active: false }, push: true });
  await client.until('its end', () => client.updates.find(({ reachoutTimeLock }) => reachoutTimeLock?.isActive === false));
});

test('the small questions of a login are answered', async () => {
  const privacy = await client.sock.fetchPrivacySettings(true);
  assert.equal(privacy.readreceipts, 'all');
  assert.deepEqual(await client.sock.fetchBlocklist(), []);
  assert.equal(await client.sock.digestKeyBundle(), undefined);
  const stats = (await sim.api('GET', '/api/stats')).accounts[SHOP];
  assert.equal(stats.unknown_queries, 0);
});

test('a query the network does not know is answered, not left hanging', async () => {
  const query = { tag: 'iq', attrs: { to: '@s.whatsapp.net', type: 'get', xmlns: 'fortune:telling' } };
  await assert.rejects(client.sock.query(query), /feature-not-implemented/);
});

test('a malformed message is acked with 479, one to nobody with 400', async () => {
  const malformed = { tag: 'message', attrs: { id: 'EMPTY', to: `${GUEST.slice(1)}@s.whatsapp.net`, type: 'text' }, content: [] };
  await client.sock.sendNode(malformed);
  assert.equal((await client.ack('EMPTY')).error, '479');
  const enc = { tag: 'enc', attrs: { v: '2', type: 'msg' }, content: Buffer.from('x') };
  await client.sock.sendNode({ tag: 'message', attrs: { id: 'NOBODY', to: '4915189999999@s.whatsapp.net', type: 'text' }, content: [enc] });
  assert.equal((await client.ack('NOBODY')).error, '400');
});

test('typing shows', async () => {
  await client.sock.sendPresenceUpdate('composing', `${GUEST.slice(1)}@s.whatsapp.net`);
  const event = await sim.until('typing');
  assert.deepEqual([event.account, event.to, event.state], [SHOP, GUEST, 'composing']);
});

test('under an enforced time-lock only those who wrote first can be answered', async () => {
  const stranger = '+4915180000003';
  await sim.phone(stranger);
  await sim.api('POST', `/api/phones/${GUEST}/messages`, { to: SHOP, text: 'I wrote first' });
  const { lid } = await sim.api('GET', `/api/phones/${GUEST}`);
  await client.until('the token', () => /"data":"[^"]{20,}"/.test(client.auth.kept.get(`tctoken/${lid}`) ?? ''));
  await sim.api('POST', `/api/accounts/${SHOP}/restrictions`, { timelock: { active: true, until: UNTIL, enforce: true } });
  assert.equal((await client.ack(await client.send(stranger, 'Hello, stranger'))).error, '463');
  assert.equal((await client.ack(await client.send(GUEST, 'Hello, regular'))).error, undefined);
  await sim.api('POST', `/api/accounts/${SHOP}/restrictions`, { timelock: { active: true, until: '2020-01-01T00:00:00Z', enforce: true } });
  assert.equal((await client.ack(await client.send(stranger, 'It is over'))).error, undefined);
  assert.deepEqual((await sim.shown(stranger)).map(({ text }) => text), ['It is over']);
});
