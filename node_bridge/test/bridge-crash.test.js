import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { scratch } from './support/bridge.js';
import { databaseUrl } from './support/database.js';
import { Proxy } from './support/proxy.js';
import { Stage, text } from './support/stage.js';

describe('crashes', () => {
  const stage = new Stage({ SEND_ACK_TIMEOUT_S: '20' });

  it('kill -9 with a message on the wire: sent again by the next bridge, it is shown once, and so is what follows', async () => {
    const first = await stage.another();
    const { id, number } = await stage.linked({ bridge: first });
    const customer = await stage.phone({ settings: { delivery_receipts: false } });
    await first.send(id, text(customer, 'known already'));
    const message = text(customer, 'on the wire');
    await stage.network.fault({ account: number, on: 'ack', do: { action: 'drop' } });
    const lost = first.send(id, message).catch(() => 'no answer');
    await stage.network.until(async () => (await stage.network.shown(customer)).length === 2);
    await first.stop('SIGKILL');
    assert.equal(await lost, 'no answer');

    const next = await stage.another();
    await next.open(id, { term: 2 });
    await next.status(id, (status) => status.state === 'connected');
    assert.equal((await next.send(id, { ...message, term: 2, resend: true })).body.outcome, 'acked');
    assert.equal((await next.send(id, text(customer, 'after the crash', { term: 2 }))).body.outcome, 'acked');
    const shown = await stage.network.shown(customer);
    assert.deepEqual(shown.map((one) => one.text), ['known already', 'on the wire', 'after the crash']);
    assert.equal((await stage.network.call('GET', '/stats')).decrypt_failures, 0);
  });

  it('the database gone during a send: the session closes, keeps its link, and works again', { timeout: 60_000 }, async () => {
    const { proxy, url } = await Proxy.before(databaseUrl);
    const bridge = await stage.another({ BRIDGE_DATABASE_URL: url });
    const { id } = await stage.linked({ bridge });
    const customer = await stage.phone();
    await stage.settled(id, bridge);
    await bridge.send(id, text(customer, 'before'));
    const message = text(customer, 'during');
    proxy.cut();
    const { body } = await bridge.send(id, message);
    assert.equal(body.outcome, 'not_sent');
    const { close } = await bridge.status(id, (status) => status.state === 'closed');
    assert.equal(close.reason, 'store_unavailable');
    const refused = await bridge.open(id, { term: 1 });
    assert.deepEqual([refused.status, refused.body.error.code], [503, 'store_unavailable']);

    proxy.mend();
    bridge.forget();
    await bridge.open(id, { term: 1 });
    await bridge.status(id, (status) => status.state === 'connected');
    assert.equal((await bridge.send(id, { ...message, resend: true })).body.outcome, 'acked');
    assert.deepEqual((await stage.network.shown(customer)).map((one) => one.text), ['before', 'during']);
    proxy.close();
  });

  it('the database gone while the ack is awaited: not acked before the ratchet is on record', { timeout: 60_000 }, async () => {
    const { proxy, url } = await Proxy.before(databaseUrl);
    const bridge = await stage.another({ BRIDGE_DATABASE_URL: url });
    const { id } = await stage.linked({ bridge });
    const customer = await stage.phone();
    await stage.settled(id, bridge);
    await bridge.send(id, text(customer, 'before'));
    const issued = "SELECT 1 FROM bridge_key WHERE session_id = $1 AND kind = 'tctoken-issued'";
    await stage.db.until(async () => (await stage.db.rows(issued, [id])).length); // nothing else is written then
    const message = text(customer, 'during', { typing_ms: 400 });
    const sending = bridge.send(id, message);
    await stage.db.until(async () => (await stage.db.rows('SELECT 1 FROM bridge_sent WHERE session_id = $1', [id])).length === 2);
    proxy.cut();
    const { body } = await sending;
    assert.deepEqual(body, { outcome: 'unknown', reason: 'connection_lost' });
    await bridge.status(id, (status) => status.state === 'closed');
    proxy.mend();
    bridge.forget();
    await bridge.open(id, { term: 1 });
    await bridge.status(id, (status) => status.state === 'connected');
    assert.equal((await bridge.send(id, { ...message, resend: true })).body.outcome, 'acked');
    assert.equal((await bridge.send(id, text(customer, 'after'))).body.outcome, 'acked');
    assert.deepEqual((await stage.network.shown(customer)).map((one) => one.text), ['before', 'during', 'after']);
    proxy.close();
  });

  it('keys that were used without a record are not used again, even when nobody asks for a resend', { timeout: 60_000 }, async () => {
    const { proxy, url } = await Proxy.before(databaseUrl);
    const bridge = await stage.another({ BRIDGE_DATABASE_URL: url });
    const { id, number } = await stage.linked({ bridge });
    const [customer, other] = [await stage.phone(), await stage.phone()];
    await stage.settled(id, bridge);
    for (const to of [customer, other]) await bridge.send(id, text(to, 'before'));
    const issued = "SELECT 1 FROM bridge_key WHERE session_id = $1 AND kind = 'tctoken-issued'";
    await stage.db.until(async () => (await stage.db.rows(issued, [id])).length === 2); // nothing else is written then
    const sending = bridge.send(id, text(customer, 'its receipt comes, its keys are lost', { typing_ms: 400 }));
    await stage.db.until(async () => (await stage.db.rows('SELECT 1 FROM bridge_sent WHERE session_id = $1', [id])).length === 3);
    proxy.cut();
    assert.deepEqual((await sending).body, { outcome: 'unknown', reason: 'connection_lost' });
    await bridge.status(id, (status) => status.state === 'closed');
    proxy.mend();
    bridge.forget();
    await bridge.open(id, { term: 1 });
    await bridge.status(id, (status) => status.state === 'connected');
    for (const to of [other, customer]) assert.equal((await bridge.send(id, text(to, 'after'))).body.outcome, 'acked');
    const texts = async (/** @type {string} */ phone) => (await stage.network.shown(phone)).map((one) => one.text);
    assert.deepEqual(await texts(customer), ['before', 'its receipt comes, its keys are lost', 'after']);
    assert.deepEqual(await texts(other), ['before', 'after']);
    assert.deepEqual((await texts(number)).slice(-2), ['after', 'after'], "the restaurant's own phone has them, too");
    proxy.close();
  });

  it('events survive kill -9 while the web side is away', async () => {
    const BRIDGE_SPOOL_DIR = scratch();
    const first = await stage.another({ WEB_URL: 'http://127.0.0.1:9', BRIDGE_SPOOL_DIR });
    const { id } = await stage.linked({ bridge: first });
    const customer = await stage.phone();
    const message = text(customer, 'was it delivered?');
    await first.send(id, message);
    await stage.network.until(async () => (await first.call('GET', '/health')).body.spooled >= 3); // two restrictions, one receipt
    await first.stop('SIGKILL');
    const next = await stage.another({ BRIDGE_SPOOL_DIR });
    const event = await stage.web.event((one) => one.type === 'message.receipt' && one.data.id === message.id);
    assert.deepEqual([event.data.status, event.session], ['delivered', id]);
    await stage.network.until(async () => (await next.call('GET', '/health')).body.spooled === 0);
  });

  it('what is damaged of one customer costs neither the session nor their next message', async () => {
    const { id } = await stage.linked();
    const [customer, other] = [await stage.phone(), await stage.phone()];
    for (const to of [customer, other]) await stage.bridge.send(id, text(to, 'before'));
    const { lid } = await stage.network.call('GET', `/phones/${encodeURIComponent(customer)}`);
    await stage.bridge.close(id);
    const damage = `UPDATE bridge_key SET data = set_byte(data, length(data) - 1, get_byte(data, length(data) - 1) # 1)
      WHERE session_id = $1 AND (name LIKE $2 || '%' OR name = $3) RETURNING kind`;
    const damaged = await stage.db.rows(damage, [id, lid.split('@')[0], customer.slice(1)]);
    for (const kind of ['session', 'lid-mapping', 'devices']) assert.ok(damaged.some((one) => one.kind === kind), kind);
    await stage.bridge.open(id, { term: 1 });
    await stage.bridge.status(id, (status) => status.state === 'connected');
    for (const to of [customer, other]) assert.equal((await stage.bridge.send(id, text(to, 'after'))).body.outcome, 'acked');
    for (const to of [customer, other]) assert.deepEqual((await stage.network.shown(to)).map((one) => one.text), ['before', 'after']);
    assert.ok(stage.bridge.process.log.some((/** @type {string} */ line) => line.includes(id) && line.includes('a stored value is damaged')));
  });

  it('one session that crashes takes no other down', async () => {
    const { id: healthy } = await stage.linked();
    const { id: sick } = await stage.linked();
    await stage.bridge.close(sick);
    await stage.db.rows("UPDATE bridge_creds SET data = '\\x0102' WHERE session_id = $1", [sick]);
    const refused = await stage.bridge.open(sick, { term: 1 });
    assert.equal(refused.status, 503);
    assert.equal((await stage.bridge.send(healthy, text(await stage.phone(), 'still well'))).body.outcome, 'acked');
    assert.equal((await stage.db.rows('SELECT data FROM bridge_creds WHERE session_id = $1', [sick]))[0].data.length, 2, 'what cannot be read is not wiped');
    assert.deepEqual((await stage.bridge.call('DELETE', `/session/${sick}?term=1&logout=true`)).body, { closed: true, logged_out: false });
    assert.equal((await stage.bridge.open(sick, { term: 1 })).body.error.code, 'not_linked', 'a logout that was asked for does');
  });
});
