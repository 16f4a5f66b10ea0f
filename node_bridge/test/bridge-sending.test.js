import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { messageId, Stage, text } from './support/stage.js';

describe('sending', () => {
  const stage = new Stage({ SEND_ACK_TIMEOUT_S: '1.5' });
  /** @type {string} */ let id;
  /** @type {string} */ let number;
  before(async () => ({ id, number } = await stage.linked()));

  /** Connects again after a test that cut the connection. */
  async function reconnect() {
    stage.bridge.forget();
    await stage.bridge.open(id, { term: 1 });
    await stage.bridge.status(id, (status) => status.state === 'connected');
  }

  it('answers after the server has acked, and the phone shows the message', async () => {
    const customer = await stage.phone();
    const { status, body } = await stage.bridge.send(id, text(customer, 'Your table is ready'));
    assert.equal(status, 200);
    assert.equal(body.outcome, 'acked');
    assert.match(body.address, /@lid$/);
    assert.ok(Math.abs(Date.parse(body.at) - Date.now()) < 10_000);
    const [shown] = await stage.network.shown(customer);
    assert.deepEqual([shown.text, shown.copies], ['Your table is ready', 1]);
  });

  it('keeps the order of what is asked for at once', async () => {
    const customer = await stage.phone();
    const texts = Array.from({ length: 8 }, (_, at) => `message ${at}`);
    const answers = await Promise.all(texts.map((one) => stage.bridge.send(id, text(customer, one))));
    assert.ok(answers.every(({ body }) => body.outcome === 'acked'));
    assert.deepEqual((await stage.network.shown(customer)).map((shown) => shown.text), texts);
  });

  it('writes to the account that has a number by now, once WhatsApp says that it is another', async () => {
    const customer = await stage.phone();
    const { address: before } = (await stage.bridge.send(id, text(customer, 'first'))).body;
    await stage.network.call('DELETE', `/phones/${encodeURIComponent(customer)}`);
    await stage.network.phone(customer);
    const told = await stage.bridge.send(id, text(customer, 'to nobody', { to: { phone: customer, lid: before } }));
    assert.deepEqual([told.body.outcome, told.body.address], ['acked', before]);
    const { lid } = await stage.network.call('GET', `/phones/${encodeURIComponent(customer)}`);
    for (const to of [{ phone: customer }, { phone: customer, lid: before }]) {
      const { body } = await stage.bridge.send(id, text(customer, 'found', { to }));
      assert.deepEqual([body.outcome, body.address], ['acked', lid]);
    }
    assert.deepEqual((await stage.network.shown(customer)).map((shown) => shown.text), ['found', 'found']);
  });

  it('joins a send of the same id that is under way', async () => {
    const customer = await stage.phone();
    const message = text(customer, 'once', { typing_ms: 300 });
    const [first, second] = await Promise.all([stage.bridge.send(id, message), stage.bridge.send(id, message)]);
    assert.deepEqual(first.body, second.body);
    assert.equal((await stage.network.shown(customer))[0].copies, 1);
  });

  it('relays what was stored when it sends again, and the phone shows it once', async () => {
    const customer = await stage.phone();
    const message = text(customer, 'the first words');
    const first = await stage.bridge.send(id, message);
    const stored = () => stage.db.rows('SELECT address, data FROM bridge_sent WHERE session_id = $1 AND wa_id = $2', [id, message.id]);
    const before = await stored();
    const again = await stage.bridge.send(id, { ...message, content: { type: 'text', text: 'other words' }, resend: true });
    assert.equal(again.body.outcome, 'acked');
    assert.equal(again.body.address, first.body.address);
    assert.deepEqual(await stored(), before);
    const shown = await stage.network.shown(customer);
    assert.deepEqual(shown.map((one) => [one.text, one.copies]), [['the first words', 2]]);
  });

  it('reports the code of an ack that is an error', async () => {
    const customer = await stage.phone();
    await stage.network.fault({ account: number, on: 'message', do: { action: 'ack_error', code: '463' } });
    const { body } = await stage.bridge.send(id, text(customer, 'to a stranger'));
    assert.equal(body.outcome, 'rejected');
    assert.equal(body.code, '463');
    assert.deepEqual(await stage.network.shown(customer), []);
    assert.equal((await stage.bridge.send(id, text(customer, 'next'))).body.outcome, 'acked');
  });

  it('looks for nothing stored when the id was never handed over before', async () => {
    const customer = await stage.phone();
    const message = text(customer, 'first words');
    const stored = async () => (await stage.db.rows('SELECT data FROM bridge_sent WHERE session_id = $1 AND wa_id = $2', [id, message.id]))[0]?.data;
    assert.equal((await stage.bridge.send(id, { ...message, attempt: 1 })).body.outcome, 'acked');
    const first = await stored();
    assert.equal((await stage.bridge.send(id, { ...message, attempt: 2, resend: true })).body.outcome, 'acked');
    assert.deepEqual(await stored(), first);
    assert.equal((await stage.bridge.send(id, { ...message, attempt: 1 })).body.outcome, 'acked'); // no caller does this: it shows that nothing was looked for
    assert.notDeepEqual(await stored(), first);
    assert.equal((await stage.bridge.send(id, { ...message, attempt: 0 })).status, 400);
  });

  it('tries the number when the server refuses the LID as an address', async () => {
    const customer = await stage.phone();
    await stage.network.fault({ account: number, on: 'message', do: { action: 'ack_error', code: '400' } });
    const { body } = await stage.bridge.send(id, text(customer, 'by number'));
    assert.equal(body.outcome, 'acked');
    assert.match(body.address, /@s\.whatsapp\.net$/);
    assert.equal((await stage.network.shown(customer))[0].copies, 1);
  });

  it('does not try the number any more once the message has expired', async () => {
    const patient = await stage.another({ SEND_ACK_TIMEOUT_S: '20' });
    const own = await stage.linked({ bridge: patient });
    const customer = await stage.phone();
    await stage.network.fault({ account: own.number, on: 'message', do: { action: 'ack_error', code: '400', ms: 2_500 } });
    const { body } = await patient.send(own.id, text(customer, 'by number, too late', { valid_for_ms: 2_000 }));
    assert.deepEqual(body, { outcome: 'not_sent', reason: 'expired' });
    assert.deepEqual((await stage.network.call('GET', '/faults')).faults, [], 'it was refused once');
    assert.deepEqual(await stage.network.shown(customer), []);
  });

  it('says unknown when no ack comes, and tells a late ack as an event', async () => {
    const customer = await stage.phone({ settings: { delivery_receipts: false } });
    const message = text(customer, 'slow ack');
    await stage.network.fault({ account: number, on: 'ack', do: { action: 'delay', ms: 2_500 } });
    const { body } = await stage.bridge.send(id, message);
    assert.deepEqual(body, { outcome: 'unknown', reason: 'ack_timeout' });
    const event = await stage.web.event((one) => one.type === 'message.ack' && one.data.id === message.id);
    assert.deepEqual(event.data, { id: message.id });
    assert.equal(event.session, id);
  });

  it('takes a receipt for an ack that does not come, and goes on', async () => {
    const patient = await stage.another({ SEND_ACK_TIMEOUT_S: '20' });
    const own = await stage.linked({ bridge: patient });
    const customer = await stage.phone();
    await stage.network.fault({ account: own.number, on: 'ack', do: { action: 'drop' } });
    const sends = ['its ack is lost', 'behind it'].map((body) => patient.send(own.id, text(customer, body)));
    assert.deepEqual((await Promise.all(sends)).map(({ body }) => body.outcome), ['acked', 'acked']);
    assert.deepEqual((await stage.network.call('GET', '/faults')).faults, [], 'it was lost');
    assert.deepEqual((await stage.network.shown(customer)).map((one) => one.text), ['its ack is lost', 'behind it']);
  });

  it('says unknown when the connection breaks before the ack; sent again, it is shown once', async () => {
    const customer = await stage.phone();
    const message = text(customer, 'cut before the ack');
    await stage.network.fault({ account: number, on: 'ack', do: { action: 'terminate', moment: 'before' } });
    const { body } = await stage.bridge.send(id, message);
    assert.deepEqual(body, { outcome: 'unknown', reason: 'connection_lost' });
    const { close } = await stage.bridge.status(id, (status) => status.state === 'closed');
    assert.deepEqual([close.code, close.reason], [428, 'connection_lost']);
    await reconnect();
    assert.equal((await stage.bridge.send(id, { ...message, resend: true })).body.outcome, 'acked');
    assert.equal((await stage.bridge.send(id, text(customer, 'after it'))).body.outcome, 'acked');
    const shown = await stage.network.shown(customer);
    assert.deepEqual(shown.map((one) => [one.text, one.copies]), [['cut before the ack', 2], ['after it', 1]]);
  });

  it('says unknown when the message is lost with the connection; sent again, it arrives', async () => {
    const customer = await stage.phone();
    const message = text(customer, 'lost on the way');
    await stage.network.fault({ account: number, on: 'message', do: { action: 'terminate' } });
    assert.equal((await stage.bridge.send(id, message)).body.outcome, 'unknown');
    await stage.bridge.status(id, (status) => status.state === 'closed');
    await reconnect();
    assert.equal((await stage.bridge.send(id, { ...message, resend: true })).body.outcome, 'acked');
    const shown = await stage.network.shown(customer);
    assert.deepEqual(shown.map((one) => [one.text, one.copies]), [['lost on the way', 1]]);
  });

  it('does not send to a number that is not on WhatsApp, and asks only once', async () => {
    const stranger = '+4917700000001';
    const first = await stage.bridge.send(id, text(stranger, 'hello?'));
    await stage.network.fault({ account: number, on: 'query', match: { xmlns: 'usync' }, do: { action: 'iq_error', code: '500', text: 'asked again' } });
    const second = await stage.bridge.send(id, text(stranger, 'hello?'));
    await stage.network.call('DELETE', '/faults');
    assert.deepEqual([first.body, second.body], Array(2).fill({ outcome: 'not_sent', reason: 'not_on_whatsapp' }));
  });

  it('tells a rate limit apart from other failed lookups', async () => {
    const usync = { account: number, on: 'query', match: { xmlns: 'usync' } };
    await stage.network.fault({ ...usync, do: { action: 'iq_error', code: '429', text: 'rate-overlimit' } });
    const limited = await stage.bridge.send(id, text(await stage.phone(), 'too many'));
    await stage.network.fault({ ...usync, times: 3, do: { action: 'iq_error', code: '500', text: 'internal' } }); // however little is asked
    const failed = await stage.bridge.send(id, text(await stage.phone(), 'broken'));
    assert.deepEqual(limited.body, { outcome: 'not_sent', reason: 'rate_limited' });
    assert.deepEqual(failed.body, { outcome: 'not_sent', reason: 'lookup_failed' });
  });

  it('does not send what has expired, not even while it was typing', async () => {
    const customer = await stage.phone();
    const expired = await stage.bridge.send(id, text(customer, 'old', { expires_at: new Date(Date.now() - 1_000).toISOString() }));
    const typing = await stage.bridge.send(id, text(customer, 'slow', { typing_ms: 900, expires_at: new Date(Date.now() + 400).toISOString() }));
    const late = await stage.bridge.send(id, text(customer, 'late', { valid_for_ms: 0 }));
    const slow = await stage.bridge.send(id, text(customer, 'slow, too', { typing_ms: 900, valid_for_ms: 400 }));
    assert.deepEqual([expired, typing, late, slow].map(({ body }) => body), Array(4).fill({ outcome: 'not_sent', reason: 'expired' }));
    assert.deepEqual(await stage.network.shown(customer), []);
    assert.equal((await stage.bridge.send(id, text(customer, 'in time', { valid_for_ms: 60_000 }))).body.outcome, 'acked');
  });

  it('counts how long a message is good for from its arrival, behind others too', async () => {
    const customer = await stage.phone();
    const ahead = stage.bridge.send(id, text(customer, 'ahead', { typing_ms: 900 }));
    const behind = stage.bridge.send(id, text(customer, 'behind', { valid_for_ms: 500 }));
    assert.deepEqual([(await ahead).body.outcome, (await behind).body.reason], ['acked', 'expired']);
  });

  it('uses the address it is given, without a lookup', async () => {
    const customer = await stage.phone();
    const { lid } = await stage.network.call('GET', `/phones/${encodeURIComponent(customer)}`);
    const { body } = await stage.bridge.send(id, text(customer, 'by LID', { to: { phone: customer, lid } }));
    assert.deepEqual([body.outcome, body.address], ['acked', lid]);
  });

  it('answers not_sent at once when the connection goes while messages wait', async () => {
    const customer = await stage.phone();
    const [first, second] = [text(customer, 'typing', { typing_ms: 10_000 }), text(customer, 'waiting')];
    const typing = stage.bridge.send(id, first);
    await stage.db.until(async () => (await stage.db.rows('SELECT 1 FROM bridge_sent WHERE wa_id = $1', [first.id])).length); // stored, so typing
    const waiting = stage.bridge.send(id, second);
    await stage.bridge.call('DELETE', `/session/${id}?term=1`);
    assert.deepEqual((await typing).body, { outcome: 'not_sent', reason: 'not_connected' });
    const { body } = await waiting;
    assert.ok(body.reason === 'not_connected' || body.error?.code === 'not_found', JSON.stringify(body));
    await reconnect();
  });

  it('checks numbers', async () => {
    const customer = await stage.phone();
    const { lid } = await stage.network.call('GET', `/phones/${encodeURIComponent(customer)}`);
    const { body } = await stage.bridge.call('POST', `/session/${id}/check`, { term: 1, phones: [customer, '+4917700000002'] });
    assert.deepEqual(body.results, [
      { phone: customer, on_whatsapp: true, address: `${customer.slice(1)}@s.whatsapp.net`, lid },
      { phone: '+4917700000002', on_whatsapp: false, address: null, lid: null },
    ]);
  });

  it('says why numbers could not be checked', async () => {
    await stage.network.fault({ account: number, on: 'query', match: { xmlns: 'usync' }, do: { action: 'iq_error', code: '429', text: 'rate-overlimit' } });
    const phone = await stage.phone();
    const { body } = await stage.bridge.call('POST', `/session/${id}/check`, { term: 1, phones: [phone] });
    assert.deepEqual(body, { results: [{ phone, on_whatsapp: null, address: null, lid: null }], reason: 'rate_limited' });
  });

  it('refuses a session that is not open, and one under another term', async () => {
    const other = await stage.db.makeSession();
    assert.equal((await stage.bridge.send(other, text('+4917700000003', 'x'))).body.error.code, 'not_found');
    assert.equal((await stage.bridge.send(id, text('+4917700000003', 'x', { term: 0 }))).body.error.code, 'stale_term');
    assert.equal((await stage.bridge.send(id, { ...text('+4917700000003', 'x'), id: messageId(), term: 2 })).body.error.code, 'not_found');
  });
});
