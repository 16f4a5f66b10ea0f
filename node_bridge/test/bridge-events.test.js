import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Outbox } from '../src/events/outbox.js';
import { Spool } from '../src/events/spool.js';
import { makeLog } from '../src/log.js';
import { scratch, SECRET } from './support/bridge.js';
import { Web } from './support/web.js';

const log = makeLog('silent');
const SESSION = '11111111-1111-4111-8111-111111111111';
const LONG_AGO = '000000000000001-000000-00000000.ndjson';
const LATER = '009999999999999-000000-00000000.ndjson';

/** @param {import('node:test').TestContext} t @param {string} webUrl @param {string} [dir] */
function outboxTo(t, webUrl, dir = scratch()) {
  const outbox = new Outbox({ dir, maxBytes: 1_000_000, webUrl, secret: SECRET, log });
  t.after(() => outbox.close());
  return outbox;
}

/** @param {import('node:test').TestContext} t @param {number} [port] */
async function startWeb(t, port) {
  const web = await Web.start(port);
  t.after(() => web.stop());
  return web;
}

/** @param {Outbox} outbox @param {number} count */
function tell(outbox, count, from = 0) {
  for (let at = from; at < from + count; at += 1) outbox.tell(SESSION, 1, 'message.receipt', { id: `M${at}`, address: 'a', status: 'read' });
}

/** @param {Web} web */
const ids = (web) => web.events.map((event) => event.data.id);

describe('the outbox', () => {
  it('delivers in order, with ids, sequence numbers and the secret, at most 200 at once', async (t) => {
    const web = await startWeb(t);
    const outbox = outboxTo(t, web.url);
    tell(outbox, 450);
    await web.until(() => web.events.length === 450);
    assert.deepEqual(ids(web), Array.from({ length: 450 }, (_, at) => `M${at}`));
    assert.deepEqual(web.events.map((event) => event.seq), Array.from({ length: 450 }, (_, at) => at + 1));
    assert.equal(new Set(web.events.map((event) => event.id)).size, 450);
    assert.ok(web.requests.every(({ authorization, batch }) =>
      authorization === `Bearer ${SECRET}` && batch.events.length <= 200 && batch.bridge === outbox.bridge));
  });

  it('gathers for a moment before it asks', async (t) => {
    const web = await startWeb(t);
    const outbox = outboxTo(t, web.url);
    for (let at = 0; at < 10; at += 1) {
      tell(outbox, 1, at);
      await nextTurn();
    }
    await web.until(() => web.events.length === 10);
    assert.ok(web.requests.length < 10 && web.requests[0]?.batch.events.length > 1, `${web.requests.length} requests`);
  });

  it('tries three times quickly and then goes on until taken, in order', { timeout: 30_000 }, async (t) => {
    const web = await startWeb(t);
    web.answers = [500, 400, 404, 401]; // the web side has read none of these: 400 is what it answers to a host name that it does not know
    const outbox = outboxTo(t, web.url);
    tell(outbox, 3);
    await web.until(() => web.requests.length === 3);
    tell(outbox, 2, 3);
    await web.until(() => web.events.length === 5);
    assert.deepEqual(ids(web), ['M0', 'M1', 'M2', 'M3', 'M4']);
  });

  it('puts a refused batch aside and goes on', async (t) => {
    const web = await startWeb(t);
    web.answers = [422];
    const dir = scratch();
    const outbox = outboxTo(t, web.url, dir);
    tell(outbox, 1);
    await web.until(() => web.requests.length === 1);
    tell(outbox, 1, 1);
    await web.until(() => web.events.length === 1);
    assert.deepEqual(ids(web), ['M1']);
    assert.equal(JSON.parse(readFileSync(join(dir, 'rejected.ndjson'), 'utf8')).data.id, 'M0');
  });

  it('loses none of a batch for those in it that cannot be read', async (t) => {
    const web = await startWeb(t);
    const dir = scratch();
    const spool = new Spool({ dir, maxBytes: 1_000_000, log });
    const torn = [70, 71, 199];
    for (let at = 0; at < 250; at += 1) spool.append(torn.includes(at) ? `{"torn": ${at}` : JSON.stringify({ data: { id: `M${at}` } }));
    spool.close();
    const outbox = outboxTo(t, web.url, dir);
    await web.until(() => web.events.length === 247);
    assert.deepEqual(ids(web), Array.from({ length: 250 }, (_, at) => at).filter((at) => !torn.includes(at)).map((at) => `M${at}`));
    assert.equal(readFileSync(join(dir, 'rejected.ndjson'), 'utf8'), '{"torn": 70\n{"torn": 71\n{"torn": 199\n');
    assert.ok(web.requests.length < 50, `${web.requests.length} requests`);
    await outbox.close();
    assert.equal(outbox.waiting, 0);
  });

  it('delivers what is moved to it while nothing else happens', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const web = await startWeb(t);
    const dir = scratch();
    outboxTo(t, web.url, dir);
    writeFileSync(join(dir, LONG_AGO), '{"data":{"id":"left"}}\n');
    t.mock.timers.tick(10_000);
    await web.until(() => web.events.length === 1);
    assert.deepEqual(ids(web), ['left']);
  });

  it('keeps what was not taken for the next process, and tells it before anything new', async (t) => {
    const gone = await Web.start();
    const { port } = gone;
    await gone.stop();
    const dir = scratch();
    const first = outboxTo(t, `http://127.0.0.1:${port}`, dir);
    tell(first, 250);
    assert.equal(first.waiting, 250);
    await first.close();
    const web = await startWeb(t, port);
    const second = outboxTo(t, web.url, dir);
    assert.equal(second.waiting, 250);
    tell(second, 1, 250);
    await web.until(() => web.events.length === 251);
    assert.deepEqual(ids(web), Array.from({ length: 251 }, (_, at) => `M${at}`));
    await second.close();
    assert.equal(second.waiting, 0);
  });
});

describe('the spool', () => {
  const lines = (/** @type {Spool} */ spool) => spool.peek(1_000)?.lines ?? [];
  const segments = (/** @type {string} */ dir) => readdirSync(dir).filter((file) => /^\d.*\.ndjson$/.test(file)).sort().map((file) => join(dir, file));
  /** @param {Spool} spool */
  const drained = (spool) => {
    const all = [];
    for (let batch = spool.peek(4); batch; batch = spool.peek(4)) {
      all.push(...batch.lines);
      spool.advance(batch);
    }
    return all;
  };
  /** A spool of three segments with 10, 10 and 5 lines, and those lines. @param {string} dir */
  const inThree = (dir) => {
    const spool = new Spool({ dir, maxBytes: 400_000, log });
    const all = Array.from({ length: 25 }, (_, at) => `${at}`.padEnd(9_999, ' '));
    for (const line of all) spool.append(line);
    return { spool, all, files: segments(dir) };
  };

  it('goes on where the last process stopped', () => {
    const dir = scratch();
    const first = new Spool({ dir, maxBytes: 10_000, log });
    for (const line of ['a', 'b', 'c']) first.append(line);
    first.advance(/** @type {any} */ (first.peek(2)));
    first.close();
    const second = new Spool({ dir, maxBytes: 10_000, log });
    second.append('d');
    assert.equal(second.count, 2);
    assert.deepEqual(lines(second), ['c']);
    second.advance(/** @type {any} */ (second.peek(10)));
    assert.deepEqual(lines(second), ['d']);
    second.close();
  });

  it('ignores a last line that was torn by a crash', () => {
    const dir = scratch();
    const first = new Spool({ dir, maxBytes: 10_000, log });
    first.append('whole');
    const [name] = readdirSync(dir).filter((file) => /^\d/.test(file));
    appendFileSync(join(dir, name ?? ''), 'torn');
    const second = new Spool({ dir, maxBytes: 10_000, log });
    second.append('next');
    assert.deepEqual(lines(second), ['whole']);
    second.advance(/** @type {any} */ (second.peek(10)));
    assert.deepEqual(lines(second), ['next']);
  });

  it('takes over what is moved to it, behind what it has begun and before what is still to come', () => {
    const dir = scratch();
    const spool = new Spool({ dir, maxBytes: 10_000, log });
    for (const line of ['a', 'b']) spool.append(line);
    spool.advance(/** @type {any} */ (spool.peek(1)));
    for (const name of [LATER, LONG_AGO]) writeFileSync(join(dir, name), `${name}\n`);
    assert.deepEqual([spool.adopt(), spool.adopt(), spool.count], [true, false, 3]);
    spool.append('c');
    assert.deepEqual(drained(spool), ['b', LONG_AGO, LATER, 'c']);
    writeFileSync(join(dir, LATER), 'it could not be removed\n');
    assert.deepEqual([spool.adopt(), spool.count], [false, 0]);
    spool.close();
  });

  it('is bounded: keeps the oldest, drops what comes, and takes again once there is room', () => {
    const spool = new Spool({ dir: scratch(), maxBytes: 100, log });
    const kept = Array.from({ length: 50 }, (_, at) => `line ${at}`).filter((line) => spool.append(line));
    assert.deepEqual(lines(spool), kept);
    assert.ok(kept.length > 10 && kept.length < 20 && kept[0] === 'line 0');
    spool.advance(/** @type {any} */ (spool.peek(1_000)));
    assert.equal(spool.append('room again'), true);
  });

  it('does not take what it could not read back, and goes on', () => {
    const spool = new Spool({ dir: scratch(), maxBytes: 10_000_000, log });
    assert.deepEqual(['a', 'x'.repeat(1_100_000), 'b'].map((line) => spool.append(line)), [true, false, true]);
    assert.deepEqual(lines(spool), ['a', 'b']);
  });

  for (const [which, ...kept] of /** @type {[number, ...[number, number][]][]} */ ([[0, [10, 25]], [1, [0, 10], [20, 25]], [2, [0, 20]]])) {
    it(`goes on without the file that somebody removed, number ${which} of three`, () => {
      const { spool, all, files } = inThree(scratch());
      assert.equal(files.length, 3);
      rmSync(files[which] ?? '');
      assert.deepEqual(drained(spool), kept.flatMap((part) => all.slice(...part)));
      assert.deepEqual([spool.count, spool.append('next'), spool.count, drained(spool)], [0, true, 1, ['next']]);
      spool.close();
    });
  }

  it('writes nothing more into a file that somebody removed, and forgets what was under way of it', () => {
    const dir = scratch();
    const spool = new Spool({ dir, maxBytes: 10_000, log });
    for (const line of ['a', 'b', 'c']) spool.append(line);
    const batch = spool.peek(2);
    segments(dir).forEach((file) => rmSync(file));
    spool.append('d');
    assert.deepEqual([spool.count, segments(dir).length], [1, 1]);
    spool.advance(/** @type {any} */ (batch));
    assert.deepEqual([spool.count, lines(spool)], [1, ['d']]);
    spool.close();
    assert.deepEqual(lines(new Spool({ dir, maxBytes: 10_000, log })), ['d']);
  });

  for (const when of ['at its start', 'later']) {
    it(`puts a file aside that cannot be read ${when}`, () => {
      const dir = scratch();
      const { spool: first, all, files } = inThree(dir);
      const broken = files[1] ?? '';
      rmSync(broken);
      mkdirSync(broken); // it opens, and cannot be read
      if (when === 'at its start') first.close();
      const spool = when === 'at its start' ? new Spool({ dir, maxBytes: 400_000, log }) : first;
      assert.deepEqual(drained(spool), [...all.slice(0, 10), ...all.slice(20)]);
      assert.deepEqual([spool.count, existsSync(broken), existsSync(`${broken}.unreadable`)], [0, false, true]);
      spool.close();
    });
  }

  it('goes on after somebody has cut its file', () => {
    const dir = scratch();
    const spool = new Spool({ dir, maxBytes: 10_000, log });
    spool.append('a');
    truncateSync(segments(dir)[0] ?? '');
    assert.deepEqual([spool.peek(10), spool.count], [null, 0]);
    assert.deepEqual([spool.append('b'), lines(spool)], [true, ['b']]);
    spool.close();
  });

  it('keeps the first that were refused, and counts aloud what has no room', () => {
    const dir = scratch();
    /** @type {any[]} */
    const errors = [];
    const loud = Object.assign(Object.create(log), { error: (/** @type {any} */ fields) => errors.push(fields) });
    const spool = new Spool({ dir, maxBytes: 100, log: loud });
    for (let at = 0; at < 20; at += 1) spool.reject([`refused ${at}`]);
    assert.equal(readFileSync(join(dir, 'rejected.ndjson'), 'utf8'), Array.from({ length: 10 }, (_, at) => `refused ${at}\n`).join(''));
    assert.deepEqual([errors.length, errors.at(-1).dropped], [10, 10]);
    renameSync(join(dir, 'rejected.ndjson'), join(dir, 'looked-at'));
    spool.reject(['room again']);
    assert.equal(readFileSync(join(dir, 'rejected.ndjson'), 'utf8'), 'room again\n');
    spool.close();
  });

  it('takes no room once everything was taken', () => {
    const dir = scratch();
    const spool = new Spool({ dir, maxBytes: 100_000_000, log });
    const line = 'x'.repeat(1_000);
    for (let at = 0; at < 20_000; at += 1) spool.append(line);
    assert.equal(readdirSync(dir).filter((file) => /^\d/.test(file)).length, 3);
    let taken = 0;
    for (let batch = spool.peek(200); batch; batch = spool.peek(200)) {
      taken += batch.lines.length;
      spool.advance(batch);
    }
    assert.equal(taken, 20_000);
    assert.equal(readdirSync(dir).reduce((sum, file) => sum + statSync(join(dir, file)).size, 0) < 200, true);
  });
});
