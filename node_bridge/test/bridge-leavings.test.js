import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { describe, it, mock } from 'node:test';
import { trimmer } from '../src/heap.js';
import { Leavings } from '../src/leavings.js';

const QUIET_MS = 1_000;

/** @param {(leavings: Leavings, collected: () => number, trimmed: () => number) => void} check */
function withClock(check) {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const [collect, trim] = [mock.fn(), mock.fn()];
    check(new Leavings({ collect, trim, quietMs: QUIET_MS }), () => collect.mock.callCount(), () => trim.mock.callCount());
  } finally {
    mock.timers.reset();
  }
}

/** @param {Leavings} leavings @param {number} count @param {number} left */
function close(leavings, count, left) {
  for (let at = count - 1; at >= 0; at -= 1) leavings.closed(left + at);
}

/** @param {Leavings} leavings @param {number} count */
function open(leavings, count) {
  for (let at = 1; at <= count; at += 1) leavings.opened(at);
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

  it('is worth a collection when they went one by one', () => {
    withClock((leavings, collected) => {
      close(leavings, 60, 60);
      mock.timers.tick(QUIET_MS);
      assert.equal(collected(), 0);
      leavings.closed(59);
      mock.timers.tick(QUIET_MS);
      assert.equal(collected(), 1);
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

describe('what sessions leave in the heap of C', () => {
  it('is given back when many have come or gone, once no more of them move', () => {
    withClock((leavings, collected, trimmed) => {
      open(leavings, 60);
      mock.timers.tick(QUIET_MS - 1);
      open(leavings, 10);
      mock.timers.tick(QUIET_MS - 1);
      mock.timers.tick(1);
      assert.equal(trimmed(), 0);
      mock.timers.tick(QUIET_MS);
      assert.deepEqual([trimmed(), collected()], [1, 0]);
      close(leavings, 60, 0);
      mock.timers.tick(QUIET_MS);
      assert.deepEqual([trimmed(), collected()], [1, 1]);
      mock.timers.tick(QUIET_MS);
      assert.deepEqual([trimmed(), collected()], [2, 1]);
    });
  });

  it('is not worth it when a few move', () => {
    withClock((leavings, collected, trimmed) => {
      open(leavings, 20);
      close(leavings, 20, 0);
      mock.timers.tick(10 * QUIET_MS);
      assert.equal(trimmed(), 0);
    });
  });

  const glibc = process.platform === 'linux' && 'glibcVersionRuntime' in /** @type {any} */ (process.report.getReport()).header;
  it('is really given back, between pieces that are in use', { skip: !glibc, timeout: 30_000 }, () => {
    const libc = createRequire(import.meta.url)('koffi').load('libc.so.6');
    const [malloc, free] = [libc.func('void *malloc(size_t size)'), libc.func('void free(void *piece)')];
    const pieces = Array.from({ length: 20_000 }, () => malloc(2_000));
    for (const [at, piece] of pieces.entries()) if (at % 100) free(piece);
    const before = process.memoryUsage.rss();
    trimmer()();
    const given = (before - process.memoryUsage.rss()) / 1_048_576;
    assert.ok(given > 20, `${given.toFixed(1)} MB of 40 came back`);
  });
});
