import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Stage, text } from './support/stage.js';

describe('ownership', () => {
  const stage = new Stage();

  it('is idempotent under one term, and takes over under a higher one', async () => {
    const { id } = await stage.linked();
    const again = await stage.bridge.open(id, { term: 1 });
    assert.deepEqual([again.status, again.body.state], [202, 'connected']);
    const higher = await stage.bridge.open(id, { term: 2 });
    assert.deepEqual([higher.status, higher.body.term, higher.body.state], [202, 2, 'connecting']);
    const { close } = await stage.bridge.status(id, (status) => status.state === 'closed' && status.term === 1);
    assert.equal(close.reason, 'stale_term');
    await stage.bridge.status(id, (status) => status.state === 'connected' && status.term === 2);
    for (const refused of [await stage.bridge.open(id, { term: 1 }), await stage.bridge.call('DELETE', `/session/${id}?term=1`)]) {
      assert.deepEqual([refused.status, refused.body.error.code], [409, 'stale_term']);
    }
  });

  it('closes nothing under a term that it is not open under', async () => {
    const { id } = await stage.linked();
    const { status, body } = await stage.bridge.call('DELETE', `/session/${id}?term=2`);
    assert.deepEqual([status, body.error.code], [404, 'not_found']);
    assert.equal((await stage.bridge.call('GET', `/session/${id}/status`)).body.state, 'connected');
  });

  it('a zombie bridge writes nothing and closes once a higher term has opened the session elsewhere', async () => {
    const { id } = await stage.linked();
    const customer = await stage.phone();
    const other = await stage.another();
    await other.open(id, { term: 2 });
    const { close } = await stage.bridge.status(id, (status) => status.state === 'closed');
    assert.ok(['replaced', 'stale_term'].includes(close.reason), close.reason);
    await other.status(id, (status) => status.state === 'connected');
    const refused = await stage.bridge.open(id, { term: 1 });
    assert.deepEqual([refused.status, refused.body.error.code], [409, 'stale_term']);
    assert.equal((await other.send(id, text(customer, 'from the new owner', { term: 2 }))).body.outcome, 'acked');
  });

  it('a write under a stale term ends the session with stale_term, and its message is not on the wire', async () => {
    const { id } = await stage.linked();
    const customer = await stage.phone();
    await stage.db.rows('UPDATE bridge_creds SET fence = 2 WHERE session_id = $1', [id]);
    const { body } = await stage.bridge.send(id, text(customer, 'too late'));
    assert.ok(body.outcome === 'not_sent' || body.error?.code === 'not_found', JSON.stringify(body)); // not found: something else was written first
    const { close } = await stage.bridge.status(id, (status) => status.state === 'closed');
    assert.equal(close.reason, 'stale_term');
    assert.deepEqual(await stage.network.shown(customer), []);
  });

  it('does not call connected what is just ending, and opens it anew', async () => {
    const { id, number } = await stage.linked();
    const customer = await stage.phone();
    const row = await stage.db.hold(id);
    const sending = stage.bridge.send(id, text(customer, 'held up'));
    await row.waited(); // a write is under way, and no session ends before its writes have
    await stage.network.call('POST', `/accounts/${encodeURIComponent(number)}/disconnect`, { code: '500' });
    assert.deepEqual((await sending).body, { outcome: 'not_sent', reason: 'not_connected' });
    const ending = (await stage.bridge.call('GET', `/session/${id}/status`)).body;
    assert.deepEqual([ending.state, ending.close.reason], ['closed', 'server_error']);
    stage.bridge.forget();
    const opening = stage.bridge.open(id, { term: 1 });
    await stage.bridge.call('GET', '/health'); // by now it has been asked
    await row.release();
    const { status, body } = await opening;
    assert.deepEqual([status, body.state], [202, 'connecting']);
    await stage.bridge.status(id, (one) => one.state === 'connected');
    assert.equal((await stage.bridge.send(id, text(customer, 'anew'))).body.outcome, 'acked');
    assert.deepEqual((await stage.network.shown(customer)).map((one) => one.text), ['anew']);
  });

  it('signals the whole state to a reader that comes again', async () => {
    const { id } = await stage.linked();
    const listed = (await stage.bridge.call('GET', '/sessions')).body.sessions;
    assert.ok(listed.some((/** @type {any} */ one) => one.id === id && one.state === 'connected'));
    const reader = await stage.bridge.reread();
    const statuses = await reader.next((/** @type {any} */ status) => status.id === id);
    assert.equal(statuses.state, 'connected');
    reader.leave();
    const health = (await stage.bridge.call('GET', '/health')).body;
    assert.equal(health.sessions, listed.length);
  });
});
