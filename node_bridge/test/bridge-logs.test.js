import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
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
      assert.ok(['debug', 'info', 'warn', 'error'].includes(line.level), line.level);
      assert.ok(Math.abs(Date.parse(line.time) - Date.now()) < 120_000, line.time);
    }
    const about = (/** @type {string} */ what) => lines.find((line) => line.msg === what);
    assert.equal(about('session opened').session, id);
    assert.equal(about('session closed').session, id);
    assert.deepEqual([about('a message was not sent').session, about('a message was not sent').message], [id, message.id]);
  });
});
