import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Outbox } from '../src/events/outbox.js';
import { Spool } from '../src/events/spool.js';
import { makeLog } from '../src/log.js';
import { NO_SMALL_DISK, SmallDisk } from './support/small-disk.js';
import { Stage, text } from './support/stage.js';
import { Web } from './support/web.js';

const log = makeLog('silent');
const path = (/** @type {string} */ number) => `/phones/${encodeURIComponent(number)}`;

describe('the spool on a disk that is full', { skip: NO_SMALL_DISK }, () => {
  const open = (/** @type {SmallDisk} */ { dir }) => new Spool({ dir, maxBytes: 100_000_000, log });
  /** @param {Spool} spool */
  const drained = (spool) => {
    const lines = [];
    for (let batch = spool.peek(50); batch; batch = spool.peek(50)) {
      lines.push(...batch.lines);
      spool.advance(batch);
    }
    return lines;
  };

  it('keeps what was there, whole and in order, and takes again once there is room', (t) => {
    const disk = new SmallDisk(t);
    const spool = open(disk);
    const line = (/** @type {number} */ at) => `${at} ${'x'.repeat(1_000)}`;
    assert.ok(spool.append(line(0)));
    disk.fill();
    const kept = [0, ...Array.from({ length: 20 }, (_, at) => at + 1).filter((at) => spool.append(line(at)))];
    assert.ok(kept.length < 10, 'what fits into the block that was begun');
    assert.equal(spool.fits(1_000), false);
    assert.deepEqual([spool.append('short'), spool.count], [true, kept.length + 1], 'there may be room for less');
    disk.free();
    assert.ok(spool.fits(1_000) && spool.append(line(99)));
    assert.deepEqual(drained(spool), [...kept.map(line), 'short', line(99)]);
    assert.deepEqual([spool.count, spool.append('next'), drained(spool)], [0, true, ['next']]);
    spool.close();
  });

  it('starts without any room, with what it finds and without', (t) => {
    const disk = new SmallDisk(t);
    const first = open(disk);
    first.append('from before');
    first.close();
    disk.fill();
    const second = open(disk);
    assert.deepEqual([second.count, second.append('x'.repeat(5_000)), second.count], [1, false, 1]);
    assert.deepEqual([drained(second), second.count], [['from before'], 0], 'its place cannot be written down, which costs nothing');
    second.close();
    const third = open(disk);
    assert.deepEqual([third.peek(10), third.append('x'.repeat(5_000))], [null, false]);
    disk.free();
    assert.deepEqual([third.append('room'), drained(third)], [true, ['room']]);
    third.close();
  });

  it('lets go of refused events that cannot be put aside', (t) => {
    const disk = new SmallDisk(t);
    const spool = open(disk);
    disk.fill();
    spool.reject(['x'.repeat(10_000)]);
    disk.free();
    spool.reject(['refused']);
    assert.match(readFileSync(join(disk.dir, 'rejected.ndjson'), 'utf8'), /refused\n$/);
    spool.close();
  });
});

describe('the outbox on a disk that is full', { skip: NO_SMALL_DISK }, () => {
  it('keeps in memory what cannot be had again, a bounded number, and refuses receipts', async (t) => {
    const disk = new SmallDisk(t);
    disk.fill();
    const web = await Web.start();
    const outbox = new Outbox({ dir: disk.dir, maxBytes: 1_000_000, webUrl: web.url, secret: 'x', log });
    const tell = (/** @type {any} */ type, /** @type {number} */ at) => outbox.tell('11111111-1111-4111-8111-111111111111', 1, type, { id: `M${at}` });
    assert.deepEqual([outbox.hasRoom, tell('message.receipt', 0), tell('message.received', 1), tell('message.ack', 2)], [false, false, true, true]);
    assert.equal(outbox.waiting, 2);
    assert.equal(Array.from({ length: 300 }, (_, at) => tell('message.received', at + 3)).filter(Boolean).length, 198);
    disk.free();
    await web.until(() => web.events.length === 200);
    await outbox.close();
    assert.deepEqual([outbox.waiting, web.events[0].data.id, web.events[199].data.id], [0, 'M1', 'M200']);
    await web.stop();
  });
});

describe('a bridge whose disk is full', { skip: NO_SMALL_DISK }, () => {
  const stage = new Stage();

  it('starts and sends; what it cannot tell stays with WhatsApp, and is told once there is room', { timeout: 60_000 }, async (t) => {
    const disk = new SmallDisk(t);
    disk.fill();
    const bridge = await stage.another({ BRIDGE_SPOOL_DIR: disk.dir });
    const { id, number } = await stage.linked({ bridge });
    const customer = await stage.phone();
    const message = text(customer, 'sent from a full disk');
    assert.equal((await bridge.send(id, message)).body.outcome, 'acked');
    const { id: reply } = await stage.network.call('POST', `${path(customer)}/messages`, { to: number, text: 'and answered' });
    await stage.network.until(async () => bridge.process.log.some((/** @type {string} */ line) => line.includes('events are being refused')));
    assert.equal(stage.web.events.filter(({ session, type }) => session === id && type.startsWith('message.')).length, 0);
    disk.free();
    const { close } = await bridge.status(id, (status) => status.state === 'closed');
    assert.equal(close.reason, 'held_back');
    await bridge.open(id, { term: 1 });
    const receipt = await stage.web.event((event) => event.type === 'message.receipt' && event.data.id === message.id);
    const received = await stage.web.event((event) => event.type === 'message.received' && event.data.id === reply);
    assert.deepEqual([receipt.data.status, received.data.text], ['delivered', 'and answered']);
  });

  it('tells both of two messages that came in one moment and found room for one', { timeout: 60_000 }, async (t) => {
    const disk = new SmallDisk(t);
    const bridge = await stage.another({ BRIDGE_SPOOL_DIR: disk.dir, WEB_URL: 'http://127.0.0.1:9' });
    const sessions = [await stage.linked({ bridge }), await stage.linked({ bridge })];
    disk.fill(100_000);
    const keys = await stage.db.pool.connect();
    await keys.query('BEGIN');
    await keys.query('SELECT 1 FROM bridge_creds WHERE session_id = ANY($1) FOR UPDATE', [sessions.map(({ id }) => id)]);
    const ids = await Promise.all(sessions.map(async ({ number }) => {
      const customer = await stage.phone();
      return (await stage.network.call('POST', `${path(customer)}/messages`, { to: number, text: 'x'.repeat(60_000) })).id;
    }));
    await bridge.call('GET', '/health'); // whatever had come by then has been looked at, and waits for the commit of its key
    await keys.query('ROLLBACK');
    keys.release();
    await stage.network.until(async () => bridge.process.log.some((/** @type {string} */ line) => line.includes('events are being refused')));
    disk.free();
    await bridge.stop();
    await stage.another({ BRIDGE_SPOOL_DIR: disk.dir });
    for (const id of ids) await stage.web.event((event) => event.type === 'message.received' && event.data.id === id);
  });
});
