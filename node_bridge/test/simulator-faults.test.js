import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { DEFAULT_CONNECTION_CONFIG, fetchLatestWaWebVersion } from 'baileys';
import { connect, linked, startSimulator } from './simulator-kit.js';

const GUEST = '+4915150000001';
const OTHER = '+4915150000002';

/** @type {import('./simulator-kit.js').Simulator} */
let sim;
/** @type {import('./simulator-kit.js').Client[]} */
const clients = [];
let last = 4915150001000;

before(async () => {
  sim = await startSimulator();
  await sim.phone(GUEST);
  await sim.phone(OTHER);
});
after(() => sim.stop());
afterEach(async () => {
  await sim.api('DELETE', '/api/faults');
  await Promise.all(clients.splice(0).map((client) => client.end()));
});

/** @param {object} [config] */
async function shop(config) {
  const number = `+${++last}`;
  await sim.phone(number);
  const { client } = await linked(sim, number, config);
  clients.push(client);
  return { number, client };
}

/** @param {object} fault */
const order = (fault) => sim.api('POST', '/api/faults', fault);
const texts = async () => (await sim.shown(GUEST)).map(({ text }) => text);
/** @param {string} id */
const shownAs = (id) => sim.until('message.shown', ({ account, message }) => account === GUEST && message.id === id);

test('an error ack: the message is not taken', async () => {
  const { number, client } = await shop();
  await order({ account: number, on: 'message', do: { action: 'ack_error', code: 463 } });
  const id = await client.send(GUEST, 'refused');
  assert.equal((await client.ack(id)).error, '463');
  const next = await client.send(GUEST, 'taken');
  assert.equal((await client.ack(next)).error, undefined);
  await shownAs(next);
  assert.equal((await texts()).includes('refused'), false);
});

test('an error ack for a message that was taken', async () => {
  const { number, client } = await shop();
  await order({ account: number, on: 'ack', do: { action: 'ack_error', code: '479' } });
  const id = await client.send(GUEST, 'taken, yet refused');
  assert.equal((await client.ack(id)).error, '479');
  await shownAs(id);
});

test('a swallowed message is lost, a swallowed ack is not', async () => {
  const { number, client } = await shop();
  await order({ account: number, on: 'message', match: { id: 'LOST' }, do: { action: 'drop' } });
  await order({ account: number, on: 'ack', match: { id: 'SILENT' }, do: { action: 'drop' } });
  await client.send(GUEST, 'lost', 'LOST');
  await client.send(GUEST, 'silent', 'SILENT');
  const loud = await client.send(GUEST, 'loud');
  await client.ack(loud);
  await shownAs('SILENT');
  assert.equal((await texts()).includes('lost'), false);
  assert.deepEqual(client.acks.map(({ id }) => id), [loud]);
});

test('cut before the message: it never arrives', async () => {
  const { number, client } = await shop();
  await order({ account: number, on: 'message', do: { action: 'terminate' } });
  await client.send(GUEST, 'cut off');
  assert.equal(await client.closed(), 428);
  assert.equal((await texts()).includes('cut off'), false);
});

test('cut between taking and ack: it arrives, and nobody was told', async () => {
  const { number, client } = await shop();
  await order({ account: number, on: 'ack', do: { action: 'terminate', moment: 'before' } });
  const id = await client.send(GUEST, 'arrived anyway');
  assert.equal(await client.closed(), 428);
  await shownAs(id);
  assert.deepEqual(client.acks, []);
});

test('cut after the ack: the ack was heard', async () => {
  const { number, client } = await shop();
  await order({ account: number, on: 'ack', do: { action: 'terminate', moment: 'after' } });
  const id = await client.send(GUEST, 'acked, then cut');
  await client.ack(id);
  assert.equal(await client.closed(), 428);
  await shownAs(id);
});

test('a delayed ack comes, later than it would have', async () => {
  const { number, client } = await shop();
  await order({ account: number, on: 'ack', do: { action: 'delay', ms: 400 } });
  const start = performance.now();
  const id = await client.send(GUEST, 'patience');
  await client.ack(id);
  assert.ok(performance.now() - start >= 390);
});

test('a delayed message overtakes nothing it should not: it only arrives later', async () => {
  const { number, client } = await shop();
  await order({ account: number, on: 'message', do: { action: 'delay', ms: 300 } });
  const id = await client.send(GUEST, 'slow');
  assert.equal(client.acks.length, 0);
  await client.ack(id);
  await shownAs(id);
});

test('a stream error closes with its code', async () => {
  const { number, client } = await shop();
  await order({ account: number, on: 'message', do: { action: 'stream_error', code: 503, reason: 'service-unavailable' } });
  await client.send(GUEST, 'not now');
  assert.equal(await client.closed(), 503);
});

test('a stream error says replaced: 440', async () => {
  const { number, client } = await shop();
  await order({ account: number, on: 'message', do: { action: 'stream_error', reason: 'replaced' } });
  await client.send(GUEST, 'replaced');
  assert.equal(await client.closed(), 440);
});

test('a failure at login, with its attributes, and none at the next', async () => {
  const { number, client } = await shop();
  await client.end();
  await order({ account: number, on: 'login', do: { action: 'failure', code: 402, attrs: { code: '101', expire: '86400' } } });
  const banned = connect(sim, { auth: client.auth });
  clients.push(banned);
  assert.equal(await banned.closed(), 402);
  const { data } = banned.updates.find(({ connection }) => connection === 'close').lastDisconnect.error;
  assert.deepEqual([data.code, data.expire], ['101', '86400']);
  const next = connect(sim, { auth: client.auth });
  clients.push(next);
  await next.open();
});

test('a client is told that its phone has no linked devices: 411', async () => {
  const { number, client } = await shop();
  await client.end();
  await order({ account: number, on: 'login', do: { action: 'downgrade' } });
  const refused = connect(sim, { auth: client.auth });
  clients.push(refused);
  assert.equal(await refused.closed(), 411);
});

test('a passkey is asked for while linking, and the code is shown all the same', async () => {
  await order({ on: 'connect', do: { action: 'ask_passkey' } });
  const client = connect(sim);
  clients.push(client);
  const asked = new Promise((resolve) => client.sock.ws.once('CB:notification,type:passkey_prologue_request', resolve));
  await client.qr();
  const { content } = /** @type {any} */ (await asked);
  assert.equal(JSON.parse(content[0].content.toString()).rpId, 'web.whatsapp.com');
});

/** What the unmodified client reads out of the service worker. */
async function servedVersion() {
  const { fetch } = globalThis;
  globalThis.fetch = (_url, init) => fetch(`${sim.url}/sw.js`, init);
  const { version } = await fetchLatestWaWebVersion().finally(() => (globalThis.fetch = fetch));
  return version;
}

test('a client that is too old is let in neither to log in nor to link: 405', async () => {
  const { number, client } = await shop();
  await client.end();
  const version = /** @type {[number, number, number]} */ ([2, 3000, DEFAULT_CONNECTION_CONFIG.version[2] + 1]);
  await sim.api('POST', '/api/client-versions', { current: version.join('.'), oldest: version.join('.') });
  assert.deepEqual(await servedVersion(), version);
  for (const auth of [client.auth, undefined]) assert.equal(await connect(sim, auth ? { auth } : {}).closed(), 405);
  await sim.until('login.failed', ({ account, code }) => account === number && code === 405);
  const next = connect(sim, { auth: client.auth, config: { version } });
  clients.push(next);
  await next.open();
  assert.deepEqual(await sim.api('POST', '/api/client-versions', { oldest: null }), { current: version.join('.'), oldest: null });
});

test('a connection is cut before login', async () => {
  const { number, client } = await shop();
  await client.end();
  await order({ account: number, on: 'connect', times: 2, do: { action: 'terminate' } });
  for (const _ of [1, 2]) {
    const cut = connect(sim, { auth: client.auth });
    assert.equal(await cut.closed(), 428);
  }
  const next = connect(sim, { auth: client.auth });
  clients.push(next);
  await next.open();
});

test('a query is answered with an error: 429', async () => {
  const { number, client } = await shop();
  await order({ account: number, on: 'query', match: { xmlns: 'usync' }, do: { action: 'iq_error', code: 429, text: 'rate-overlimit' } });
  await assert.rejects(client.sock.onWhatsApp(GUEST), (/** @type {any} */ error) => error.data === 429 && error.message === 'rate-overlimit');
  assert.equal((await client.sock.onWhatsApp(GUEST))?.[0]?.exists, true);
});

test('a query stays without an answer', async () => {
  const { number, client } = await shop({ defaultQueryTimeoutMs: 300 });
  await order({ account: number, on: 'query', match: { xmlns: 'usync' }, do: { action: 'drop' } });
  assert.equal(await client.sock.onWhatsApp(GUEST), undefined);
});

test('a part of an answer is left out', async () => {
  const { number, client } = await shop();
  await order({ account: number, on: 'query', match: { xmlns: 'usync', asks: ['contact', 'lid'] }, do: { action: 'leave_out', tags: ['user'] } });
  assert.equal((await client.sock.onWhatsApp(GUEST))?.length, 1, 'it does not ask for the LID');
  await order({ account: number, on: 'query', match: { xmlns: 'usync', asks: ['contact'] }, do: { action: 'leave_out', tags: ['user'] } });
  assert.deepEqual(await client.sock.onWhatsApp(GUEST), []);
});

test('the keys of one device are refused, and the unmodified client takes no others', async () => {
  const { number, client } = await shop();
  const { client: browser, device } = await linked(sim, OTHER);
  clients.push(browser);
  await order({ account: number, on: 'bundle', match: { to: OTHER, device }, do: { action: 'bundle_error', code: 404, text: 'item-not-found' } });
  await assert.rejects(client.send(OTHER, 'for the phone, too'), /item-not-found/);
  assert.equal((await client.ack(await client.send(OTHER, 'for both'))).error, undefined);
});

test('an ack tells a hash of the devices, which changes with them although nobody was told', async () => {
  const { number, client } = await shop();
  const hash = async () => (await client.ack(await client.send(OTHER, 'hash?'))).phash;
  const before = await hash();
  assert.deepEqual([before.startsWith('2:'), await hash()], [true, before]);
  await order({ account: number, on: 'notification', match: { to: OTHER }, times: 0, do: { action: 'drop' } });
  const { client: browser } = await linked(sim, OTHER);
  clients.push(browser);
  assert.notEqual(await hash(), before);
});

test('a receipt is swallowed, and comes with the next login', async () => {
  const { number, client } = await shop();
  await order({ account: number, on: 'receipt', times: 0, do: { action: 'drop' } });
  const id = await client.send(GUEST, 'no receipt yet');
  await client.ack(id);
  await sim.until('fault.struck', (event) => event.id === id && event.on === 'receipt');
  assert.equal(client.statuses.length, 0);
  await sim.api('DELETE', '/api/faults');
  await client.end();
  const next = connect(sim, { auth: client.auth });
  clients.push(next);
  await next.status(id, 3);
});

test('a fault strikes the account, the receiver and as often as it was ordered', async () => {
  const [one, two] = [await shop(), await shop()];
  const { id } = await order({ account: one.number, on: 'message', times: 2, match: { to: OTHER }, do: { action: 'ack_error', code: 463 } });
  const sends = [
    [one.client, GUEST, undefined], [two.client, OTHER, undefined], [one.client, OTHER, '463'], [one.client, OTHER, '463'], [one.client, OTHER, undefined],
  ];
  for (const [client, to, error] of /** @type {[import('./simulator-kit.js').Client, string, string | undefined][]} */ (sends)) {
    assert.equal((await client.ack(await client.send(to, 'counted'))).error, error);
  }
  assert.equal((await sim.call('DELETE', `/api/faults/${id}`)).status, 404, 'used up');
});

test('a fault can be ordered for ever and called off', async () => {
  const { number, client } = await shop();
  const { id } = await order({ account: number, on: 'message', times: 0, do: { action: 'ack_error', code: 420 } });
  for (const _ of [1, 2, 3]) assert.equal((await client.ack(await client.send(GUEST, 'never'))).error, '420');
  const { faults } = await sim.api('GET', '/api/faults');
  assert.deepEqual([faults[0].id, faults[0].struck], [id, 3]);
  await sim.api('DELETE', `/api/faults/${id}`);
  assert.equal((await client.ack(await client.send(GUEST, 'now'))).error, undefined);
});

test('the network ends an account\'s sockets when told to', async () => {
  const [one, two] = [await shop(), await shop()];
  assert.deepEqual(await sim.api('POST', `/api/accounts/${one.number}/disconnect`, {}), { disconnected: 1 });
  assert.equal(await one.client.closed(), 428);
  await sim.api('POST', `/api/accounts/${two.number}/disconnect`, { code: 503 });
  assert.equal(await two.client.closed(), 503);
});

test('an order that makes no sense is refused', async () => {
  const code = async (/** @type {object} */ fault) => {
    const { status, body } = await sim.call('POST', '/api/faults', fault);
    return [status, body.error?.code];
  };
  assert.deepEqual(await code({ on: 'message', do: { action: 'iq_error', code: 429 } }), [400, 'invalid_fault']);
  assert.deepEqual(await code({ on: 'breakfast', do: { action: 'drop' } }), [400, 'invalid_request']);
  assert.deepEqual(await code({ on: 'message' }), [400, 'invalid_request']);
  assert.deepEqual(await code({ on: 'message', do: { action: 'drop' }, surprise: true }), [400, 'invalid_request']);
});
