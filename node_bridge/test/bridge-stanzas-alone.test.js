import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { holdBack } from '../src/engine/hold-back.js';
import { readReceipt } from '../src/engine/receipts.js';
import { drainBacklog } from '../src/engine/traps/backlog.js';
import { ackMessages } from '../src/engine/traps/message-acks.js';
import { refillPreKeys } from '../src/engine/traps/pre-keys.js';
import { answerPings } from '../src/engine/traps/server-pings.js';
import { leaveSettings } from '../src/engine/traps/settings-changes.js';
import { ackUnknown } from '../src/engine/traps/unknown-stanzas.js';

/** One that is told that something has waited. @param {string} count */
function waitedFor(count) {
  /** @type {any[]} */
  const sent = [];
  const sock = { ws: new EventEmitter(), ev: new EventEmitter(), sendNode: async (/** @type {any} */ node) => void sent.push(node) };
  const tell = (/** @type {string} */ tag) => sock.ws.emit(`CB:ib,,${tag}`, { tag: 'ib', attrs: {}, content: [{ tag, attrs: { count } }] });
  const come = (/** @type {object} */ attrs, tag = 'receipt') => sock.ws.emit('frame', { tag, attrs: { id: 'A', from: '901@lid', ...attrs } });
  return { sock, sent, begin: () => tell('offline_preview'), end: () => tell('offline'), come, isHeard: () => sock.ws.listenerCount('frame') > 0 };
}

describe('what comes of single stanzas, without a network', () => {
  it('messages of two chats under one id are acked each (#1910)', () => {
    /** @type {string[]} */
    const acked = [];
    const sock = { ws: new EventEmitter(), sendMessageAck: async (/** @type {any} */ { attrs }) => void acked.push(attrs.from) };
    const decrypted = ackMessages(sock);
    const stanzas = [{ from: '901:3@lid' }, { from: '49152@s.whatsapp.net' }, { from: '900:2@lid', recipient: '903@lid' }];
    for (const attrs of stanzas) sock.ws.emit('CB:message', { tag: 'message', attrs: { id: 'A', ...attrs } });
    for (const remoteJid of ['901@lid', '49152@s.whatsapp.net', '903@lid', '904@lid']) decrypted({ id: 'A', remoteJid }, true);
    assert.deepEqual(acked, stanzas.map(({ from }) => from));
  });

  it('of thousands that come in at once the first is acked as well', () => {
    const ws = new EventEmitter();
    /** @type {string[]} */
    const acked = [];
    const decrypted = ackMessages({ ws, sendMessageAck: async (/** @type {any} */ { attrs }) => void acked.push(attrs.id) });
    for (let at = 0; at < 5_000; at += 1) ws.emit('CB:message', { tag: 'message', attrs: { id: `m${at}`, from: '49151@s.whatsapp.net' } });
    decrypted({ id: 'm0', remoteJid: '49151@s.whatsapp.net' }, true);
    assert.deepEqual(acked, ['m0']);
  });

  it('of what Baileys acks itself nothing is kept: of groups and what contacts post, and what did not decrypt', () => {
    const ws = new EventEmitter();
    /** @type {string[]} */
    const acked = [];
    const decrypted = ackMessages({ ws, sendMessageAck: async (/** @type {any} */ { attrs }) => void acked.push(attrs.from) });
    const chats = ['120363@g.us', 'status@broadcast', '901@lid'];
    for (const from of chats) ws.emit('CB:message', { tag: 'message', attrs: { id: 'A', from } });
    for (const isDecrypted of [false, true]) for (const remoteJid of chats.slice(isDecrypted ? 0 : 2)) decrypted({ id: 'A', remoteJid }, isDecrypted);
    assert.deepEqual(acked, []);
  });

  it('what has waited is asked for, a window after the other, until the server says that it was all', async () => {
    const { sock, sent, begin, end, come, isHeard } = waitedFor('300');
    drainBacklog(sock, () => assert.fail('it comes'));
    assert.ok(!isHeard(), 'it costs nothing before');
    begin();
    come({}, 'iq');
    await sleep(150);
    assert.deepEqual(sent, [], 'the first window is asked for by Baileys');
    for (let window = 1; window < 3; window += 1) {
      for (let at = 0; at < 100; at += 1) come({ offline: String(at) });
      await sleep(150);
      assert.deepEqual(sent, Array(window).fill({ tag: 'ib', attrs: {}, content: [{ tag: 'offline_batch', attrs: { count: '100' } }] }));
    }
    come({ offline: '299' });
    end();
    await sleep(150);
    assert.deepEqual([sent.length, isHeard()], [2, false], 'nor after');
  });

  it('a backlog that stops coming is given up; one that comes, or is over, is not', async () => {
    const { sock, begin, come, isHeard } = waitedFor('300');
    const stalled = new Promise((resolve) => drainBacklog(sock, () => resolve(performance.now()), 400));
    begin();
    for (let at = 0; at < 6; at += 1) {
      await sleep(100);
      come(at % 2 ? { offline: String(at) } : {});
    }
    const last = performance.now();
    assert.ok(Number(await stalled) - last > 350 && !isHeard());

    const [none, unknown, closed] = [waitedFor('0'), waitedFor(''), waitedFor('300')];
    for (const { sock: other } of [none, unknown, closed]) drainBacklog(other, () => assert.fail('nothing is waited for'), 100);
    for (const one of [none, unknown, closed]) one.begin();
    closed.sock.ev.emit('connection.update', { connection: 'close' });
    closed.begin();
    await sleep(200);
    assert.deepEqual([none.isHeard(), unknown.isHeard(), closed.isHeard()], [false, true, false], 'what may come is still asked for');
  });

  it('what contacts post is acked, and what nobody knows is refused', () => {
    /** @type {unknown[]} */
    const acked = [];
    const sock = { ws: new EventEmitter(), sendMessageAck: async (/** @type {any} */ { tag }, /** @type {unknown} */ error) => void acked.push([tag, error]) };
    ackUnknown(sock);
    sock.ws.emit('frame', Buffer.from('a handshake'));
    const from = 'status@broadcast';
    for (const tag of ['status', 'message', 'receipt', 'notification', 'call', 'iq', 'ack', 'presence', 'novelty']) {
      sock.ws.emit('frame', { tag, attrs: { id: 'A', from } });
    }
    for (const attrs of [{ id: 'A' }, { from }, {}]) sock.ws.emit('frame', { tag: 'novelty', attrs });
    assert.deepEqual(acked, [['status', undefined], ['novelty', 488]]);
  });

  it('a warning of few pre-keys is heeded once, by as many as are missing, and an old one not at all', async () => {
    const ws = new EventEmitter();
    /** @type {Record<'acked' | 'made' | 'passed', unknown[]>} */
    const seen = { acked: [], made: [], passed: [] };
    let left = 40;
    const sock = {
      ws,
      sendMessageAck: async (/** @type {any} */ { attrs }) => void seen.acked.push(attrs.id),
      query: async () => ({ tag: 'iq', attrs: {}, content: [{ tag: 'count', attrs: { value: String(left) } }] }),
      uploadPreKeys: async (/** @type {number} */ count) => {
        seen.made.push(count);
        left += count;
        if (left === 812) setImmediate(() => ws.emit('full'));
      },
    };
    ws.on('CB:notification', ({ attrs }) => seen.passed.push(attrs.id));
    refillPreKeys(sock);
    const warn = (/** @type {string} */ id, tag = 'count') =>
      ws.emit('CB:notification', { tag: 'notification', attrs: { id, type: 'encrypt', from: '@s.whatsapp.net' }, content: [{ tag, attrs: { value: '40' } }] });
    const full = once(ws, 'full');
    for (const id of ['one', 'two']) warn(id);
    warn('other', 'identity');
    await full;
    warn('late');
    await new Promise(setImmediate);
    assert.deepEqual(seen, { acked: ['one', 'two', 'late'], made: [...Array(7).fill(100), 72], passed: ['other'] });
  });

  it('a server that asks whether we are there is answered', () => {
    /** @type {any[]} */
    const sent = [];
    const sock = { ws: new EventEmitter(), sendNode: async (/** @type {any} */ node) => void sent.push(node) };
    answerPings(sock);
    sock.ws.emit('CB:iq,type:get', { tag: 'iq', attrs: { id: '7', from: 's.whatsapp.net', type: 'get', xmlns: 'urn:xmpp:ping' } });
    sock.ws.emit('CB:iq,type:get', { tag: 'iq', attrs: { id: '8', type: 'get', xmlns: 'other' } });
    assert.deepEqual(sent, [{ tag: 'iq', attrs: { to: 's.whatsapp.net', type: 'result', id: '7' } }]);
  });

  it("what the phone changes in its settings is acked and left, but for the number's name", () => {
    /** @type {Record<'acked' | 'passed', string[]>} */
    const seen = { acked: [], passed: [] };
    const sendMessageAck = async (/** @type {any} */ { attrs }) => void seen.acked.push(attrs.id);
    const sock = { ws: new EventEmitter(), authState: { keys: {} }, sendMessageAck };
    sock.ws.on('CB:notification', ({ attrs }) => seen.passed.push(attrs.id));
    leaveSettings(sock);
    const tell = (/** @type {string} */ id, /** @type {string} */ type, /** @type {string} */ name) => {
      sock.ws.emit('CB:notification', {
        tag: 'notification',
        attrs: { id, type, from: 's.whatsapp.net' },
        content: [{ tag: 'collection', attrs: { name, version: '7' } }],
      });
    };
    tell('chat', 'server_sync', 'regular_low');
    tell('name', 'server_sync', 'critical_block');
    tell('else', 'account_sync', 'regular_low');
    assert.deepEqual(seen, { acked: ['chat'], passed: ['name', 'else'] });
  });

  it('a receipt without an id is about nothing, and one with a list about all of it', () => {
    const from = '901:2@lid';
    const list = [{ tag: 'list', attrs: {}, content: [{ tag: 'item', attrs: { id: 'B' } }, { tag: 'item', attrs: {} }] }];
    const ids = (/** @type {any} */ node) => readReceipt(node).map(({ id, address }) => [id, address]);
    assert.deepEqual(ids({ attrs: { from }, content: undefined }), []);
    assert.deepEqual(ids({ attrs: { from, id: 'A', type: 'read' }, content: list }), [['A', '901@lid'], ['B', '901@lid']]);
    assert.deepEqual(ids({ attrs: { from, id: 'A', participant: from }, content: undefined }), [['A', '901@lid']]);
  });

  it('a receipt says that a message was delivered in several ways, and in one that it was not', () => {
    const told = (/** @type {object} */ attrs, /** @type {any} */ content = undefined) =>
      readReceipt({ tag: 'receipt', attrs: { id: 'A', from: '901:2@lid', ...attrs }, content }).map(({ status }) => status);
    for (const attrs of [{}, { type: 'delivery' }, { type: 'inactive' }, { recipient: '900@lid' }]) assert.deepEqual(told(attrs), ['delivered']);
    const error = (/** @type {object} */ attrs) => [{ tag: 'error', attrs: { reason: 'lid', type: 'feature-incapable', ...attrs } }];
    assert.deepEqual(told({ type: 'delivery' }, error({})), []);
    assert.deepEqual(told({}, error({})), []);
    assert.deepEqual(told({}, error({ reason: 'else' })), ['delivered']);
    assert.deepEqual(told({ type: 'read' }, error({})), ['read']);
  });

  it("a receipt of a device of our own is not the customer's", () => {
    /** @type {Record<'told' | 'arrived' | 'passed', unknown[]>} */
    const seen = { told: [], arrived: [], passed: [] };
    const sock = { ws: new EventEmitter(), authState: { creds: { me: { id: '49150:1@s.whatsapp.net', lid: '900:1@lid' } } } };
    sock.ws.on('CB:receipt', ({ attrs }) => seen.passed.push(attrs.from));
    const tellReceipt = (/** @type {any} */ { address }) => seen.told.push(address) > 0;
    holdBack(sock, { tellReceipt, onArrived: (id) => seen.arrived.push(id), hasRoom: () => true, onHeldBack: () => assert.fail('there is room') });
    const senders = ['49150:3@s.whatsapp.net', '900@lid', '901:2@lid'];
    for (const [at, from] of senders.entries()) sock.ws.emit('CB:receipt', { tag: 'receipt', attrs: { id: `M${at}`, from, recipient: '901@lid' } });
    assert.deepEqual(seen, { told: ['901@lid'], arrived: ['M2'], passed: senders });
  });

  it('a receipt that has waited says when it was given, unless that makes no sense', () => {
    const at = (/** @type {object} */ attrs) => readReceipt({ attrs: { id: 'A', from: '901@lid', t: '1700000000', ...attrs }, content: undefined })[0]?.at;
    assert.equal(at({ offline: '0' }), '2023-11-14T22:13:21.000Z');
    for (const attrs of [{}, { offline: '0', t: undefined }, { offline: '0', t: 'soon' }, { offline: '0', t: '-1' }, { offline: '0', t: '99999999999' }]) {
      assert.equal(at(attrs), undefined);
    }
  });
});
