import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { DEFAULT_CONNECTION_CONFIG, initAuthCreds, proto } from 'baileys';
import { closeSocket, openSocket } from '../src/engine/socket.js';
import { makeLog } from '../src/log.js';
import { KeyRing } from '../src/store/keyring.js';
import { Store } from '../src/store/store.js';
import { linked as linkedBarely } from './simulator-kit.js';
import { databaseUrl } from './support/database.js';
import { Proxy } from './support/proxy.js';
import { Stage, text } from './support/stage.js';

const log = makeLog('silent');

describe('traps of the engine', () => {
  const stage = new Stage();
  /** @type {string} */ let id;
  /** @type {string} */ let number;
  before(async () => ({ id, number } = await stage.linked()));

  const stats = () => stage.network.call('GET', '/stats');
  /** The linked one of a number. @param {string} of */
  const device = async (of) => (await stage.network.call('GET', `/phones/${encodeURIComponent(of)}`)).devices[0];

  it('a known contact costs no query, not even after a restart of the bridge', async () => {
    const first = await stage.another();
    const { id: own, number: from } = await stage.linked({ bridge: first });
    const customer = await stage.phone();
    await first.send(own, text(customer, 'hello')); // looks them up, gets their keys, issues our token
    await stage.network.until(async () => (await stage.db.rows("SELECT 1 FROM bridge_key WHERE session_id = $1 AND kind = 'tctoken-issued'", [own])).length);
    const queries = async () => /** @type {Record<string, number>} by what they are about */ ((await stats()).accounts[from].asked);
    await stage.web.until(() => stage.web.events.some((event) => event.session === own && event.type === 'number.chat_cap'));
    await stage.settled(own, first);
    assert.ok(Object.keys(await queries()).length > 3);
    const before = await queries();
    for (let at = 0; at < 3; at += 1) await first.send(own, text(customer, `again ${at}`));
    assert.deepEqual(await queries(), before);

    await first.stop();
    const next = await stage.another();
    await next.open(own, { term: 2 });
    await next.status(own, (status) => status.state === 'connected');
    await stage.web.until(() => stage.web.events.some((event) => event.term === 2 && event.session === own && event.type === 'number.chat_cap'));
    const connected = await queries();
    assert.equal((await next.send(own, text(customer, 'after the restart', { term: 2 }))).body.outcome, 'acked');
    assert.deepEqual(await queries(), connected);
  });

  it('messages that cross each other on the same contact all decrypt', async () => {
    const { proxy, url } = await Proxy.before(databaseUrl);
    const bridge = await stage.another({ BRIDGE_DATABASE_URL: url });
    const { id: own, number: from } = await stage.linked({ bridge });
    const customer = await stage.phone();
    const path = `/phones/${encodeURIComponent(customer)}/messages`;
    await bridge.send(own, text(customer, 'first'));
    await stage.network.call('POST', path, { to: from, text: 'hello' });
    await stage.web.event((event) => event.session === own && event.data.text === 'hello');
    proxy.delayMs = 25; // commits that take their time
    const crossing = Array.from({ length: 15 }, (_, at) => [
      bridge.send(own, text(customer, `out ${at}`)),
      stage.network.call('POST', path, { to: from, text: `in ${at}` }),
    ]);
    await Promise.all(crossing.flat());
    await stage.web.until(() => stage.web.events.filter((event) => event.session === own && event.data.text?.startsWith('in ')).length === 15);
    await bridge.send(own, text(customer, 'last'));
    proxy.close();
    const shown = (await stage.network.shown(customer)).filter((one) => !one.from_me).map((one) => one.text);
    assert.deepEqual(shown, ['first', ...Array.from({ length: 15 }, (_, at) => `out ${at}`), 'last']);
    assert.equal((await stats()).decrypt_failures, 0);
  });

  it("a new device of the restaurant's own gets a copy of the very next message", async () => {
    const { id: own, number: from } = await stage.linked();
    const customer = await stage.phone();
    const { lid } = await stage.network.call('GET', `/phones/${encodeURIComponent(from)}`);
    const names = [from.slice(1), lid.split('@')[0]];
    const listed = async () =>
      (await stage.db.rows("SELECT 1 FROM bridge_key WHERE session_id = $1 AND kind = 'devices' AND name = ANY($2)", [own, names])).length > 0;
    await stage.bridge.send(own, text(customer, 'before'));
    assert.ok(await listed(), 'its own devices are known');
    const { id: second } = await stage.linked({ number: from });
    await stage.db.until(async () => !(await listed()));
    assert.equal((await stage.bridge.send(own, text(customer, 'for the new one, too'))).body.outcome, 'acked');
    const ofFirstDevice = "SELECT 1 FROM bridge_key WHERE session_id = $1 AND kind = 'session' AND name LIKE '%.1'";
    await stage.db.until(async () => (await stage.db.rows(ofFirstDevice, [second])).length > 0);
  });

  it('own messages come back as no event', async () => {
    const customer = await stage.phone();
    const message = text(customer, 'only ours');
    await stage.bridge.send(id, message);
    await stage.web.event((event) => event.type === 'message.receipt' && event.data.id === message.id);
    assert.ok(!stage.web.events.some((event) => event.type === 'message.received' && event.data.id === message.id));
  });

  it('a connection that breaks in the middle of a lookup: surely not sent', async () => {
    const { id: own, number: from } = await stage.linked();
    await stage.network.fault({ account: from, on: 'query', match: { xmlns: 'usync' }, do: { action: 'terminate' } });
    const { body } = await stage.bridge.send(own, text(await stage.phone(), 'x'));
    assert.deepEqual(body, { outcome: 'not_sent', reason: 'not_connected' });
  });

  it('a lookup without an answer is no answer: not sent, and not "no such number"', { timeout: 60_000 }, async () => {
    const { id: own, number: from } = await stage.linked();
    await stage.network.fault({ account: from, on: 'query', match: { xmlns: 'usync' }, do: { action: 'drop' } });
    const customer = await stage.phone();
    assert.deepEqual((await stage.bridge.send(own, text(customer, 'x'))).body, { outcome: 'not_sent', reason: 'lookup_failed' });
    assert.equal((await stage.bridge.send(own, text(customer, 'x'))).body.outcome, 'acked');
  });

  it('settings that are asked for in vain hold up no message', async () => {
    const fault = await stage.network.fault({ on: 'query', match: { xmlns: 'w:sync:app:state' }, times: 0, do: { action: 'leave_out', tags: ['sync'] } });
    const { id: own, number: from } = await stage.linked();
    const asked = async () => (await stats()).accounts[from]?.asked['w:sync:app:state'];
    await stage.network.until(asked);
    assert.equal((await stage.bridge.send(own, text(await stage.phone(), 'x'))).body.outcome, 'acked');
    const sofar = await asked();
    assert.ok(sofar < 10, `asked ${sofar} times`);
    await stage.network.call('DELETE', `/faults/${fault.id}`);
  });

  it('a customer without a LID is written to by number', async () => {
    const fault = await stage.network.fault({ on: 'query', match: { xmlns: 'usync' }, times: 0, do: { action: 'leave_out', tags: ['lid'] } });
    const { id: own } = await stage.linked();
    const customer = await stage.phone();
    for (const words of ['hello', 'again']) {
      const { body } = await stage.bridge.send(own, text(customer, words));
      assert.deepEqual([body.outcome, /@s\.whatsapp\.net$/.test(body.address)], ['acked', true], JSON.stringify(body));
    }
    assert.deepEqual((await stage.network.shown(customer)).map((shown) => shown.text), ['hello', 'again']);
    await stage.network.call('DELETE', `/faults/${fault.id}`);
  });

  it('a contact without devices gets nothing, and says so', async () => {
    const { body } = await stage.bridge.send(id, text('+4917700000009', 'x', { to: { phone: '+4917700000009', lid: '999999999999999' } }));
    assert.deepEqual(body, { outcome: 'not_sent', reason: 'no_devices' });
  });

  it('asks what is forbidden when a message is refused with 463', async () => {
    const until = new Date(Math.ceil(Date.now() / 1000) * 1000 + 3_600_000).toISOString();
    await stage.network.call('POST', `/accounts/${encodeURIComponent(number)}/restrictions`, { timelock: { active: true, until } });
    await stage.network.fault({ account: number, on: 'message', do: { action: 'ack_error', code: '463' } });
    assert.equal((await stage.bridge.send(id, text(await stage.phone(), 'x'))).body.code, '463');
    const event = await stage.web.event((one) => one.session === id && one.type === 'number.restricted' && one.data.active);
    assert.equal(Date.parse(event.data.until), Date.parse(until));
  });

  it('what contacts post is acked, at once and when it has waited: else it ends the stream', async () => {
    const { id: own, number: from } = await stage.linked();
    const customer = `/phones/${encodeURIComponent(await stage.phone())}`;
    const { id: message } = await stage.network.call('POST', `${customer}/messages`, { to: from, text: 'hello' });
    await stage.web.event((event) => event.data.id === message);
    const post = () => stage.network.call('POST', `${customer}/statuses`, { ack_within_ms: 10_000 });
    const acked = () => stage.network.until(async () => (await device(from)).waiting === 0);
    await post();
    await acked();
    await stage.bridge.close(own);
    await post();
    await stage.bridge.open(own, { term: 1 });
    await stage.bridge.status(own, (status) => status.state === 'connected');
    await acked();
  });

  it('pre-keys that run low are made up for', async () => {
    const { number: from } = await stage.linked();
    const network = { socketUrl: stage.network.socketUrl, api: (/** @type {string} */ method, /** @type {string} */ path, /** @type {object} */ body) =>
      stage.network.call(method, path.replace('/api', ''), body) };
    const { client } = await linkedBarely(/** @type {any} */ (network), await stage.phone());
    await stage.network.until(async () => (await device(from)).pre_keys > 800);
    const jid = `${from.slice(1)}:${(await device(from)).device}@s.whatsapp.net`;
    const users = Array.from({ length: 101 }, () => ({ tag: 'user', attrs: { jid } }));
    const attrs = { to: '@s.whatsapp.net', type: 'get', xmlns: 'encrypt' };
    for (let at = 0; at < 8; at += 1) await client.sock.query({ tag: 'iq', attrs: { ...attrs }, content: [{ tag: 'key', attrs: {}, content: users }] });
    await stage.network.until(async () => (await device(from)).pre_keys > 800);
    await client.end();
  });

  it('a stream error "ack" closes with server_error and keeps the credentials', async () => {
    const { id: own, number: from } = await stage.linked();
    await stage.network.call('POST', `/accounts/${encodeURIComponent(from)}/disconnect`, { reason: 'ack' });
    const { close } = await stage.bridge.status(own, (status) => status.state === 'closed');
    assert.notEqual(close.reason, 'logged_out');
    await stage.bridge.open(own, { term: 1 });
    await stage.bridge.status(own, (status) => status.state === 'connected');
  });
});

describe('traps of linking', () => {
  const stage = new Stage();
  const store = new Store({ url: databaseUrl, connections: 1, ring: KeyRing.parse(`k:${randomBytes(32).toString('base64')}`), log });
  after(() => store.close());

  /** A socket that waits to be linked, and what it sends. @param {() => void} onPasskey */
  async function linkingSocket(onPasskey) {
    const { vault } = await store.open(await stage.db.makeSession(), 1);
    const { sock } = openSocket({
      vault, creds: initAuthCreds(), version: DEFAULT_CONNECTION_CONFIG.version, socketUrl: stage.network.socketUrl, log,
      onEncrypt: () => {}, onMessage: () => {}, onStalled: () => {}, onPasskey,
    });
    await once(sock.ws, 'CB:iq,type:set,pair-device');
    /** @type {any[]} */
    const sent = [];
    sock.sendNode = async (/** @type {any} */ node) => sent.push(node);
    return { sock, sent, vault };
  }

  it('a retry receipt of somebody else is not answered with the message', async () => {
    const { sock, vault } = await linkingSocket(() => {});
    Object.assign(sock.authState.creds, { me: { id: '49150:1@s.whatsapp.net', lid: '900:1@lid' } });
    await vault.set({ 'lid-mapping': { '49151': '901', '901_reverse': '49151', '49152': '902', '902_reverse': '49152' } });
    await vault.saveSent('TO-901', { address: '901@lid', message: Buffer.from(proto.Message.encode({ conversation: 'for 901' }).finish()) });
    /** @type {string[]} */
    const answered = [];
    sock.assertSessions = async (/** @type {string[]} */ [jid]) => {
      answered.push(/** @type {string} */ (jid));
      throw new Error('this far and no further');
    };
    const ask = async (/** @type {object} */ attrs) => {
      const over = new Promise((resolve) => (sock.sendMessageAck = async () => resolve(undefined)));
      sock.ws.emit('CB:receipt', { tag: 'receipt', attrs: { id: 'TO-901', type: 'retry', ...attrs } });
      await over;
    };
    for (const from of ['902:3@lid', '49152@s.whatsapp.net', '901:2@lid', '49151:4@s.whatsapp.net']) await ask({ from });
    await ask({ from: '902@lid', recipient: '901@lid' });
    await ask({ from: '900@lid', recipient: '901@lid' });
    assert.deepEqual(answered, ['901:2@lid', '49151:4@s.whatsapp.net', '900@lid']);
    await closeSocket(sock);
  });

  it('an empty link-code notification is acked and breaks nothing (#2694)', async () => {
    const { sock, sent } = await linkingSocket(() => assert.fail('no passkey'));
    const node = {
      tag: 'notification',
      attrs: { id: 'n1', from: 's.whatsapp.net', type: 'link_code_companion_reg' },
      content: [{ tag: 'link_code_companion_reg', attrs: { stage: 'refresh_code' } }],
    };
    sock.ws.emit('CB:notification', node);
    assert.deepEqual(sent, [{ tag: 'ack', attrs: { id: 'n1', to: 's.whatsapp.net', class: 'notification', type: 'link_code_companion_reg' } }]);
    assert.equal(sock.ws.isOpen, true);
    await closeSocket(sock);
  });

  it('a passkey is told apart from a link that is merely slow', async () => {
    let asked = 0;
    const { sock, sent } = await linkingSocket(() => (asked += 1));
    sock.ws.emit('CB:notification', { tag: 'notification', attrs: { id: 'n2', from: 's.whatsapp.net', type: 'passkey_prologue_request' }, content: [] });
    assert.deepEqual([asked, sent.length], [1, 1]);
    await closeSocket(sock);
  });

  it('our own LID is kept where a login does not say it again, and with our device where it is said without', async () => {
    const { sock } = await linkingSocket(() => {});
    sock.authState.creds.me = { id: '49151:1@s.whatsapp.net', lid: '901:1@lid' };
    const success = { tag: 'success', attrs: /** @type {{lid?: string}} */ ({}) };
    sock.ws.emit('CB:success', success);
    assert.equal(success.attrs.lid, '901:1@lid');
    const bare = { tag: 'success', attrs: { lid: '901@lid' } };
    sock.ws.emit('CB:success', bare);
    assert.equal(bare.attrs.lid, '901:1@lid', 'else messages go to this device as well');
    await closeSocket(sock);
  });

  it('a query under way ends with the socket', async () => {
    const { sock } = await linkingSocket(() => {});
    const query = sock.waitForMessage('never', 60_000).then(() => 'answered', () => 'ended');
    await closeSocket(sock);
    assert.equal(await query, 'ended');
  });
});
