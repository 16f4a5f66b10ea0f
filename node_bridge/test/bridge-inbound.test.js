import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { scratch } from './support/bridge.js';
import { databaseUrl } from './support/database.js';
import { Proxy } from './support/proxy.js';
import { Stage, text } from './support/stage.js';

/** @param {string} number */
const path = (number) => `/phones/${encodeURIComponent(number)}`;

describe('what comes back', () => {
  const stage = new Stage();
  /** @type {string} */ let id;
  /** @type {string} */ let number;
  before(async () => ({ id, number } = await stage.linked()));

  /** @param {string} type @param {string} message */
  const told = (type, message) => stage.web.event((event) => event.type === type && event.data.id === message);

  /** A customer who has written to a number of its own, whose bridge reaches PostgreSQL by a proxy; nothing of it is under way any more. */
  async function chatByProxy() {
    const { proxy, url } = await Proxy.before(databaseUrl);
    const BRIDGE_SPOOL_DIR = scratch();
    const bridge = await stage.another({ BRIDGE_DATABASE_URL: url, BRIDGE_SPOOL_DIR });
    const { id: own, number: from } = await stage.linked({ bridge });
    await stage.settled(own, bridge);
    const customer = await stage.phone();
    const write = (/** @type {string} */ text) => stage.network.call('POST', `${path(customer)}/messages`, { to: from, text });
    const ratchets = () => stage.db.rows("SELECT name, data FROM bridge_key WHERE session_id = $1 AND kind = 'session' ORDER BY name", [own]);
    const before = (await ratchets()).length;
    await write('hello');
    await stage.db.until(async () => (await ratchets()).length > before);
    const goOn = async () => {
      const next = await stage.another({ BRIDGE_SPOOL_DIR });
      await next.open(own, { term: 2 });
      await next.status(own, (status) => status.state === 'connected');
    };
    return { bridge, own, from, customer, proxy, write, ratchets, goOn };
  }

  it('tells that a message was delivered, and later that it was read', async () => {
    const customer = await stage.phone();
    const message = text(customer, 'your order is on its way');
    const { body } = await stage.bridge.send(id, message);
    const delivered = await told('message.receipt', message.id);
    assert.deepEqual(delivered.data, { id: message.id, address: body.address, status: 'delivered' });
    assert.deepEqual([delivered.session, delivered.term], [id, 1]);
    await stage.network.call('POST', `${path(customer)}/read`, { peer: number });
    await stage.web.event((event) => event.data.id === message.id && event.data.status === 'read');
  });

  it('tells what a customer writes', async () => {
    const customer = await stage.phone({ name: 'Kim' });
    const { lid } = await stage.network.call('GET', path(customer));
    const { id: message } = await stage.network.call('POST', `${path(customer)}/messages`, { to: number, text: 'Is it vegan?' });
    const { data } = await told('message.received', message);
    assert.deepEqual([data.text, data.kind, data.name, data.phone, data.lid, data.offline], ['Is it vegan?', 'text', 'Kim', customer, lid, false]);
    assert.ok(Math.abs(Date.parse(data.sent_at) - Date.now()) < 60_000);
  });

  it('tells an edit as a message of its own, with the id of the one whose place it takes', async () => {
    const customer = await stage.phone();
    const type = (/** @type {object} */ typed) => stage.network.call('POST', `${path(customer)}/messages`, { to: number, ...typed });
    const { id: first } = await type({ text: '2 pizzas' });
    assert.equal((await told('message.received', first)).data.edits, undefined);
    const { id: edit } = await type({ text: '3 pizzas', edits: first });
    const { data } = await told('message.received', edit);
    assert.deepEqual([data.kind, data.text, data.edits], ['text', '3 pizzas', first]);
  });

  it('tells that there is something that may be looked at once', async () => {
    const customer = await stage.phone();
    const { id: message } = await stage.network.call('POST', `${path(customer)}/messages`, { to: number, text: 'the bill', view_once: true });
    const { data } = await told('message.received', message);
    assert.deepEqual([data.kind, data.text, data.phone], ['other', '', customer]);
  });

  it('tells what was written while it was away, marked so', async () => {
    const customer = await stage.phone();
    await stage.bridge.close(id);
    const { id: message } = await stage.network.call('POST', `${path(customer)}/messages`, { to: number, text: 'are you there?' });
    await stage.bridge.open(id, { term: 1 });
    const { data } = await told('message.received', message);
    assert.deepEqual([data.text, data.offline], ['are you there?', true]);
    await stage.bridge.status(id, (status) => status.state === 'connected');
  });

  it('tells all of many that were written while it was away, and what is written after', async () => {
    const { id: own, number: from } = await stage.linked();
    const customer = await stage.phone();
    const write = (/** @type {string} */ text) => stage.network.call('POST', `${path(customer)}/messages`, { to: from, text });
    await stage.bridge.close(own);
    for (let at = 0; at < 130; at += 1) await write(`waited ${at}`);
    await stage.bridge.open(own, { term: 1 });
    const texts = () => stage.web.events.filter((event) => event.session === own && event.data.text?.startsWith('waited')).map(({ data }) => data.text);
    await stage.web.until(() => texts().length === 130);
    assert.deepEqual(texts(), Array.from({ length: 130 }, (_, at) => `waited ${at}`));
    await write('I am new');
    const { data } = await stage.web.event((event) => event.session === own && event.data.text === 'I am new');
    assert.equal(data.offline, false);
  });

  it('tells of a receipt that has waited when it was given', async () => {
    const customer = await stage.phone();
    const message = text(customer, 'read it when you like');
    const phone = (/** @type {object} */ settings) => stage.network.call('PATCH', path(customer), { settings });
    await phone({ online: false });
    await stage.bridge.send(id, message);
    await stage.bridge.close(id);
    await phone({ online: true });
    await stage.network.until(async () => (await stage.network.shown(customer)).length === 1);
    const given = Date.now();
    await sleep(1_100); // WhatsApp's times are whole seconds
    await stage.bridge.open(id, { term: 1 });
    const { data, at } = await told('message.receipt', message.id);
    const after = Date.parse(data.at) - given;
    assert.ok(after > -5_000 && after <= 1_000 && Date.parse(at) >= given + 1_100, `${data.at} of ${at}`);
    await stage.bridge.status(id, (status) => status.state === 'connected');
  });

  it('tells a message once that the server delivers twice', async () => {
    const customer = await stage.phone();
    const typed = { to: number, text: 'only once', id: '3EB0ONLYONCE00000001' };
    await stage.network.call('POST', `${path(customer)}/messages`, typed);
    await told('message.received', typed.id);
    await stage.network.call('POST', `${path(customer)}/messages`, typed).catch(() => {});
    const { id: next } = await stage.network.call('POST', `${path(customer)}/messages`, { to: number, text: 'next' });
    await told('message.received', next);
    assert.equal(stage.web.events.filter((event) => event.type === 'message.received' && event.data.id === typed.id).length, 1);
  });

  it('a message is told once it is decrypted, although its connection ends before the receipt for it goes out', async () => {
    const { bridge, own, proxy, write, ratchets } = await chatByProxy();
    const before = await ratchets();
    proxy.delayMs = 1_000; // the answer to the commit of the key takes its time
    await write('I was cut off');
    await stage.db.until(async () => !isDeepStrictEqual(await ratchets(), before));
    const closed = bridge.call('DELETE', `/session/${own}?term=1`);
    await stage.web.event((event) => event.session === own && event.data.text === 'I was cut off');
    await closed;
    proxy.close();
  });

  it('kill -9 after a key was used on record: what it opened has been told, and is not asked for again', async () => {
    const { bridge, own, from, customer, proxy, write, ratchets, goOn } = await chatByProxy();
    await bridge.send(own, text(customer, 'what their phone answers begins no session'));
    const before = await ratchets();
    proxy.delayMs = 3_000; // committed, and the bridge does not hear of it
    await write('killed after the commit');
    await stage.db.until(async () => !isDeepStrictEqual(await ratchets(), before));
    await bridge.stop('SIGKILL');
    await goOn();
    const told = (/** @type {string} */ words) => stage.web.event((event) => event.session === own && event.data.text === words);
    await told('killed after the commit');
    await write('and what follows');
    await told('and what follows');
    const { retry_receipts: asked } = (await stage.network.call('GET', '/stats')).accounts[from];
    assert.equal(asked ?? 0, 0);
    proxy.close();
  });

  it('kill -9 before a key was used on record: what it opened comes again, under the same id', async () => {
    const { bridge, own, proxy, write, goOn } = await chatByProxy();
    proxy.hold();
    await write('killed before the commit');
    const told = (/** @type {number} */ term) =>
      stage.web.event((event) => event.session === own && event.term === term && event.data.text === 'killed before the commit');
    const first = await told(1);
    await bridge.stop('SIGKILL');
    await goOn();
    const { data } = await told(2);
    assert.deepEqual([data.id, data.chat, data.sender], [first.data.id, first.data.chat, first.data.sender]);
    await write('and what follows');
    await stage.web.event((event) => event.session === own && event.term === 2 && event.data.text === 'and what follows');
    proxy.close();
  });

  it('answers a customer by the address they wrote from, without asking who they are', async () => {
    const customer = await stage.phone();
    const { id: message } = await stage.network.call('POST', `${path(customer)}/messages`, { to: number, text: 'hi' });
    await told('message.received', message);
    await stage.network.fault({ account: number, on: 'query', match: { xmlns: 'usync' }, times: 0, do: { action: 'delay', ms: 0 } });
    const before = (await stage.network.call('GET', '/stats')).queries;
    const { body } = await stage.bridge.send(id, text(customer, 'hello'));
    assert.deepEqual([body.outcome, /@lid$/.test(body.address)], ['acked', true]);
    assert.ok((await stage.network.call('GET', '/stats')).queries - before <= 4);
    await stage.network.call('DELETE', '/faults');
  });

  /** A customer's second device has had a message, and then loses its keys. @param {string} customer */
  async function deviceThatCannotRead(customer) {
    const { id: device } = await stage.linked({ number: customer });
    await stage.bridge.send(id, text(customer, 'for both devices'));
    await stage.web.event((event) => event.session === device && event.data.text === 'for both devices');
    await stage.bridge.close(device);
    await stage.db.rows("DELETE FROM bridge_key WHERE session_id = $1 AND kind IN ('session', 'identity-key')", [device]);
    await stage.bridge.open(device, { term: 1 });
    await stage.bridge.status(device, (status) => status.state === 'connected');
    return (/** @type {string} */ message) => stage.web.event((event) => event.session === device && event.data.id === message);
  }

  it('recovers a customer device that cannot decrypt', { timeout: 60_000 }, async () => {
    const customer = await stage.phone();
    const read = await deviceThatCannotRead(customer);
    const message = text(customer, 'lost its keys');
    assert.equal((await stage.bridge.send(id, message)).body.outcome, 'acked');
    assert.equal((await read(message.id)).data.text, 'lost its keys');
    assert.ok(stage.bridge.process.log.some((line) => line.includes('a retry receipt was answered')));
  });

  it('recovers the device of a customer who has written, although the number may not write to strangers', { timeout: 60_000 }, async () => {
    const customer = await stage.phone();
    const restrict = (/** @type {object} */ timelock) => stage.network.call('POST', `/accounts/${encodeURIComponent(number)}/restrictions`, { timelock });
    const tokens = async () => (await stage.db.rows("SELECT 1 FROM bridge_key WHERE session_id = $1 AND kind = 'tctoken' AND name LIKE '%@lid'", [id])).length;
    const before = await tokens();
    await stage.network.call('POST', `${path(customer)}/messages`, { to: number, text: 'hello' });
    await stage.db.until(async () => (await tokens()) > before);
    const read = await deviceThatCannotRead(customer);
    await restrict({ active: true, enforce: true });
    const message = text(customer, 'only for those who wrote');
    assert.equal((await stage.bridge.send(id, message)).body.outcome, 'acked');
    assert.equal((await read(message.id)).data.text, 'only for those who wrote');
    await restrict({ active: false });
  });

  it('tells when WhatsApp restricts the number, and when it lifts it', async () => {
    const restrict = (/** @type {object} */ body) =>
      stage.network.call('POST', `/accounts/${encodeURIComponent(number)}/restrictions`, { push: true, ...body });
    const until = new Date(Math.ceil(Date.now() / 1000) * 1000 + 3_600_000).toISOString();
    await restrict({ timelock: { active: true, until } });
    const { data } = await stage.web.event((event) => event.type === 'number.restricted' && event.data.active);
    assert.equal(Date.parse(data.until), Date.parse(until));
    const count = stage.web.events.length;
    await restrict({ timelock: { active: false } });
    await stage.web.until(() => stage.web.events.slice(count).some((event) => event.type === 'number.restricted' && !event.data.active));
    await restrict({ cap: { status: 'first_warning', total: 250, used: 200, cycle_ends_at: until } });
    const cap = await stage.web.event((event) => event.type === 'number.chat_cap' && event.data.status === 'first_warning');
    assert.deepEqual([cap.data.used, cap.data.total, Date.parse(cap.data.cycle_ends_at)], [200, 250, Date.parse(until)]);
  });

  it('asks for restrictions when it connects', async () => {
    const { id: other } = await stage.linked();
    const events = (/** @type {string} */ type) => stage.web.event((event) => event.session === other && event.type === type);
    assert.equal((await events('number.restricted')).data.active, false);
    assert.equal((await events('number.chat_cap')).data.status, 'none');
  });

  it('asks for restrictions when it is told to, and answers before WhatsApp does', async () => {
    const { id: own, number: from } = await stage.linked();
    const heard = () => stage.web.events.filter((event) => event.session === own && event.type === 'number.chat_cap').length;
    await stage.web.until(() => heard() === 1);
    const ask = (/** @type {object} */ body) => stage.bridge.call('POST', `/session/${own}/restrictions`, body);
    await stage.network.call('POST', `/accounts/${encodeURIComponent(from)}/restrictions`, { timelock: { active: true } });
    const asked = await ask({ term: 1 });
    assert.deepEqual([asked.status, asked.body], [202, { asked: true }]);
    await stage.web.event((event) => event.session === own && event.type === 'number.restricted' && event.data.active);
    await stage.web.until(() => heard() === 2);

    assert.equal((await ask({ term: 0 })).body.error.code, 'stale_term');
    assert.equal((await ask({ term: 2 })).body.error.code, 'not_found');
    assert.equal((await ask({})).status, 400);
  });

  it('one restriction that WhatsApp does not tell hides no other', async () => {
    const { id: own, number: from } = await stage.linked();
    const caps = () => stage.web.events.filter((event) => event.session === own && event.type === 'number.chat_cap').map(({ data }) => data.status);
    await stage.web.until(() => caps().length === 1);
    await stage.network.call('POST', `/accounts/${encodeURIComponent(from)}/restrictions`, { cap: { status: 'capped', total: 250, used: 250 } });
    await stage.network.fault({ account: from, on: 'query', match: { xmlns: 'w:mex' }, do: { action: 'iq_error', code: 500, text: 'internal-server-error' } });
    await stage.bridge.call('POST', `/session/${own}/restrictions`, { term: 1 });
    await stage.web.until(() => caps().at(-1) === 'capped');
    assert.ok(stage.bridge.process.log.some((line) => line.includes('does not say how the number is restricted') && line.includes('time-lock')));
  });

  it("takes away what libsignal prints: sessions with their private keys", () => {
    const lines = stage.bridge.process.log.filter((line) => line.includes('"console"'));
    assert.ok(lines.some((line) => /Closing (open )?session/.test(line)), 'libsignal has printed');
    assert.ok(lines.every((line) => line.length < 400 && !/privKey|rootKey|Buffer/.test(line)));
  });

  it('puts no message, no key and no whole phone number into its log', async () => {
    const log = stage.bridge.process.log.join('\n');
    for (const secret of ['Is it vegan?', 'your order is on its way', number.slice(1), 'privKey', '"private"']) assert.ok(!log.includes(secret), secret);
  });
});
