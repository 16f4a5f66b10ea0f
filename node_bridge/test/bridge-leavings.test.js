import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { Leavings } from '../src/leavings.js';

const QUIET_MS = 1_000;

/** @param {(leavings: Leavings, collected: () => number) => void} check */
function withClock(check) {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const collect = mock.fn();
    check(new Leavings({ collect, quietMs: QUIET_MS }), () => collect.mock.callCount());
  } finally {
    mock.timers.reset();
  }
}

/** @param {Leavings} leavings @param {number} count @param {number} left */
function close(leavings, count, left) {
  for (let at = count - 1; at >= 0; at -= 1) leavings.closed(left + at);
}

describe('what closed sessions leave', () => {
  it('is collected once, when no more of them go', () => {
    withClock((leavings, collected) => {
      close(leavings, 60, 20);
      mock.timers.tick(QUIET_MS - 1);
      close(leavings, 20, 0);
      mock.timers.tick(QUIET_MS - 1);
      assert.equal(collected(), 0);
      mock.timers.tick(1);
      assert.equal(collected(), 1);
      mock.timers.tick(10 * QUIET_MS);
      assert.equal(collected(), 1);
    });
  });

  it('waits while most of them are still there', () => {
    withClock((leavings, collected) => {
      close(leavings, 60, 500);
      mock.timers.tick(10 * QUIET_MS);
      assert.equal(collected(), 0);
      close(leavings, 300, 200);
      mock.timers.tick(QUIET_MS);
      assert.equal(collected(), 1);
    });
  });

  it('is not worth a collection when they were few', () => {
    withClock((leavings, collected) => {
      close(leavings, 10, 0);
      mock.timers.tick(10 * QUIET_MS);
      assert.equal(collected(), 0);
    });
  });

  it('is really gone then', { timeout: 10_000 }, async (test) => {
    const leavings = new Leavings({ quietMs: 0 });
    const awake = setInterval(() => {}, 1_000); // the leavings' own timer keeps no process
    test.after(() => clearInterval(awake));
    /** @type {() => void} */ let seen = () => {};
    const gone = new Promise((resolve) => (seen = () => resolve(undefined)));
    const registry = new FinalizationRegistry(() => seen());
    registry.register({ some: 'object' }, null);
    close(leavings, 50, 0);
    await gone;
    assert.ok(registry);
  });
});
