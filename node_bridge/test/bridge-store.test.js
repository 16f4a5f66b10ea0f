import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { makeLog } from '../src/log.js';
import { KeyRing } from '../src/store/keyring.js';
import { Store } from '../src/store/store.js';
import { databaseUrl, TestDatabase } from './support/database.js';
import { Proxy } from './support/proxy.js';

const ring = KeyRing.parse(`k:${randomBytes(32).toString('base64')}`);
const log = makeLog('silent');

describe('the store', () => {
  const db = new TestDatabase();
  const store = new Store({ url: databaseUrl, connections: 4, ring, log });
  /** @type {string} */ let id;
  before(async () => (id = await db.makeSession()));
  after(async () => {
    await store.close();
    await db.close();
  });

  it('gives back what was written, bytes included, to a later opener', async () => {
    const { vault, creds } = await store.open(id, 1);
    assert.equal(creds, null);
    const keyPair = { public: new Uint8Array([1, 2, 3]), private: Buffer.from('private') };
    await vault.set({ 'pre-key': { 1: keyPair }, session: { 'a.0': { _sessions: {} }, 'b.0': { x: 1 } } });
    await vault.saveCreds({ me: { id: '49151:1@s.whatsapp.net' }, noiseKey: keyPair });
    const later = await store.open(id, 1);
    assert.deepEqual(Buffer.from(later.creds.noiseKey.public), Buffer.from([1, 2, 3]));
    const read = await later.vault.get('session', ['a.0', 'missing', 'b.0']);
    assert.deepEqual(read, { 'a.0': { _sessions: {} }, 'b.0': { x: 1 } });
    assert.deepEqual((await later.vault.get('pre-key', ['1']))['1'].private, Buffer.from('private'));
  });

  it('keeps nothing in the clear', async () => {
    const { vault } = await store.open(id, 1);
    await vault.set({ session: { 'c.0': { marker: 'in the clear' } } });
    const rows = await db.rows('SELECT data FROM bridge_key WHERE session_id = $1', [id]);
    assert.ok(rows.length > 0 && rows.every(({ data }) => !data.includes('in the clear')));
  });

  it('deletes with null', async () => {
    const { vault } = await store.open(id, 1);
    await vault.set({ session: { gone: { x: 1 } } });
    await vault.set({ session: { gone: null } });
    assert.deepEqual(await vault.get('session', ['gone']), {});
    assert.deepEqual(await (await store.open(id, 1)).vault.get('session', ['gone']), {});
  });

  it('takes nothing for absent that many others push out of the cache while it is asked for', async () => {
    const { vault } = await store.open(id, 1);
    await vault.set({ session: { early: { x: 1 } } });
    const many = Array.from({ length: 300 }, (_, at) => `other ${at}`);
    assert.deepEqual(await vault.get('session', ['early', ...many]), { early: { x: 1 } });
    await vault.set({ session: { late: { x: 2 } } });
    const asked = vault.get('session', ['late', 'not there']);
    await vault.set({ 'lid-mapping': Object.fromEntries(many.map((name) => [name, '1'])) });
    assert.deepEqual(await asked, { late: { x: 2 } });
  });

  it('keeps the order of writes that overlap', async () => {
    const { vault } = await store.open(id, 1);
    await Promise.all(Array.from({ length: 50 }, (_, at) => vault.set({ session: { order: { at } } })));
    assert.deepEqual((await (await store.open(id, 1)).vault.get('session', ['order'])).order, { at: 49 });
  });

  it('commits the writes of many sessions in few statements', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, () => db.makeSession()));
    const opened = await Promise.all(ids.map((one) => store.open(one, 1)));
    const query = store.db.query.bind(store.db);
    let statements = 0;
    store.db.query = (...given) => {
      statements += 1;
      return query(...given);
    };
    await Promise.all(opened.map(({ vault }) => vault.set({ session: { 'a.0': { x: 1 } } })));
    store.db.query = query;
    assert.ok(statements <= 2, `${statements} statements`);
  });

  it('reads what many sessions ask for at once in few statements, each its own', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, () => db.makeSession()));
    const opened = await Promise.all(ids.map((one) => store.open(one, 1)));
    await Promise.all(opened.map(({ vault }, at) => vault.set({ session: { 'a.0': { at }, 'b.0': { at: 100 + at } }, 'lid-mapping': { 'a.0': `${at}` } })));
    const later = await Promise.all(ids.map((one) => store.open(one, 1)));
    const { query } = store.db;
    let statements = 0;
    store.db.query = (...given) => {
      statements += 1;
      return query.call(store.db, ...given);
    };
    const read = later.flatMap(({ vault }) => [vault.get('session', ['a.0', 'missing', 'b.0']), vault.get('lid-mapping', ['a.0'])]);
    const found = await Promise.all(read);
    store.db.query = query;
    assert.deepEqual(found, ids.flatMap((_, at) => [{ 'a.0': { at }, 'b.0': { at: 100 + at } }, { 'a.0': `${at}` }]));
    assert.ok(statements <= 2, `${statements} statements`);
  });

  it('fails no session because of what a neighbour asks for', async () => {
    const [odd, good] = await Promise.all([db.makeSession(), db.makeSession()]);
    const [{ vault: one }, { vault: other }] = await Promise.all([store.open(odd, 1), store.open(good, 1)]);
    const asked = await Promise.allSettled([one.get('session', ['no \0 in PostgreSQL']), other.get('session', ['a.0'])]);
    assert.deepEqual(asked.map(({ status }) => status), ['rejected', 'fulfilled']);
  });

  it('lets nobody open or write under a lower term', async () => {
    const own = await db.makeSession();
    const { vault: old } = await store.open(own, 3);
    await old.set({ session: { 'a.0': { by: 'old' } } });
    const { vault: current } = await store.open(own, 4);
    /** @type {Error[]} */
    const broken = [];
    old.onBroken = (error) => broken.push(error);
    await assert.rejects(old.set({ session: { 'a.0': { by: 'zombie' } } }), { code: 'stale_term' });
    await assert.rejects(old.saveSent('ID', { address: 'x', message: Buffer.from('x') }), { code: 'stale_term' });
    await assert.rejects(store.open(own, 3), { code: 'stale_term' });
    assert.equal(broken.length, 1);
    assert.deepEqual((await current.get('session', ['a.0']))['a.0'], { by: 'old' });
    assert.deepEqual(await db.rows('SELECT 1 FROM bridge_sent WHERE session_id = $1', [own]), []);
  });

  it('loses no session when a neighbour in the same group is fenced off', async () => {
    const [stale, good] = await Promise.all([db.makeSession(), db.makeSession()]);
    const { vault: zombie } = await store.open(stale, 1);
    await store.open(stale, 2);
    const { vault } = await store.open(good, 1);
    const [first, second] = await Promise.allSettled([zombie.set({ session: { a: 1 } }), vault.set({ session: { a: 1 } })]);
    assert.deepEqual([first.status, second.status], ['rejected', 'fulfilled']);
  });

  it('takes a write and the opening by a higher term one after the other', async () => {
    const own = await db.makeSession();
    for (let term = 1; term < 40; term += 2) {
      const { vault } = await store.open(own, term);
      const write = vault.set({ session: { race: { term } } }).then(() => true, () => false);
      const { vault: next } = await store.open(own, term + 1);
      const seen = (await next.get('session', ['race'])).race?.term === term;
      assert.equal(seen, await write, `term ${term}: seen ${seen}`);
    }
  });

  it('refuses a session that does not exist', async () => {
    await assert.rejects(store.open('00000000-0000-4000-8000-000000000000', 1), { code: 'not_found' });
  });

  /** A session with two values, of which the second is damaged; read by `reader`. @param {string} kind @param {Store} [reader] */
  const damaged = async (kind, reader = store) => {
    const own = await db.makeSession();
    const { vault } = await store.open(own, 1);
    await vault.set({ [kind]: { a: { x: 1 }, b: { x: 2 } } });
    await db.rows(
      "UPDATE bridge_key SET data = (SELECT data FROM bridge_key WHERE session_id = $1 AND name = 'a') WHERE session_id = $1 AND name = 'b'",
      [own],
    );
    return { own, vault: (await reader.open(own, 1)).vault };
  };

  it("never takes an unreadable value of the account's own for an absent one", async () => {
    for (const kind of ['pre-key', 'app-state-sync-key', 'app-state-sync-version', 'something new']) {
      const { own, vault } = await damaged(kind);
      assert.deepEqual(await vault.get(kind, ['a']), { a: { x: 1 } });
      await assert.rejects(vault.get(kind, ['b']), { code: 'store_unavailable' }, kind);
      await assert.rejects(vault.get(kind, ['a']), { code: 'store_unavailable' }, 'a broken vault answers nothing more');
      assert.equal((await db.rows('SELECT 1 FROM bridge_key WHERE session_id = $1', [own])).length, 2);
    }
  });

  it('goes on without a damaged value of one customer, until there is a new one', async () => {
    for (const kind of ['session', 'identity-key', 'lid-mapping', 'devices', 'tctoken']) {
      const { own, vault } = await damaged(kind);
      assert.deepEqual(await vault.get(kind, ['a', 'b']), { a: { x: 1 } });
      await vault.set({ [kind]: { b: { x: 3 } } });
      assert.deepEqual(await (await store.open(own, 1)).vault.get(kind, ['b']), { b: { x: 3 } });
    }
  });

  it('goes on without a damaged message that was sent', async () => {
    const own = await db.makeSession();
    const { vault } = await store.open(own, 1);
    for (const id of ['GOOD', 'BAD']) await vault.saveSent(id, { address: id, message: Buffer.from(id) });
    await db.rows("UPDATE bridge_sent SET data = set_byte(data, 20, get_byte(data, 20) # 1) WHERE session_id = $1 AND wa_id = 'BAD'", [own]);
    assert.equal((await vault.readSent('GOOD'))?.address, 'GOOD'); // so the key is the right one
    assert.deepEqual([await vault.readSent('BAD'), await vault.renewSent('BAD')], [null, null]);
    assert.equal(await vault.lastAddress(), 'BAD', 'its address is still known');
  });

  it('breaks where another key may open it: one that is missing, or the right one in the place of a wrong one', async () => {
    const wrong = new Store({ url: databaseUrl, connections: 1, ring: KeyRing.parse(`k:${randomBytes(32).toString('base64')}`), log });
    const other = new Store({ url: databaseUrl, connections: 1, ring: KeyRing.parse(`other:${randomBytes(32).toString('base64')}`), log });
    for (const reader of [wrong, other]) {
      const { vault } = await damaged('session', reader);
      await assert.rejects(vault.get('session', ['a']), { code: 'store_unavailable' });
      await reader.close();
    }
  });

  it('survives a short absence of the database and breaks after a long one', { timeout: 60_000 }, async () => {
    const own = await db.makeSession();
    const { proxy, url } = await Proxy.before(databaseUrl);
    const remote = new Store({ url, connections: 2, ring, log });
    const { vault } = await remote.open(own, 1);
    proxy.cut();
    const written = vault.set({ session: { 'a.0': { x: 1 } } });
    setTimeout(() => proxy.mend(), 600);
    await written;
    proxy.cut();
    await assert.rejects(vault.get('session', ['b.0']), { code: 'store_unavailable' });
    proxy.mend();
    await assert.rejects(vault.get('session', ['a.0']), { code: 'store_unavailable' }, 'what may have been missed is not known');
    assert.deepEqual(await (await remote.open(own, 1)).vault.get('session', ['a.0']), { 'a.0': { x: 1 } });
    await remote.close();
    proxy.close();
  });

  it('lets a write that was held up on its way undo no later one', { timeout: 60_000 }, async () => {
    const own = await db.makeSession();
    const { proxy, url } = await Proxy.before(databaseUrl);
    const remote = new Store({ url, connections: 2, ring, log });
    const { vault } = await remote.open(own, 1);
    await vault.set({ session: { 'c.0': { counter: 1 } } });
    const [{ pid }] = await remote.db.query('SELECT pg_backend_pid() AS pid', [], { patienceMs: 0 });
    const letPass = proxy.hold();
    await vault.set({ session: { 'a.0': { counter: 1 }, 'c.0': null } }); // given up after a while, and repeated on another connection
    await vault.set({ session: { 'a.0': { counter: 2 }, 'c.0': { counter: 2 } } });
    letPass();
    await db.until(async () => (await db.rows('SELECT 1 FROM pg_stat_activity WHERE pid = $1', [pid])).length === 0); // what it had to say was heard
    const later = await store.open(own, 1);
    assert.deepEqual(await later.vault.get('session', ['a.0', 'c.0']), { 'a.0': { counter: 2 }, 'c.0': { counter: 2 } });
    await remote.close();
    proxy.close();
  });

  it('lets a former opening write nothing, nor wipe, under the same term either', async () => {
    const own = await db.makeSession();
    const { vault: former } = await store.open(own, 1);
    const { vault } = await store.open(own, 1);
    await vault.set({ session: { 'a.0': { by: 'the later one' } } });
    await vault.saveCreds({ account: {} });
    const both = await Promise.allSettled([former.set({ session: { 'a.0': { by: 'the former one' } } }), vault.set({ session: { 'b.0': { x: 1 } } })]);
    assert.deepEqual(both.map(({ status }) => status), ['rejected', 'fulfilled']);
    await assert.rejects(former.wipe(), { code: 'stale_term' });
    const { vault: next, creds } = await store.open(own, 1);
    assert.deepEqual(creds, { account: {} });
    assert.deepEqual(await next.get('session', ['a.0', 'b.0']), { 'a.0': { by: 'the later one' }, 'b.0': { x: 1 } });
  });

  it('knows where the last message went, a resend included', async () => {
    const own = await db.makeSession();
    const { vault } = await store.open(own, 1);
    assert.equal(await vault.lastAddress(), null);
    await vault.saveSent('FIRST', { address: 'a', message: Buffer.from('FIRST') });
    await vault.saveSent('SECOND', { address: 'b', message: Buffer.from('SECOND') });
    assert.equal(await vault.lastAddress(), 'b');
    assert.equal((await vault.readSent('FIRST'))?.address, 'a');
    assert.equal(await vault.lastAddress(), 'b', 'reading is no resend');
    assert.deepEqual(await vault.renewSent('FIRST'), { address: 'a', message: Buffer.from('FIRST') });
    assert.equal(await vault.lastAddress(), 'a');
    assert.equal(await vault.renewSent('NEVER'), null);
  });

  it('knows where the last message went when the clock was set back meanwhile, to a later opening too', async () => {
    const own = await db.makeSession();
    const { vault } = await store.open(own, 1);
    for (const id of ['A', 'B']) await vault.saveSent(id, { address: id, message: Buffer.from(id) });
    await db.rows("UPDATE bridge_sent SET created_at = now() + interval '1 minute' WHERE session_id = $1 AND wa_id = 'A'", [own]);
    assert.equal(await vault.lastAddress(), 'B');
    const { vault: later } = await store.open(own, 2);
    assert.equal(await later.lastAddress(), 'B');
    await later.saveSent('C', { address: 'C', message: Buffer.from('C') });
    assert.equal(await later.lastAddress(), 'C');
  });

  it('goes by the time of messages that were stored before there were numbers', async () => {
    const own = await db.makeSession();
    const { vault } = await store.open(own, 1);
    for (const id of ['A', 'B']) await vault.saveSent(id, { address: id, message: Buffer.from(id) });
    await db.rows("UPDATE bridge_sent SET written = 0, created_at = now() - interval '1 minute' * (wa_id = 'B')::int WHERE session_id = $1", [own]);
    assert.equal(await vault.lastAddress(), 'A');
    await vault.saveSent('C', { address: 'C', message: Buffer.from('C') });
    assert.equal(await vault.lastAddress(), 'C');
  });

  it('lets nothing that is written while it retires come after a wipe', async () => {
    const own = await db.makeSession();
    const { vault } = await store.open(own, 1);
    const first = vault.set({ session: { first: 1 } });
    const retired = vault.retire();
    await new Promise(setImmediate); // the first is being committed: what comes now waits for the next commit
    let written = false;
    const late = Promise.all([vault.set({ session: { late: 1 } }), vault.saveCreds({ account: {} })]).then(() => (written = true));
    await retired;
    assert.ok(written, 'all of it is in the database');
    await Promise.all([first, late, vault.wipe()]);
    assert.equal((await store.open(own, 2)).creds, null);
    assert.deepEqual(await db.rows('SELECT name FROM bridge_key WHERE session_id = $1', [own]), []);
  });

  it('wipes keys and credentials, and keeps sent messages until they are old', async () => {
    const own = await db.makeSession();
    const { vault } = await store.open(own, 1);
    await vault.set({ session: { a: 1 } });
    await vault.saveCreds({ account: {} });
    await vault.saveSent('OLD', { address: 'a', message: Buffer.from('old') });
    await vault.saveSent('NEW', { address: 'b', message: Buffer.from('new') });
    await db.rows("UPDATE bridge_sent SET created_at = now() - interval '8 days' WHERE session_id = $1 AND wa_id = 'OLD'", [own]);
    await vault.retire();
    await vault.wipe();
    assert.ok((await store.prune()) >= 1);
    const opened = await store.open(own, 2);
    assert.equal(opened.creds, null);
    assert.deepEqual(await opened.vault.get('session', ['a']), {});
    assert.equal(await opened.vault.readSent('OLD'), null);
    assert.deepEqual(await opened.vault.readSent('NEW'), { address: 'b', message: Buffer.from('new') });
  });
});
