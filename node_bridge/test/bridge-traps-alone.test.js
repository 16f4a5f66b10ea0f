import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';
import { PassThrough } from 'node:stream';
import { text as readAll } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { addTransactionCapability, downloadContentFromMessage, makeEventBuffer, MessageRetryManager } from 'baileys';
import { ProtocolAddress, SessionBuilder, SessionCipher } from 'libsignal';
import { classify } from '../src/engine/closes.js';
import { Directory } from '../src/engine/directory.js';
import { engineLog } from '../src/engine/engine-log.js';
import { Inbound } from '../src/engine/inbound.js';
import { Inquiry } from '../src/engine/inquiry.js';
import { Lookups } from '../src/engine/lookups.js';
import { askedOnce, repositoryWith } from '../src/engine/traps/repository.js';
import { heedDeviceChanges } from '../src/engine/traps/device-changes.js';
import { downloadWhole, WHOLE } from '../src/engine/traps/downloads.js';
import { takeMessagesEarly } from '../src/engine/traps/early-messages.js';
import { keepContextOfJobs } from '../src/engine/traps/queued-jobs.js';
import { answerRetries } from '../src/engine/traps/retry-receipts.js';
import { Rounds } from '../src/engine/traps/settings-changes.js';
import { whoIs } from '../src/engine/who-is.js';
import { makeLog } from '../src/log.js';
import { Signals } from '../src/signals.js';
import { Lru } from '../src/lru.js';

const log = makeLog('silent');

/** One that knows nobody yet. @param {(query: any) => Promise<any>} executeUSyncQuery - how WhatsApp answers */
function directoryOf(executeUSyncQuery) {
  return new Directory({
    sock: { executeUSyncQuery, signalRepository: { lidMapping: { getLIDForPN: async () => null } }, authState: {} },
    vault: /** @type {any} */ ({ get: async () => ({}) }),
    lookups: new Lookups({ burst: 100, everyMs: 1_000 }),
    moved: new Lru(10),
    inquiry: new Inquiry({ log }),
    devices: /** @type {any} */ ({}),
  });
}

describe('traps without a network', () => {
  it('what changes the keys of an account waits for each other; a LID mapping does not wait', async () => {
    const logger = engineLog(log);
    const me = '49151:1@s.whatsapp.net';
    /** @type {string[]} */
    const written = [];
    const memory = { get: async () => ({}), set: async (/** @type {object} */ data) => void written.push(...Object.keys(data)) };
    const keys = addTransactionCapability(/** @type {any} */ (memory), logger, { maxCommitRetries: 1, delayBetweenTriesMs: 0 });
    const repository = repositoryWith(() => {})(/** @type {any} */ ({ creds: { me: { id: me } }, keys }), logger, async () => []);
    let finish = () => {};
    const sending = keys.transaction(() => new Promise((resolve) => (finish = () => resolve(undefined))), me);
    const deleting = repository.deleteSession(['49152@s.whatsapp.net']);
    await repository.lidMapping.storeLIDPNMappings([{ lid: '9@lid', pn: '49152@s.whatsapp.net' }]);
    assert.deepEqual(written, ['lid-mapping']);
    finish();
    await Promise.all([sending, deleting]);
    assert.deepEqual(written, ['lid-mapping', 'session']);
  });

  it('no message that was sent stays in memory: the store has it', () => {
    const manager = new MessageRetryManager(engineLog(log), 5);
    answerRetries({ ws: new EventEmitter(), messageRetryManager: manager }, { findMessage: async () => undefined, log });
    manager.addRecentMessage('49152@s.whatsapp.net', 'id', { conversation: 'x' });
    assert.equal(manager.getRecentMessage('49152@s.whatsapp.net', 'id'), undefined);
  });

  it('settings are given up after five answers without them, or one that never came, and stay so', () => {
    const asked = (/** @type {number[]} */ ...times) => counted(...times.map((at) => [0, at]));
    const counted = (/** @type {number[][]} */ ...rounds) => {
      const counter = new Rounds();
      return rounds.map(([version, at]) => {
        try {
          counter.count('critical_block', version ?? 0, at);
        } catch {
          return 'given up';
        }
        return 'asked';
      });
    };
    assert.deepEqual(asked(0, 10, 20, 30, 40, 50, 9e9), [...Array(5).fill('asked'), 'given up', 'given up']);
    assert.deepEqual(asked(0, 20_000), ['asked', 'given up']);
    assert.deepEqual(asked(0, 30_000, 90_000), ['asked', 'asked', 'asked'], 'each on its own occasion');
    const pages = Array.from({ length: 9 }, (_, at) => [at, at * 20_000]);
    assert.deepEqual(counted(...pages, [8, 180_000]), [...Array(9).fill('asked'), 'given up'], 'as long as more of them comes');
  });

  it('who has no LID is asked for keys by number, and for a LID once in ten minutes', async () => {
    const [alice, bob] = ['49151@s.whatsapp.net', '49152:3@s.whatsapp.net'];
    let [asked, now] = [0, 0];
    const pnToLid = async () => {
      asked += 1;
      return [];
    };
    const keys = addTransactionCapability(
      /** @type {any} */ ({ get: async () => ({ 49152: '902' }), set: async () => {} }),
      engineLog(log),
      { maxCommitRetries: 1, delayBetweenTriesMs: 0 },
    );
    const { lidMapping } = repositoryWith(() => {})(/** @type {any} */ ({ creds: {}, keys }), engineLog(log), pnToLid);
    for (let times = 0; times < 2; times += 1) {
      assert.deepEqual((await lidMapping.getLIDsForPNs([alice, bob]))?.map(({ lid }) => lid).sort(), [alice, '902:3@lid'].sort());
    }
    assert.equal(await lidMapping.getLIDForPN(alice), null);
    assert.equal(asked, 1);
    const once = askedOnce(pnToLid, () => now);
    for (now of [0, 599_999, 600_000]) assert.deepEqual(await once([alice]), []);
    assert.equal(asked, 3);
  });

  it('a download that breaks off or stalls is an error of its own, and ends nothing else', async (test) => {
    const { fetch } = globalThis;
    test.after(() => (globalThis.fetch = fetch));
    downloadWhole(500);
    const server = createServer((request, response) => {
      response.writeHead(request.url === '/missing' ? 404 : 200, { 'content-length': 64 });
      response.write(Buffer.alloc(32));
      if (request.url === '/broken') setImmediate(() => response.destroy());
      if (request.url === '/whole' || request.url === '/missing') response.end(Buffer.alloc(32));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    test.after(() => server.close().closeAllConnections());
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    const download = async (/** @type {string} */ name) => {
      const file = { mediaKey: Buffer.alloc(32), url: `http://127.0.0.1:${port}/${name}` };
      return readAll(await downloadContentFromMessage(file, 'md-msg-hist', { options: /** @type {any} */ ({ dispatcher: WHOLE }) }));
    };
    await assert.rejects(download('broken'), /terminated/);
    await assert.rejects(download('stalled'), /timeout/);
    await assert.rejects(download('missing'), /Failed to fetch/);
    await assert.rejects(download('whole'), /decrypt/); // it is there, and nonsense
  });

  it("a job that waits for another session's keeps its own context", async () => {
    keepContextOfJobs();
    const context = new AsyncLocalStorage();
    const cipher = /** @type {any} */ (new SessionCipher(/** @type {any} */ ({}), new ProtocolAddress('901_1', 0)));
    const queued = (/** @type {string} */ session, /** @type {() => unknown} */ job) => context.run(session, () => cipher.queueJob(job));
    let finish = () => {};
    const first = queued('one', () => new Promise((resolve) => (finish = () => resolve(undefined))));
    const second = queued('another', async () => context.getStore());
    finish();
    await first;
    assert.equal(await second, 'another');
  });

  it("a new Signal session that waits for another one's uses its own keys", async () => {
    keepContextOfJobs();
    const context = new AsyncLocalStorage();
    /** @type {unknown[]} */
    const used = [];
    let finish = () => {};
    const waits = new Promise((resolve) => (finish = () => resolve(undefined)));
    const begin = (/** @type {string} */ session) => {
      const storage = { isTrustedIdentity: async () => void used.push(context.getStore(), await waits) }; // not trusted: no more is asked
      const builder = new SessionBuilder(/** @type {any} */ (storage), new ProtocolAddress('902_1', 0));
      return context.run(session, () => builder.initOutgoing(/** @type {any} */ ({})));
    };
    const both = Promise.allSettled([begin('one'), begin('another')]);
    finish();
    await both;
    assert.deepEqual(used.filter(Boolean), ['one', 'another']);
  });

  it('the answer to a retry receipt goes out once its key is on record as used', async () => {
    const ws = new EventEmitter();
    /** @type {string[]} */
    const done = [];
    const creds = { me: { id: '49150:7@s.whatsapp.net' }, account: { details: Buffer.of(1) } };
    const transaction = async (/** @type {() => Promise<unknown>} */ work) => {
      const result = await work();
      done.push('committed');
      return result;
    };
    const sock = {
      ws,
      authState: { creds, keys: { transaction } },
      serverProps: {},
      assertSessions: async () => true,
      signalRepository: { encryptMessage: async () => ({ type: 'msg', ciphertext: Buffer.of(1) }) },
      sendNode: async (/** @type {any} */ { tag }) => void done.push(tag),
      sendMessageAck: async () => void ws.emit('answered'),
    };
    answerRetries(sock, { findMessage: async () => ({ address: '901@lid', message: { conversation: 'x' } }), log });
    const answered = once(ws, 'answered');
    ws.emit('CB:receipt', { tag: 'receipt', attrs: { id: 'M', from: '901@lid', type: 'retry' }, content: [{ tag: 'retry', attrs: { count: '1' } }] });
    await answered;
    assert.deepEqual(done, ['committed', 'message']);
  });

  it('messages are taken before they are buffered', () => {
    const ev = makeEventBuffer(engineLog(log));
    /** @type {any[]} */
    const taken = [];
    takeMessagesEarly(ev, (upsert) => taken.push(upsert));
    ev.buffer();
    const message = { key: { remoteJid: '49151@s.whatsapp.net', id: 'A', fromMe: false }, message: { conversation: 'hi' } };
    ev.emit('messages.upsert', { messages: [message], type: 'notify' });
    assert.equal(taken.length, 1);
    ev.flush();
    assert.equal(taken.length, 1);
    ev.destroy();
  });

  it('a number that comes back in another spelling is not taken for one that is not on WhatsApp', async () => {
    const person = (/** @type {string} */ phone) => ({ id: `${phone.slice(1)}@s.whatsapp.net`, contact: phone !== '+4917700000009' });
    const spelled = new Map([['+5511987654321', '+551187654321']]); // Brazil's ninth digit
    const executeUSyncQuery = async (/** @type {{users: {phone: string}[]}} */ { users }) =>
      ({ list: users.map(({ phone }) => person(spelled.get(phone) ?? phone)) });
    const directory = directoryOf(executeUSyncQuery);
    const known = async (/** @type {string[]} */ ...phones) => (await directory.find(phones)).results.map(({ on_whatsapp }) => on_whatsapp);
    assert.deepEqual(await known('+4917700000009', '+4915112345678'), [false, true]);
    assert.deepEqual(await known('+5511987654321', '+4915112345679', '+4915112345670'), [null, true, true]);
    assert.equal(await directory.resolve({ phone: '+5511987654321' }), '551187654321@s.whatsapp.net');
  });

  it('an error about the devices of a number does not hide whether it is on WhatsApp', async () => {
    const user = (/** @type {string} */ jid, /** @type {string} */ type) => ({
      tag: 'user',
      attrs: { jid },
      content: [
        { tag: 'contact', attrs: { type } },
        { tag: 'devices', attrs: {}, content: [{ tag: 'error', attrs: { code: '404', text: 'item-not-found' } }] },
      ],
    });
    const content = [{
      tag: 'usync',
      attrs: {},
      content: [{ tag: 'list', attrs: {}, content: [user('491@s.whatsapp.net', 'in'), user('492@s.whatsapp.net', 'out')] }],
    }];
    const executeUSyncQuery = async (/** @type {import('baileys').USyncQuery} */ query) =>
      query.parseUSyncQueryResult(/** @type {any} */ ({ tag: 'iq', attrs: { type: 'result' }, content }));
    const answer = await whoIs({ executeUSyncQuery }, ['+491', '+492'], { devices: true });
    assert.deepEqual(answer, { people: [{ id: '491@s.whatsapp.net', contact: true }], absent: [{ id: '492@s.whatsapp.net', contact: false }] });
  });

  it('an answer that leaves a number out is no no: it is asked for alone, and then tried', async () => {
    /** @type {string[][]} */
    const asked = [];
    /** @type {Record<string, boolean>} what is said to the narrowest question */
    const said = { '+4915100000001': true, '+4915100000002': false };
    const executeUSyncQuery = async (/** @type {any} */ { users, protocols }) => {
      asked.push(users.map((/** @type {any} */ { phone }) => phone));
      const answer = ({ phone } = /** @type {any} */ ({})) => (phone in said ? [{ id: `${phone.slice(1)}@s.whatsapp.net`, contact: said[phone] }] : []);
      return { list: protocols.length > 1 ? [] : users.flatMap(answer) };
    };
    const directory = directoryOf(executeUSyncQuery);
    assert.equal(await directory.resolve({ phone: '+4915100000001' }), '4915100000001@s.whatsapp.net');
    assert.deepEqual(asked, Array(3).fill(['+4915100000001']), 'with less each time');
    await assert.rejects(directory.resolve({ phone: '+4915100000002' }), { reason: 'not_on_whatsapp' });
    assert.equal(await directory.resolve({ phone: '+4915100000003' }), '4915100000003@s.whatsapp.net', 'its devices will tell');
  });

  it('a change of devices is forgotten under the number and under the LID, and what is gone has no session', async () => {
    /** @type {string[]} */
    const forgotten = [];
    /** @type {string[]} */
    const removed = [];
    const lidMapping = { getLIDForPN: async () => '901@lid' };
    const signalRepository = { lidMapping, deleteSession: async (/** @type {string[]} */ jids) => void removed.push(...jids) };
    const acked = new Promise((resolve) => {
      const sock = { ws: new EventEmitter(), signalRepository, sendMessageAck: async (/** @type {any} */ node) => resolve(node.attrs.id) };
      sock.ws.on('CB:notification', () => assert.fail('it is not for Baileys'));
      heedDeviceChanges(sock, /** @type {any} */ ({ del: async (/** @type {string} */ user) => void forgotten.push(user) }));
      const device = { tag: 'device', attrs: { jid: '49151:3@s.whatsapp.net' } };
      sock.ws.emit('CB:notification', {
        tag: 'notification',
        attrs: { id: 'n', type: 'devices', from: '49151@s.whatsapp.net' },
        content: [{ tag: 'remove', attrs: {}, content: [device] }],
      });
    });
    assert.equal(await acked, 'n');
    assert.deepEqual([forgotten.sort(), removed], [['49151', '901'], ['49151:3@s.whatsapp.net']]);
  });

  it('an edit is told in whatever it is wrapped, and nothing else that phones say among themselves', () => {
    /** @type {any[]} */
    const told = [];
    const inbound = new Inbound({ seen: new Lru(10), tell: (data) => told.push([data.id, data.kind, data.text, data.edits]) > 0 });
    const key = { remoteJid: '49151@s.whatsapp.net', fromMe: false };
    const protocol = (/** @type {object} */ more) => ({ protocolMessage: { key: { id: 'FIRST' }, ...more } });
    const caption = protocol({ type: 14, editedMessage: { imageMessage: { caption: 'STOP' } } });
    const messages = {
      EDIT: { editedMessage: { message: protocol({ type: 14, editedMessage: { conversation: 'STOP' } }) } },
      VANISHING: { ephemeralMessage: { message: { editedMessage: { message: caption } } } },
      BARE: protocol({ type: 14, editedMessage: { extendedTextMessage: { text: 'STOP' } } }),
      EMPTY: protocol({ type: 14 }),
      REVOKED: protocol({ type: 0 }),
    };
    for (const [id, message] of Object.entries(messages)) inbound.take({ key: { ...key, id }, messageTimestamp: 1_700_000_000, message }, false);
    assert.deepEqual(told, [['EDIT', 'text', 'STOP', 'FIRST'], ['VANISHING', 'image', 'STOP', 'FIRST'], ['BARE', 'text', 'STOP', 'FIRST']]);
  });

  it('a time that is missing or makes no sense costs nothing but itself', () => {
    /** @type {any[]} */
    const told = [];
    const inbound = new Inbound({ seen: new Lru(10), tell: (data) => told.push(data) > 0 });
    const key = { remoteJid: '49151@s.whatsapp.net', fromMe: false };
    for (const [at, messageTimestamp] of [NaN, 1_700_000_000, 1_700_000_000_000].entries()) {
      inbound.take({ key: { ...key, id: `M${at}` }, messageTimestamp, message: { conversation: 'hi' } }, false);
    }
    const [missing, right, absurd] = told.map((data) => Date.parse(data.sent_at));
    assert.equal(right, 1_700_000_000_000);
    for (const now of [missing, absurd]) assert.ok(Math.abs((now ?? 0) - Date.now()) < 10_000);
    const ban = (/** @type {string} */ expire) =>
      classify({ output: { statusCode: 402 }, data: { code: '101', expire } }, { linking: false, now: 1_700_000_000_000 });
    assert.deepEqual(ban('3600').detail, { until: '2023-11-14T23:13:20.000Z', kind: '101' });
    for (const expire of ['99999999999999', 'soon', '-1']) assert.deepEqual(ban(expire).detail, { until: null, kind: '101' });
  });

  it('the engine logs texts, masked, and never what comes with them', () => {
    /** @type {any[]} */
    const lines = [];
    const quiet = makeLog('silent');
    const spy = Object.assign(Object.create(quiet), {
      isLevelEnabled: () => true,
      debug: (/** @type {any} */ ...line) => lines.push(line),
      info: (/** @type {any} */ ...line) => lines.push(line),
    });
    engineLog(spy).warn({ node: { key: 'private' }, err: new Error('to 4915112345678') }, 'Invalid LID-PN mapping: 186235288189710@lid');
    engineLog(spy).debug({ creds: 'private' }, 'nothing of this');
    assert.deepEqual(lines, [[{ engine: true, cause: 'to 49151*****78' }, 'Invalid LID-PN mapping: 18623*****10@lid']]);
  });

  it('a slow reader of signals gets the newest state and every close, and holds nothing up', async () => {
    const signals = new Signals();
    const slow = new PassThrough({ highWaterMark: 1 });
    signals.attach(slow, []);
    const status = (/** @type {string} */ state, /** @type {number} */ at) => /** @type {any} */ ({ id: 'a', state, at });
    for (let at = 0; at < 500; at += 1) signals.publish(status('connected', at));
    signals.publish(status('closed', 500));
    for (let at = 501; at < 1_000; at += 1) signals.publish(status('connecting', at));
    const reading = readAll(slow);
    await once(slow, 'drain');
    signals.close();
    const told = (await reading).trim().split('\n').map((line) => JSON.parse(line));
    assert.deepEqual(told.map(({ state, at }) => [state, at]), [['connected', 0], ['closed', 500], ['connecting', 999]]);
  });
});
