import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect, linked, startSimulator } from './simulator-kit.js';
import { until } from './support/until.js';

/** @type {import('./simulator-kit.js').Simulator} */
let sim;
let last = 4915140000000;
/** @param {object} [settings] */
const newPhone = async (settings = {}) => {
  const number = `+${++last}`;
  await sim.phone(number, settings);
  return number;
};
before(async () => {
  sim = await startSimulator();
});
after(() => sim.stop());

const type = (/** @type {string} */ from, /** @type {string} */ to, /** @type {string} */ text) =>
  sim.api('POST', `/api/phones/${from}/messages`, { to, text });

test('every linked device gets what a guest types, and a copy of what the others send', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const [one, two] = [await linked(sim, shop), await linked(sim, shop)];
  const { id } = await type(guest, shop, 'Hello');
  for (const { client } of [one, two]) assert.equal((await client.message(({ key }) => key.id === id)).message.conversation, 'Hello');

  const sent = await one.client.send(guest, 'Good evening');
  const copy = await two.client.message(({ key }) => key.id === sent);
  assert.equal(copy.key.fromMe, true);
  assert.equal(copy.message.extendedTextMessage.text, 'Good evening');
  await one.client.status(sent, 3);
  await two.client.status(sent, 3);
  const texts = (await sim.shown(shop)).map(({ text, from_me }) => [text, from_me]);
  assert.deepEqual(texts, [['Hello', false], ['Good evening', true]]);
  await Promise.all([one, two].map(({ client }) => client.end()));
});

test('a message reaches the linked devices of whom it is for', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const [mine, theirs] = [await linked(sim, shop), await linked(sim, guest)];
  const id = await mine.client.send(guest, 'For phone and browser');
  const got = await theirs.client.message(({ key }) => key.id === id);
  assert.equal(got.message.extendedTextMessage.text, 'For phone and browser');
  assert.equal((await sim.shown(guest)).length, 1);
  await Promise.all([mine, theirs].map(({ client }) => client.end()));
});

test('what goes to the LID of an account that is gone reaches nobody, and its ack says that the number has another', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const { client } = await linked(sim, shop);
  const { lid } = await sim.api('GET', `/api/phones/${guest}`);
  assert.equal((await client.ack(await client.send(lid, 'Hello'))).refresh_lid, undefined);
  await sim.api('DELETE', `/api/phones/${guest}`);
  assert.equal((await client.ack(await client.send(lid, 'Still there?'))).error, '400');
  await sim.phone(guest);
  const { error, refresh_lid: refresh } = await client.ack(await client.send(lid, 'Hello again'));
  assert.deepEqual([error, refresh], [undefined, 'true']);
  assert.deepEqual(await sim.shown(guest), []);
  await client.end();
});

test('an edit gives a message other words, on phones and on linked devices', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const { client } = await linked(sim, shop);
  const { id } = await type(guest, shop, '2 pizzas');
  const { id: edit } = await sim.api('POST', `/api/phones/${guest}/messages`, { to: shop, text: '3 pizzas', edits: id });
  const { message } = await client.message(({ key }) => key.id === edit);
  const { protocolMessage } = message.editedMessage.message;
  assert.deepEqual([protocolMessage.key.id, protocolMessage.editedMessage.conversation], [id, '3 pizzas']);
  await sim.until('message.edited', ({ account }) => account === shop);
  for (const phone of [shop, guest]) assert.deepEqual((await sim.shown(phone)).map((one) => [one.id, one.text]), [[id, '3 pizzas']]);
  await assert.rejects(sim.api('POST', `/api/phones/${shop}/messages`, { to: guest, text: 'not mine', edits: id }), /not_found/);
  await client.end();
});

test('what may be looked at once is shown on the phone alone', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const { client } = await linked(sim, shop);
  const { id } = await sim.api('POST', `/api/phones/${guest}/messages`, { to: shop, text: 'the bill', view_once: true });
  const { key, message } = await client.message((one) => one.key.id === id);
  assert.deepEqual([key.isViewOnce, message], [true, undefined]);
  const { message: shown } = await sim.until('message.shown', (event) => event.account === shop && event.message.id === id);
  assert.deepEqual([shown.kind, shown.text], ['image', 'the bill']);
  await client.end();
});

test('what a phone types shows on its own linked devices as sent by it', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const { client } = await linked(sim, shop);
  const { id } = await type(shop, guest, 'Typed on the phone');
  const copy = await client.message(({ key }) => key.id === id);
  assert.equal(copy.key.fromMe, true);
  assert.equal(copy.key.remoteJid, `${guest.slice(1)}@s.whatsapp.net`);
  await client.status(id, 3);
  await client.end();
});

test('messages and receipts wait for a device that is away, and come marked as offline', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const { client: first } = await linked(sim, shop);
  await sim.api('PATCH', `/api/phones/${guest}`, { settings: { online: false } });
  const sent = await first.send(guest, 'Are you there?');
  await first.ack(sent);
  await first.end();
  await sim.until('socket.closed', ({ account }) => account === shop);
  assert.deepEqual(await sim.shown(guest), []);

  await sim.api('PATCH', `/api/phones/${guest}`, { settings: { online: true } });
  await sim.until('message.shown', ({ account, message }) => account === guest && message.id === sent);
  /** @type {string[]} */
  const ids = [];
  for (const text of ['one', 'two', 'three']) ids.push((await type(guest, shop, text)).id);

  const second = connect(sim, { auth: first.auth });
  for (const id of ids) assert.equal((await second.message(({ key }) => key.id === id)).type, 'append');
  await second.status(sent, 3);
  const order = second.messages.filter(({ key }) => ids.includes(key.id)).map(({ key }) => key.id);
  assert.deepEqual(order, ids);

  await second.end();
  const third = connect(sim, { auth: first.auth });
  await third.open();
  await third.caughtUp();
  const fresh = await type(guest, shop, 'four');
  await third.message(({ key }) => key.id === fresh.id);
  assert.deepEqual(third.messages.map(({ key }) => key.id), [fresh.id], 'what was confirmed does not come again');
  await third.end();
});

test('what has waited comes in windows that are asked for, and nothing new before its end', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const { client: first } = await linked(sim, shop);
  await first.end();
  await sim.until('socket.closed', ({ account }) => account === shop);
  for (let at = 0; at < 130; at++) await type(guest, shop, `number ${at}`);
  const second = connect(sim, { auth: first.auth });
  /** @type {any[]} */
  const came = [];
  second.sock.ws.on('frame', ({ tag, attrs }) => ['message', 'notification', 'receipt'].includes(tag) && came.push(attrs));
  await second.open();
  await until(async () => came.length >= 105);
  const { id } = await type(guest, shop, 'new');
  assert.equal((await second.sock.onWhatsApp(guest))?.length, 1);
  assert.equal(came.length, 105, 'five unasked, and the hundred that the client library asks for');
  await second.sock.sendNode({ tag: 'ib', attrs: {}, content: [{ tag: 'offline_batch', attrs: { count: '100' } }] });
  await second.message(({ key }) => key.id === id);
  assert.deepEqual(came.slice(0, -1).map(({ offline }) => offline), came.slice(0, -1).map((_, at) => String(at)));
  assert.deepEqual([came.at(-1).id, came.at(-1).offline], [id, undefined]);
  await second.end();
});

test('what a person posts for everybody ends the stream unless it is acked, and comes again', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const { client: first } = await linked(sim, shop);
  const { id: message } = await type(guest, shop, 'Hello');
  await first.message(({ key }) => key.id === message);
  const { id } = await sim.api('POST', `/api/phones/${guest}/statuses`, { ack_within_ms: 300 });
  assert.equal(await first.closed(), 500);
  const second = connect(sim, { auth: first.auth });
  const status = /** @type {any} */ (await new Promise((resolve) => second.sock.ws.once('CB:status', resolve)));
  assert.deepEqual([status.attrs.id, status.attrs.from, status.attrs.offline !== undefined], [id, 'status@broadcast', true]);
  await second.sock.sendMessageAck(status);
  await until(async () => (await sim.api('GET', `/api/phones/${shop}`)).devices[0].waiting === 0);
  await second.end();
});

test('the same id twice is shown once and counted twice', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const { client } = await linked(sim, shop);
  const id = await client.send(guest, 'Only once, please', 'REPEATED01');
  await client.ack(id);
  await client.send(guest, 'Only once, please', id);
  await sim.until('message.copy', ({ account }) => account === guest);
  const shown = await sim.shown(guest);
  assert.deepEqual(shown.map(({ id: each, copies }) => [each, copies]), [['REPEATED01', 2]]);
  const stats = await sim.api('GET', '/api/stats');
  assert.equal(stats.accounts[guest].duplicates, 1);
  await client.end();
});

test('a phone reads by itself after the set delay, when it is set to', async () => {
  const [shop, guest] = [await newPhone(), await newPhone({ read_receipts: 'auto', read_delay_ms: 50 })];
  const { client } = await linked(sim, shop);
  const id = await client.send(guest, 'Read me');
  await client.status(id, 4);
  const [shown] = await sim.shown(guest);
  assert.equal(shown.status, 'read');
  await client.end();
});

test('a person reads by hand; with read receipts off nobody is told', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const { client } = await linked(sim, shop);
  const id = await client.send(guest, 'Unread');
  await client.status(id, 3);
  const [chat] = (await sim.api('GET', `/api/phones/${guest}/chats`)).chats;
  assert.deepEqual([chat.peer, chat.name, chat.unread, chat.messages, chat.last.text], [shop, `Phone ${shop}`, 1, 1, 'Unread']);
  assert.deepEqual(await sim.api('POST', `/api/phones/${guest}/read`, { peer: shop }), { read: 1 });
  await client.status(id, 4);
  assert.deepEqual(await sim.api('POST', `/api/phones/${guest}/read`, { peer: shop }), { read: 0 });

  await sim.api('PATCH', `/api/phones/${guest}`, { settings: { read_receipts: 'off', delivery_receipts: false } });
  const silent = await client.send(guest, 'No receipts');
  await sim.until('message.shown', ({ account, message }) => account === guest && message.id === silent);
  await sim.api('POST', `/api/phones/${guest}/read`, { peer: shop });
  const loud = await type(guest, shop, 'I was here');
  await client.message(({ key }) => key.id === loud.id);
  assert.equal(client.statuses.some(({ key, update }) => key.id === silent && update.status >= 3), false);
  await client.end();
});

test('a guest addressed by hidden id gets the message, and its receipts come from that id', async () => {
  const [shop, guest] = [await newPhone(), await newPhone({ addressing: 'lid' })];
  const { client } = await linked(sim, shop);
  const { lid } = await sim.api('GET', `/api/phones/${guest}`);
  const { id } = await type(guest, shop, 'Hidden');
  const message = await client.message(({ key }) => key.id === id);
  assert.deepEqual([message.key.remoteJid, message.key.remoteJidAlt], [lid, `${guest.slice(1)}@s.whatsapp.net`]);
  const reply = await client.send(lid, 'Found you');
  assert.equal((await client.status(reply, 3)).key.remoteJid, lid);
  assert.equal((await sim.shown(guest)).at(-1).text, 'Found you');
  await client.end();
});

test('messages keep the order in which they were sent', async () => {
  const [shop, guest] = [await newPhone(), await newPhone()];
  const { client } = await linked(sim, shop);
  const texts = Array.from({ length: 30 }, (_, i) => `number ${i}`);
  for (const text of texts) await client.send(guest, text);
  await sim.until('message.shown', ({ account, message }) => account === guest && message.text === texts.at(-1));
  const shown = await sim.shown(guest);
  assert.deepEqual(shown.map(({ text }) => text), texts);
  const since = (await sim.api('GET', `/api/phones/${guest}/shown?since=${shown[26].order}`)).messages;
  assert.deepEqual(since.map((/** @type {any} */ each) => each.text), texts.slice(27));
  await client.end();
});

test('two virtual phones write to each other', async () => {
  const [one, two] = [await newPhone(), await newPhone()];
  const { id } = await type(one, two, 'ping');
  await sim.until('message.status', (event) => event.id === id && event.account === one && event.status === 'delivered');
  await type(two, one, 'pong');
  await sim.until('message.shown', ({ account, message }) => account === one && message.text === 'pong');
  assert.equal((await sim.call('POST', `/api/phones/${one}/messages`, { to: '+4915149999999', text: 'x' })).body.error.code, 'not_on_whatsapp');
});
