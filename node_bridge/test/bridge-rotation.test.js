import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { makeLog } from '../src/log.js';
import { KeyRing } from '../src/store/keyring.js';
import { Store } from '../src/store/store.js';
import { KEYS } from './support/bridge.js';
import { databaseUrl, TestDatabase } from './support/database.js';
import { Stage, text } from './support/stage.js';

const log = makeLog('silent');
const K2 = `k2:${randomBytes(32).toString('base64')}`;
const NAMES = Array.from({ length: 250 }, (_, at) => `${at}.0`);

/**
 * Under which keys a session's values lie, and how many under each.
 * @param {TestDatabase} db
 * @param {string} session
 * @returns {Promise<Record<string, number>>}
 */
async function keysOf(db, session) {
  const all = `SELECT encode(substr(data, 3, 2), 'escape') AS key FROM (
    SELECT data FROM bridge_creds WHERE session_id = $1 UNION ALL SELECT data FROM bridge_key WHERE session_id = $1
    UNION ALL SELECT data FROM bridge_sent WHERE session_id = $1) AS a WHERE data IS NOT NULL`;
  const rows = await db.rows(`SELECT key, count(*)::int AS count FROM (${all}) AS b GROUP BY key`, [session]);
  return Object.fromEntries(rows.map(({ key, count }) => [key, count]));
}

describe('a new encryption key', () => {
  const db = new TestDatabase();
  /** @param {string} keys */
  const storeWith = (keys) => new Store({ url: databaseUrl, connections: 2, ring: KeyRing.parse(keys), log });
  const [old, both, only] = [storeWith(KEYS), storeWith(`${K2},${KEYS}`), storeWith(K2)];
  const never = new AbortController().signal;
  after(async () => {
    await Promise.all([old, both, only].map((store) => store.close()));
    await db.close();
  });

  /** A session that has stored one value of each kind, and many, under the old key. */
  const stored = async () => {
    const id = await db.makeSession();
    const { vault } = await old.open(id, 1);
    await vault.set({ session: Object.fromEntries(NAMES.map((name) => [name, { name }])), 'pre-key': { 1: { private: Buffer.from('private') } } });
    await vault.saveCreds({ account: {} });
    await vault.saveSent('SENT', { address: 'a', message: Buffer.from('sent') });
    return id;
  };

  /** What is done to the database by a store. @param {Store} store @param {(sql: string, rows: any[]) => unknown} heard - before whoever asked hears of it */
  const overhear = (store, heard) => {
    const { query } = store.db;
    store.db.query = async (sql, values, options) => {
      const rows = await query.call(store.db, sql, values, options);
      await heard(sql, rows);
      return rows;
    };
    return () => void (store.db.query = query);
  };

  it('takes over all that a session has stored, and then the old one is not needed', async () => {
    const id = await stored();
    assert.deepEqual(await keysOf(db, id), { k1: 253 });
    const { vault } = await both.open(id, 2);
    await vault.renewSent('SENT');
    assert.deepEqual(await keysOf(db, id), { k1: 252, k2: 1 });
    await vault.reseal(never);
    assert.deepEqual(await keysOf(db, id), { k2: 253 });
    const later = await only.open(id, 3);
    assert.deepEqual(later.creds, { account: {} });
    assert.deepEqual(await later.vault.get('session', NAMES), Object.fromEntries(NAMES.map((name) => [name, { name }])));
    assert.deepEqual((await later.vault.get('pre-key', ['1']))['1'].private, Buffer.from('private'));
    assert.deepEqual(await later.vault.readSent('SENT'), { address: 'a', message: Buffer.from('sent') });
  });

  it('is never a reason to bring an older value back', async () => {
    const id = await stored();
    const { vault } = await both.open(id, 2);
    const stop = overhear(both, async (_, rows) => {
      if (!rows.some(({ kind, data }) => kind === 'session' && data)) return; // else: they were read, and are about to be replaced
      stop();
      await vault.set({ session: { '0.0': { newer: true }, '1.0': null } });
      await vault.saveCreds({ account: { newer: true } });
    });
    await vault.reseal(never);
    const { vault: later, creds } = await only.open(id, 3);
    assert.deepEqual(creds, { account: { newer: true } });
    assert.deepEqual(await later.get('session', ['0.0', '1.0', '2.0']), { '0.0': { newer: true }, '2.0': { name: '2.0' } });
  });

  it('is left for later when the session ends, and to its next owner under a higher term', async () => {
    const id = await stored();
    const { vault } = await both.open(id, 2);
    const ended = new AbortController();
    const stop = overhear(both, (sql) => sql.includes('UPDATE bridge_key') && ended.abort());
    await vault.reseal(ended.signal);
    stop();
    const { k1 = 0, k2 = 0 } = await keysOf(db, id);
    assert.ok(k1 > 0 && k2 > 0 && k1 + k2 === 253, `${k1} and ${k2}`);
    await both.open(id, 3);
    await vault.reseal(never);
    assert.deepEqual(await keysOf(db, id), { k1, k2 });
  });

  it('costs one question when nothing is old, and none while it is the only one', async () => {
    const id = await stored();
    /** @type {string[]} */
    const asked = [];
    for (const store of [old, both]) {
      const { vault } = await store.open(id, 2);
      if (store === both) await vault.reseal(never);
      const stop = overhear(store, (sql) => void asked.push(sql));
      await vault.reseal(never);
      stop();
      assert.equal(asked.length, store === both ? 1 : 0);
    }
  });

  it('leaves what cannot be opened as it is', async () => {
    const id = await stored();
    await db.rows("UPDATE bridge_key SET data = set_byte(data, 20, get_byte(data, 20) # 1) WHERE session_id = $1 AND name = '7.0'", [id]);
    const before = await db.rows("SELECT data FROM bridge_key WHERE session_id = $1 AND name = '7.0'", [id]);
    await (await both.open(id, 2)).vault.reseal(never);
    assert.deepEqual(await keysOf(db, id), { k1: 1, k2: 252 });
    assert.deepEqual(await db.rows("SELECT data FROM bridge_key WHERE session_id = $1 AND name = '7.0'", [id]), before);
  });
});

describe('a bridge with a new encryption key', () => {
  const stage = new Stage();

  it('takes a number over while it is connected, and the next one needs the new key alone', { timeout: 60_000 }, async () => {
    const { id } = await stage.linked();
    const customer = await stage.phone();
    await stage.bridge.send(id, text(customer, 'under the old key'));
    await stage.bridge.close(id);
    const between = await stage.another({ WA_ENCRYPTION_KEYS: `${K2},${KEYS}` });
    await between.open(id, { term: 2 });
    await between.status(id, (status) => status.state === 'connected');
    assert.equal((await between.send(id, text(customer, 'meanwhile', { term: 2 }))).body.outcome, 'acked');
    await stage.db.until(async () => !('k1' in (await keysOf(stage.db, id))));
    await stage.network.until(async () =>
      between.process.log.some((/** @type {string} */ line) => line.includes('sealed anew under the first encryption key')));
    await between.stop();
    const next = await stage.another({ WA_ENCRYPTION_KEYS: K2 });
    await next.open(id, { term: 3 });
    await next.status(id, (status) => status.state === 'connected');
    assert.equal((await next.send(id, text(customer, 'under the new key', { term: 3 }))).body.outcome, 'acked');
    assert.deepEqual((await stage.network.shown(customer)).map((one) => one.text), ['under the old key', 'meanwhile', 'under the new key']);
  });
});
