import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { Directory } from '../src/engine/directory.js';
import { Inquiry } from '../src/engine/inquiry.js';
import { Lookups } from '../src/engine/lookups.js';
import { TokenBucket } from '../src/engine/token-bucket.js';
import { makeLog } from '../src/log.js';
import { Lru } from '../src/lru.js';
import { Stage, text } from './support/stage.js';

const EVERY_MS = 4_000;
const THROTTLED = { outcome: 'not_sent', reason: 'lookup_throttled' };

describe('the limit of lookups', () => {
  const stage = new Stage({ WA_LOOKUP_BURST: '2', WA_LOOKUP_EVERY_MS: String(EVERY_MS) });
  /** @type {string} */ let id;
  /** @type {string} */ let number;
  before(async () => ({ id, number } = await stage.linked()));

  const asked = async (/** @type {string} */ from) => (await stage.network.call('GET', '/stats')).accounts[from].asked.usync ?? 0;
  const check = async (/** @type {string} */ session, /** @type {string[]} */ phones) =>
    (await stage.bridge.call('POST', `/session/${session}/check`, { term: 1, phones })).body;
  /** @param {number} count @returns {Promise<any[]>} */
  const phones = (count) => Promise.all(Array.from({ length: count }, () => stage.phone()));

  it('asks for so many at once, then for one more after a while, and sends nothing to who was not looked up', async () => {
    const [first, second, third] = await phones(3);
    for (const customer of [first, second]) assert.equal((await stage.bridge.send(id, text(customer, 'hello'))).body.outcome, 'acked');
    const before = await asked(number);
    const message = text(third, 'too soon');
    assert.deepEqual((await stage.bridge.send(id, message)).body, THROTTLED);
    assert.equal(await asked(number), before, 'nothing was asked');
    assert.deepEqual(await stage.network.shown(third), []);

    for (const customer of [first, second]) {
      assert.equal((await stage.bridge.send(id, text(customer, 'again'))).body.outcome, 'acked', 'who is known is not looked up');
    }
    await stage.network.until(async () => (await stage.bridge.send(id, { ...message, attempt: 2 })).body.outcome === 'acked');
    assert.deepEqual((await stage.network.shown(third)).map((one) => [one.text, one.copies]), [['too soon', 1]]);
  });

  it('never stands in the way of a customer who has written, nor of one whose LID is known', async () => {
    const { id: own, number: from } = await stage.linked();
    const [writes, lid, ...strangers] = await phones(4);
    await stage.network.call('POST', `/phones/${encodeURIComponent(writes)}/messages`, { to: from, text: 'are you open?' });
    await stage.web.event((event) => event.session === own && event.type === 'message.received');
    const known = await stage.network.call('GET', `/phones/${encodeURIComponent(lid)}`);
    await check(own, strangers);
    assert.deepEqual((await stage.bridge.send(own, text(await stage.phone(), 'x'))).body, THROTTLED);
    assert.equal((await stage.bridge.send(own, text(writes, 'we are'))).body.outcome, 'acked');
    assert.equal((await stage.bridge.send(own, text(lid, 'x', { to: { phone: lid, lid: known.lid } }))).body.outcome, 'acked');
  });

  it('checks as many numbers as it may, and says that these are not all; a number that was asked for costs nothing', async () => {
    const { id: own, number: from } = await stage.linked();
    const [known, absent, ...others] = [await stage.phone(), '+4917700000003', ...(await phones(2))];
    const said = ({ results, reason } = /** @type {any} */ ({})) => [results.map((/** @type {any} */ one) => one.on_whatsapp), reason];
    const first = await check(own, [known, absent, ...others]);
    assert.deepEqual(said(first), [[true, false, null, null], 'lookup_throttled']);
    assert.match(first.results[0].lid, /@lid$/);
    const before = await asked(from);
    assert.equal(before, 1, 'with their LIDs');
    assert.deepEqual(said(await check(own, [known, absent])), [[true, false], undefined]);
    assert.equal(await asked(from), before);
    assert.deepEqual((await stage.bridge.send(own, text(absent, 'x'))).body, { outcome: 'not_sent', reason: 'not_on_whatsapp' });
  });

  it('asks all there is to know about a stranger at once', async () => {
    const { id: own, number: from } = await stage.linked();
    const [first, second] = await phones(2);
    await stage.bridge.send(own, text(first, 'our own devices are asked for, too'));
    const before = await asked(from);
    const { body } = await stage.bridge.send(own, text(second, 'hello'));
    assert.deepEqual([body.outcome, /@lid$/.test(body.address), (await asked(from)) - before], ['acked', true, 1]);
    assert.deepEqual((await stage.network.shown(second)).map((one) => one.text), ['hello']);
  });

  it('counts for each session by itself, over all its connections', async () => {
    const { id: own } = await stage.linked();
    await check(own, await phones(2));
    await stage.bridge.close(own);
    await stage.bridge.open(own, { term: 1 });
    await stage.bridge.status(own, (status) => status.state === 'connected');
    const again = await check(own, await phones(2));
    assert.deepEqual([again.results.length, again.reason], [2, 'lookup_throttled']);
    const { id: other } = await stage.linked();
    assert.equal((await check(other, await phones(2))).reason, undefined);
  });
});

describe('a number whose LID WhatsApp did not name', () => {
  it('is told without it, and asked for once: a second question would go past the limit', async () => {
    const [phone, address] = ['+4915100000001', '4915100000001@s.whatsapp.net'];
    let asked = 0;
    const executeUSyncQuery = async () => {
      asked += 1;
      return { list: [{ id: address, contact: true }] };
    };
    const sock = { executeUSyncQuery, signalRepository: { lidMapping: { getLIDForPN: async () => assert.fail('asked past the limit') } } };
    const vault = /** @type {any} */ ({ get: async () => ({}) });
    const directory = new Directory({
      sock,
      vault,
      lookups: new Lookups({ burst: 1, everyMs: 60_000 }),
      moved: new Lru(10),
      inquiry: new Inquiry({ log: makeLog('silent') }),
      devices: /** @type {any} */ ({}),
    });
    for (let times = 0; times < 2; times += 1) assert.deepEqual(await directory.find([phone]), { results: [{ phone, on_whatsapp: true, address, lid: null }] });
    assert.equal(asked, 1);
  });
});

describe('a question that WhatsApp does not answer as it was asked', () => {
  const stage = new Stage();
  const together = { xmlns: 'usync', asks: ['contact', 'devices'] };

  for (const [how, deed] of /** @type {[string, object][]} */ ([
    ['with an error', { action: 'iq_error', code: '400', text: 'bad-request' }],
    ['with an empty list', { action: 'leave_out', tags: ['user'] }],
    ['without LID and devices', { action: 'leave_out', tags: ['lid', 'devices'] }],
  ])) {
    it(`${how} is asked anew without devices, and no longer as one: strangers are still found, and written to by LID`, async () => {
      const bridge = await stage.another();
      const { id, number } = await stage.linked({ bridge });
      const asked = async () => (await stage.network.call('GET', '/stats')).accounts[number].asked.usync ?? 0;
      const { id: fault } = await stage.network.fault({ on: 'query', match: together, times: 0, do: deed });
      const struck = async () => (await stage.network.call('GET', '/faults')).faults.find((/** @type {any} */ one) => one.id === fault).struck;
      const [first, second] = await Promise.all([stage.phone(), stage.phone()]);
      for (const customer of [first, second]) {
        const { body } = await bridge.send(id, text(customer, 'hello'));
        assert.deepEqual([body.outcome, /@lid$/.test(body.address)], ['acked', true], JSON.stringify(body));
      }
      const before = await asked();
      assert.deepEqual((await bridge.send(id, text('+4917700000010', 'x'))).body, { outcome: 'not_sent', reason: 'not_on_whatsapp' });
      assert.equal(await asked(), before + 1);
      const { id: other } = await stage.linked({ bridge });
      assert.equal((await bridge.send(other, text(first, 'hello'))).body.outcome, 'acked');
      assert.equal(await struck(), 1, 'one question of one session tells all of them');
      assert.equal(bridge.process.log.filter((line) => line.includes('devices are asked for by themselves')).length, 1);
      await stage.network.call('DELETE', `/faults/${fault}`);
    });
  }

  it('with an error about the LIDs is still asked whether they are there', async () => {
    const bridge = await stage.another();
    const { id, number } = await stage.linked({ bridge });
    await stage.network.fault({
      account: number, on: 'query', match: { xmlns: 'usync', asks: ['contact', 'lid'] }, times: 0,
      do: { action: 'iq_error', code: '400', text: 'bad-request' },
    });
    const customer = await stage.phone();
    const { body } = await bridge.send(id, text(customer, 'by number'));
    assert.deepEqual([body.outcome, body.address], ['acked', `${customer.slice(1)}@s.whatsapp.net`]);
    assert.deepEqual((await stage.network.shown(customer)).map((one) => one.text), ['by number']);
    await stage.network.call('DELETE', '/faults');
  });

  it('for there were too many is not asked again', async () => {
    const { id, number } = await stage.linked();
    await stage.network.fault({ account: number, on: 'query', match: together, do: { action: 'iq_error', code: '429', text: 'rate-overlimit' } });
    const asked = async () => (await stage.network.call('GET', '/stats')).accounts[number].asked.usync ?? 0;
    const before = await asked();
    assert.deepEqual((await stage.bridge.send(id, text(await stage.phone(), 'x'))).body, { outcome: 'not_sent', reason: 'rate_limited' });
    assert.equal(await asked(), before + 1);
  });
});

describe('a token bucket', () => {
  it('fills with time, up to its burst, and never beyond', () => {
    let now = 0;
    const bucket = new TokenBucket({ burst: 3, everyMs: 1_000, now: () => now });
    assert.deepEqual([bucket.take(2), bucket.take(2), bucket.take(1)], [2, 1, 0]);
    now = 999;
    assert.equal(bucket.take(1), 0);
    now = 1_000;
    assert.deepEqual([bucket.take(1), bucket.take(1)], [1, 0]);
    now = 1_000_000;
    assert.deepEqual([bucket.take(9), bucket.take(1)], [3, 0]);
  });

  it('is without a limit at 0 ms', () => {
    const bucket = new TokenBucket({ burst: 1, everyMs: 0 });
    assert.deepEqual([bucket.take(50), bucket.take(50)], [50, 50]);
  });
});
