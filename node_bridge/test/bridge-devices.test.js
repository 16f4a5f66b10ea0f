import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { before, describe, it } from 'node:test';
import { spareOtherDevices } from '../src/engine/traps/keyless-devices.js';
import { Stage, text } from './support/stage.js';

describe('the devices that a message goes to', { timeout: 180_000 }, () => {
  const stage = new Stage();
  const asked = async (/** @type {string} */ from, /** @type {string} */ what) => (await stage.network.call('GET', '/stats')).accounts[from].asked[what] ?? 0;
  const texts = async (/** @type {string} */ phone) => (await stage.network.shown(phone)).map((one) => one.text);
  /** A bundle that is refused until the fault is removed. @param {{from: string, to: string, device: number}} which @param {number} [times] */
  const withoutKeys = ({ from, to, device }, times = 0) =>
    stage.network.fault({ account: from, on: 'bundle', match: { to, device }, times, do: { action: 'bundle_error', code: '404', text: 'item-not-found' } });
  /** The device that was linked last. @param {string} number */
  const lastDevice = async (number) => (await stage.network.call('GET', `/phones/${encodeURIComponent(number)}`)).devices.at(-1).device;

  it('are looked up anew once the hash that comes with acks changes, and not for its coming', async () => {
    const { id, number } = await stage.linked();
    const customer = await stage.phone();
    await stage.settled(id, stage.bridge);
    await stage.bridge.send(id, text(customer, 'who are they?'));
    const known = await asked(number, 'usync');
    for (const at of [1, 2, 3]) assert.equal((await stage.bridge.send(id, text(customer, `known ${at}`))).body.outcome, 'acked');
    assert.equal(await asked(number, 'usync'), known);

    await stage.network.fault({ account: number, on: 'notification', match: { to: customer }, times: 0, do: { action: 'drop' } });
    const { id: browser } = await stage.linked({ number: customer });
    await stage.bridge.send(id, text(customer, 'nobody told us of the browser'));
    await stage.bridge.send(id, text(customer, 'for the browser, too'));
    await stage.web.event((event) => event.session === browser && event.data.text === 'for the browser, too');
    const all = await asked(number, 'usync');
    await stage.bridge.send(id, text(customer, 'known again'));
    assert.equal(await asked(number, 'usync'), all);
    await stage.network.call('DELETE', '/faults');
  });

  describe('and for which WhatsApp has no keys', () => {
    /** @type {string} */ let id;
    /** @type {string} */ let number;
    before(async () => {
      ({ id, number } = await stage.linked());
      await stage.settled(id, stage.bridge);
    });

    it('cost the customer\'s others nothing, and one question', async () => {
      const customer = await stage.phone();
      await stage.linked({ number: customer });
      await withoutKeys({ from: number, to: customer, device: await lastDevice(customer) });
      assert.equal((await stage.bridge.send(id, text(customer, 'for the phone'))).body.outcome, 'acked');
      const before = await asked(number, 'encrypt');
      assert.equal((await stage.bridge.send(id, text(customer, 'again'))).body.outcome, 'acked');
      assert.equal(await asked(number, 'encrypt'), before);
      assert.deepEqual(await texts(customer), ['for the phone', 'again']);
      await stage.network.call('DELETE', '/faults');
    });

    it('cost the number nothing when they are its own', async () => {
      const own = await stage.linked();
      await stage.linked({ number: own.number });
      await withoutKeys({ from: own.number, to: own.number, device: await lastDevice(own.number) });
      for (const customer of [await stage.phone(), await stage.phone()]) {
        assert.equal((await stage.bridge.send(own.id, text(customer, 'hello'))).body.outcome, 'acked');
        assert.deepEqual(await texts(customer), ['hello']);
      }
      await stage.network.call('DELETE', '/faults');
    });

    it('cost the number nothing when its phone is among them, either', async () => {
      const own = await stage.linked();
      await stage.settled(own.id, stage.bridge);
      await stage.bridge.close(own.id);
      await stage.db.rows("DELETE FROM bridge_key WHERE session_id = $1 AND kind = 'session'", [own.id]);
      await stage.bridge.open(own.id, { term: 1 });
      await stage.bridge.status(own.id, (status) => status.state === 'connected');
      await withoutKeys({ from: own.number, to: own.number, device: 0 });
      const customer = await stage.phone();
      assert.equal((await stage.bridge.send(own.id, text(customer, 'the customer has it'))).body.outcome, 'acked');
      assert.equal((await stage.bridge.send(own.id, text(customer, 'and the next'))).body.outcome, 'acked');
      const { lid } = await stage.network.call('GET', `/phones/${encodeURIComponent(customer)}`);
      const byNumber = { to: { phone: customer, lid, address: `${customer.slice(1)}@s.whatsapp.net` } };
      assert.equal((await stage.bridge.send(own.id, text(customer, 'by number', byNumber))).body.outcome, 'acked');
      assert.deepEqual(await texts(customer), ['the customer has it', 'and the next', 'by number']);
      await stage.network.call('DELETE', '/faults');
    });

    it('hold the message up when the customer\'s phone is among them: a browser alone does not have it', async () => {
      const customer = await stage.phone();
      await stage.linked({ number: customer });
      await withoutKeys({ from: number, to: customer, device: 0 }, 1);
      const message = text(customer, 'for the phone above all');
      assert.deepEqual((await stage.bridge.send(id, message)).body, { outcome: 'not_sent', reason: 'lookup_failed' });
      assert.equal((await stage.bridge.send(id, { ...message, attempt: 2 })).body.outcome, 'acked');
      assert.deepEqual(await texts(customer), ['for the phone above all']);
    });

    it('hold it up, too, where WhatsApp leaves the phone out of its answer', async () => {
      const customer = await stage.phone();
      const { id: browser } = await stage.linked({ number: customer });
      await stage.bridge.send(browser, text(number, 'from the browser, the first word of all'));
      await stage.web.event((event) => event.session === id && event.data.text === 'from the browser, the first word of all');
      await stage.network.fault({ account: number, on: 'query', match: { xmlns: 'encrypt' }, do: { action: 'leave_out', tags: ['user'] } });
      const message = text(customer, 'an answer for the phone');
      assert.deepEqual((await stage.bridge.send(id, message)).body, { outcome: 'not_sent', reason: 'lookup_failed' });
      assert.equal((await stage.bridge.send(id, { ...message, attempt: 2 })).body.outcome, 'acked');
      assert.deepEqual((await texts(customer)).at(-1), 'an answer for the phone');
    });

    it('are answered all the same when they ask for a message again', async () => {
      const customer = await stage.phone();
      await stage.bridge.send(id, text(customer, 'before'));
      const path = `/phones/${encodeURIComponent(customer)}`;
      const { lid } = await stage.network.call('GET', path);
      await stage.network.call('DELETE', path);
      await stage.network.phone(customer, { lid }); // the same person with a new phone
      await withoutKeys({ from: number, to: customer, device: 0 });
      assert.equal((await stage.bridge.send(id, text(customer, 'for the new phone'))).body.outcome, 'acked');
      await stage.network.until(async () => (await texts(customer)).length);
      assert.deepEqual(await texts(customer), ['for the new phone']);
      await stage.network.call('DELETE', '/faults');
    });
  });

  it('are no reason to give a message up when WhatsApp does not answer for their keys', async () => {
    const { id, number } = await stage.linked();
    await stage.settled(id, stage.bridge);
    await stage.network.fault({ account: number, on: 'query', match: { xmlns: 'encrypt' }, do: { action: 'drop' } });
    const message = text(await stage.phone(), 'x');
    assert.deepEqual((await stage.bridge.send(id, message)).body, { outcome: 'not_sent', reason: 'lookup_failed' });
    assert.equal((await stage.bridge.send(id, { ...message, attempt: 2 })).body.outcome, 'acked');
  });
});

describe('a device without keys', () => {
  const me = { id: '49150:7@s.whatsapp.net', lid: '900:7@lid' };
  const device = (/** @type {string} */ user, /** @type {number} */ id, server = 'lid') => ({ user, server, device: id });

  const keys = ['registration', 'identity', 'skey'].map((tag) => ({ tag, attrs: {} }));
  const error = [{ tag: 'error', attrs: {} }];

  /** @param {{sessions?: string[], instead?: object[] | undefined}} [options] - `instead`: what the answer has in the place of keys */
  function trap({ sessions = [], instead = error } = {}) {
    const lidMapping = {
      getPNForLID: async (/** @type {string} */ jid) => jid.replace('901', '49151').replace('900', '49150').replace('@lid', '@s.whatsapp.net'),
    };
    const validateSession = async (/** @type {string} */ jid) => ({ exists: sessions.includes(jid) });
    const ws = new EventEmitter();
    let now = 0;
    const sift = spareOtherDevices({ ws, authState: { creds: { me } }, signalRepository: { lidMapping, validateSession } }, () => now);
    /** @param {string[]} jids whom there are no keys for */
    const answered = async (...jids) => {
      const users = ['901:1@lid', ...jids].map((jid) => ({ tag: 'user', attrs: { jid }, content: jids.includes(jid) ? instead : keys }));
      const node = { tag: 'iq', attrs: { type: 'result' }, content: [{ tag: 'list', attrs: {}, content: users }] };
      ws.emit('frame', node);
      await new Promise(setImmediate);
      return node.content[0]?.content.map(({ attrs }) => attrs.jid);
    };
    return { sift, answered, wait: (/** @type {number} */ ms) => (now += ms) };
  }

  it('is left out for an hour, by LID and by number, where others remain', async () => {
    const { sift, answered, wait } = trap();
    const [phone, browser] = [device('901', 0), device('901', 3)];
    assert.deepEqual(await answered('901:3@lid'), ['901:1@lid']);
    assert.deepEqual(await sift('901', [phone, browser]), [phone]);
    const byNumber = [device('49151', 0, 's.whatsapp.net'), device('49151', 3, 's.whatsapp.net')];
    assert.deepEqual(await sift('49151', byNumber), byNumber.slice(0, 1));
    assert.deepEqual(await sift('901', [browser]), [browser], 'nobody else would be left');
    assert.deepEqual(await sift('902', [device('902', 3)]), [device('902', 3)]);
    wait(3_600_000);
    assert.deepEqual(await sift('901', [phone, browser]), [phone, browser]);
  });

  for (const [how, instead] of /** @type {[string, object[]][]} */ ([['nothing', []], ['a part of them', keys.slice(1)]])) {
    it(`is told by ${how} as well as by an error`, async () => {
      const { sift, answered } = trap({ instead });
      assert.deepEqual(await answered('901:3@lid'), ['901:1@lid']);
      assert.deepEqual(await sift('901', [device('901', 0), device('901', 3)]), [device('901', 0)]);
    });
  }

  it('of our own is left out even if none remains', async () => {
    const { sift, answered } = trap();
    assert.deepEqual(await answered('900@lid'), ['901:1@lid']);
    assert.deepEqual([await sift('900', [device('900', 0)]), await sift('49150', [device('49150', 0, 's.whatsapp.net')])], [[], []]);
  });

  it('is written to where there is a session with it, and a customer\'s phone is never left out', async () => {
    const { sift, answered } = trap({ sessions: ['901:3@lid'] });
    assert.deepEqual(await answered('901:3@lid', '901@lid'), ['901:1@lid', '901@lid'], 'who looks at the answer sees the error');
    const both = [device('901', 0), device('901', 3)];
    assert.deepEqual(await sift('901', both), both);
  });
});
