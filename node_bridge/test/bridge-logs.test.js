import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeLog } from '../src/log.js';
import { Stage, text } from './support/stage.js';

describe('the log', () => {
  const stage = new Stage();

  it('has one JSON line for each entry, with time and level, and the session and message it is about', async () => {
    const { id } = await stage.linked();
    const message = text('+4917700000001', 'to nobody');
    assert.equal((await stage.bridge.send(id, message)).body.outcome, 'not_sent');
    await stage.bridge.close(id);
    await stage.bridge.call('GET', '/health'); // its answer comes after the lines before it
    const lines = stage.bridge.process.log.map((line) => JSON.parse(line));
    for (const line of lines) {
      assert.ok(['debug', 'info', 'warning', 'error'].includes(line.level), line.level);
      assert.ok(Math.abs(Date.parse(line.timestamp) - Date.now()) < 120_000, line.timestamp);
    }
    const about = (/** @type {string} */ what) => lines.find((line) => line.event === what);
    assert.equal(about('session opened').session, id);
    assert.equal(about('session closed').session, id);
    assert.deepEqual([about('a message was not sent').session, about('a message was not sent').message], [id, message.id]);
  });

  it("has no customer's number, not even in the reason for which a session closed", async () => {
    const { id } = await stage.linked();
    const customer = await stage.phone();
    await stage.bridge.send(id, text(customer, 'hello'));
    await stage.bridge.close(id);
    const underAnotherKey = "UPDATE bridge_key SET data = set_byte(data, 2, 120) WHERE session_id = $1 AND kind = 'lid-mapping' AND name = $2";
    await stage.db.rows(underAnotherKey, [id, customer.slice(1)]);
    await stage.bridge.open(id, { term: 1 });
    await stage.bridge.status(id, (status) => status.state === 'connected');
    await stage.bridge.send(id, text(customer, 'again'));
    const { close } = await stage.bridge.status(id, (status) => status.state === 'closed');
    assert.equal(close.reason, 'store_unavailable');
    assert.match(close.detail.cause, /lid-mapping\/49151\*{5}\d\d needs the encryption key "x1"/);
    assert.deepEqual(stage.bridge.process.log.filter((line) => line.includes(customer.slice(1))), []);
  });

  it('tells of an error the first line, masked, and where it was thrown', () => {
    /** @type {string[]} */
    const lines = [];
    makeLog('info', { write: (line) => void lines.push(line) }).info({ err: new Error('of +4915112345678\nand of +4915187654321') }, 'it failed');
    const { err } = JSON.parse(lines[0] ?? '');
    assert.equal(err.message, 'of +49151*****78');
    assert.ok(err.stack.length > 0 && err.stack.every((/** @type {string} */ frame) => frame.startsWith('at ')));
    assert.ok(!lines[0]?.includes('87654321'));
  });
});
