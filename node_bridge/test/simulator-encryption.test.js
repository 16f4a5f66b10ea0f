import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BufferJSON, Curve } from 'baileys';
import { connect, linked, memoryAuth, startSimulator } from './simulator-kit.js';

/** @type {import('./simulator-kit.js').Simulator} */
let sim;
let last = 4915160000000;
const newPhone = async () => {
  const number = `+${++last}`;
  await sim.phone(number);
  return number;
};
before(async () => {
  sim = await startSimulator();
});
after(() => sim.stop());

/** What a client's disk held at this moment. @param {import('./simulator-kit.js').Auth} auth */
function copyOf(auth) {
  const copy = memoryAuth(JSON.parse(JSON.stringify(auth.creds, BufferJSON.replacer), BufferJSON.reviver));
  for (const [key, value] of auth.kept) copy.kept.set(key, value);
  return copy;
}

/**
 * Spoils what a client knows of its session with somebody's device.
 * @param {import('./simulator-kit.js').Auth} auth
 * @param {string} lid
 * @param {string} device
 */
function spoil(auth, lid, device) {
  const key = `session/${lid.split('@')[0]}_1.${device}`;
  const record = JSON.parse(String(auth.kept.get(key)));
  for (const session of Object.values(record._sessions)) {
    for (const chain of /** @type {any[]} */ (Object.values(session._chains))) chain.chainKey.key = Buffer.alloc(32, 9).toString('base64');
  }
  auth.kept.set(key, JSON.stringify(record));
}

function deviceCache() {
  /** @type {Map<string, any>} */
  const kept = new Map();
  return {
    get: (/** @type {string} */ key) => kept.get(key),
    set: (/** @type {string} */ key, /** @type {any} */ value) => void kept.set(key, value),
    del: (/** @type {string} */ key) => void kept.delete(key),
    flushAll: () => kept.clear(),
  };
}

test('what a phone cannot decrypt it asks for again, and shows once', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const { client } = await linked(sim, shop);
  const { lid } = await sim.api('GET', `/api/phones/${guest}`);
  await client.status(await client.send(guest, 'first'), 3);
  spoil(client.auth, lid, '0');
  const id = await client.send(guest, 'garbled, then clear');
  await sim.until('message.undecryptable', (event) => event.account === guest && event.id === id);
  await client.status(id, 3);
  assert.deepEqual((await sim.shown(guest)).map(({ text, copies }) => [text, copies]), [['first', 1], ['garbled, then clear', 1]]);
  const stats = (await sim.api('GET', '/api/stats')).accounts[guest];
  assert.deepEqual([stats.decrypt_failures, stats.retry_receipts, stats.old_counters], [1, 1, 0]);
  await client.end();
});

test('the own phone asks for its copy again, too', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const { client } = await linked(sim, shop);
  const { lid } = await sim.api('GET', `/api/phones/${shop}`);
  await client.status(await client.send(guest, 'first'), 3);
  await sim.until('message.shown', ({ account }) => account === shop);
  spoil(client.auth, lid, '0');
  const id = await client.send(guest, 'again, for me');
  await sim.until('message.retry_asked', (event) => event.account === shop && event.id === id);
  const { message } = await sim.until('message.shown', (event) => event.account === shop && event.message.id === id);
  assert.deepEqual([message.text, message.copies], ['again, for me', 1]);
  await client.end();
});

test('Baileys answers the retry of a linked device with what the real server calls malformed', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const [{ client }, { client: browser, device }] = [await linked(sim, shop), await linked(sim, guest)];
  const { lid } = await sim.api('GET', `/api/phones/${guest}`);
  const first = await client.send(guest, 'first');
  await browser.message(({ key, message }) => key.id === first && message);
  spoil(client.auth, lid, String(device));
  const id = await client.send(guest, 'garbled for the browser');
  await client.until('the refusal of the answer', () => client.acks.some((ack) => ack.id === id && ack.error === '479'));
  await sim.until('message.shown', ({ account, message }) => account === guest && message.id === id);
  await Promise.all([client.end(), browser.end()]);
});

test('after a rollback of the client\'s keys the same message is a copy, another one is lost', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  // The device cache outlives the socket: without it a client starts a new session at every restart.
  const config = { userDevicesCache: deviceCache() };
  const { client } = await linked(sim, shop, config);
  await client.status(await client.send(guest, 'warm up'), 3);
  const before = copyOf(client.auth);
  await client.status(await client.send(guest, 'committed?', 'FIRST'), 3);
  await client.end();

  const resending = connect(sim, { auth: copyOf(before), config });
  await resending.open();
  await resending.send(guest, 'committed?', 'FIRST');
  await sim.until('message.copy', ({ account, message }) => account === guest && message.id === 'FIRST');
  await resending.end();

  const careless = connect(sim, { auth: copyOf(before), config });
  await careless.open();
  await careless.ack(await careless.send(guest, 'something else', 'SECOND'));
  await sim.until('message.undecryptable', (event) => event.account === guest && event.id === 'SECOND');
  assert.deepEqual((await sim.shown(guest)).map(({ id }) => id).includes('SECOND'), false);
  const stats = (await sim.api('GET', '/api/stats')).accounts[guest];
  assert.deepEqual([stats.old_counters, stats.retry_receipts], [1, 0]);
  await careless.end();
});

test('what a client cannot decrypt the phone sends again', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const { client } = await linked(sim, shop);
  const type = (/** @type {string} */ text) => sim.api('POST', `/api/phones/${guest}/messages`, { to: shop, text });
  const first = await type('first');
  await client.message(({ key }) => key.id === first.id);
  const { lid } = await sim.api('GET', `/api/phones/${guest}`);
  for (const key of client.auth.kept.keys()) if (key.startsWith(`session/${lid.split('@')[0]}_1.`)) client.auth.kept.delete(key);
  // The guest answers in the session the client has forgotten.
  await sim.api('POST', `/api/phones/${guest}/read`, { peer: shop });
  for (const key of [...client.auth.kept.keys()]) if (key.startsWith('pre-key/')) client.auth.kept.delete(key);
  const second = await type('second');
  const message = await client.message(({ key, message: content }) => key.id === second.id && content);
  assert.equal(message.message.conversation, 'second');
  assert.ok((await sim.api('GET', '/api/stats')).accounts[shop].retry_receipts >= 1);
  await client.end();
});

test('a device whose pairing signature is wrong is refused and counted', async () => {
  const auth = memoryAuth();
  Object.assign(auth.creds, { signedPreKey: { ...auth.creds.signedPreKey, signature: Buffer.alloc(64, 1) } });
  const before = (await sim.api('GET', '/api/stats')).bad_signatures;
  assert.equal(await connect(sim, { auth }).closed(), 400);
  assert.equal((await sim.api('GET', '/api/stats')).bad_signatures, before + 1);
});

test('an uploaded pre-key that is not signed by the device is refused and counted', async () => {
  const shop = await newPhone();
  const { client } = await linked(sim, shop);
  await client.sock.rotateSignedPreKey();
  Object.assign(client.auth.creds, { signedIdentityKey: { ...client.auth.creds.signedIdentityKey, private: Curve.generateKeyPair().private } });
  await assert.rejects(client.sock.rotateSignedPreKey(), /not-acceptable/);
  assert.equal((await sim.api('GET', '/api/stats')).accounts[shop].bad_signatures, 1);
  await client.end();
});

test('a first message whose device identity is forged is not shown', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const { client } = await linked(sim, shop);
  const account = /** @type {any} */ (client.auth.creds.account);
  client.auth.creds.account = { ...account, deviceSignature: Buffer.alloc(64, 3) };
  const id = await client.send(guest, 'forged');
  await sim.until('bad_signature', (event) => event.account === shop && event.what === 'device-identity');
  assert.deepEqual(await sim.shown(guest), []);
  await client.ack(id);
  await client.end();
});

test('a client that runs low on pre-keys is told and uploads more', async () => {
  const shop = await newPhone();
  const { client, device } = await linked(sim, shop);
  const { client: asking } = await linked(sim, await newPhone());
  const jid = `${shop.slice(1)}:${device}@s.whatsapp.net`;
  const users = Array.from({ length: 101 }, () => ({ tag: 'user', attrs: { jid } }));
  for (let i = 0; i < 8; i++) {
    await asking.sock.query({
      tag: 'iq',
      attrs: { to: 's.whatsapp.net', type: 'get', xmlns: 'encrypt' },
      content: [{ tag: 'key', attrs: {}, content: users }],
    });
  }
  await client.until('more pre-keys', () => client.auth.creds.nextPreKeyId > 813 && client.auth.creds.nextPreKeyId);
  const { id } = await sim.api('POST', `/api/phones/${await newPhone()}/messages`, { to: shop, text: 'still there?' });
  await client.message(({ key }) => key.id === id);
  await Promise.all([client.end(), asking.end()]);
});
