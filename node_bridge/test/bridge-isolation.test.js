import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import pg from 'pg';
import { culprit, onAccountOf } from '../src/attribution.js';
import { makeLog } from '../src/log.js';
import { Database } from '../src/store/database.js';
import { scratch } from './support/bridge.js';
import { databaseUrl } from './support/database.js';
import { Stage, text } from './support/stage.js';

/** Bridges in which one number does damage when it logs in. */
class Poisoned {
  #orders = join(scratch(), 'orders.json');

  get env() {
    const module = pathToFileURL(new URL('support/poison.js', import.meta.url).pathname);
    module.searchParams.set('orders', this.#orders);
    return { NODE_OPTIONS: `--import=${module.href} --max-old-space-size=160` };
  }

  /** @param {string | null} lid @param {string} how */
  order(lid, how) {
    writeFileSync(this.#orders, JSON.stringify({ [String(lid).split('@')[0] ?? '']: how }));
  }
}

describe('one bad session', { timeout: 120_000 }, () => {
  const stage = new Stage();

  /** Two sessions on a bridge of their own: the second will do that damage at its next login. @param {string} how */
  const two = async (how) => {
    const poison = new Poisoned();
    const bridge = await stage.another(poison.env);
    const [well, sick] = [await stage.linked({ bridge }), await stage.linked({ bridge })];
    const { lid } = await bridge.status(sick.id, (status) => status.lid);
    await bridge.close(sick.id);
    poison.order(lid, how);
    return { poison, bridge, well, sick };
  };

  for (const how of ['throw in a timer', 'throw in a listener']) {
    it(`takes no other down when it throws: ${how}`, async () => {
      const { poison, bridge, well, sick } = await two(how);
      const customer = await stage.phone();
      const underway = bridge.send(well.id, text(customer, 'meanwhile', { typing_ms: 1_500 }));
      await bridge.open(sick.id, { term: 1 });
      const { close } = await bridge.status(sick.id, (status) => status.state === 'closed');
      assert.deepEqual(close, { code: 0, reason: 'crashed', detail: { cause: 'the poison of +49151*****78' } });
      assert.equal((await underway).body.outcome, 'acked');
      const said = bridge.process.log.map((line) => JSON.parse(line)).find(({ event }) => event === 'a session crashed');
      assert.deepEqual([said.level, said.session, said.term], ['error', sick.id, 1]);
      assert.ok(!bridge.process.log.some((line) => line.includes('15112345678')));

      poison.order(null, '');
      bridge.forget();
      await bridge.open(sick.id, { term: 1 });
      await bridge.status(sick.id, (status) => status.state === 'connected');
      assert.equal((await bridge.send(sick.id, text(customer, 'well again'))).body.outcome, 'acked');
      assert.equal(bridge.process.child.exitCode, null);
    });
  }

  it('is not blamed for what is nobody’s: the bridge ends, and says so', async () => {
    const { bridge, sick } = await two('throw outside');
    await bridge.open(sick.id, { term: 1 });
    assert.equal(await bridge.process.exited, 1);
    assert.ok(bridge.process.log.some((line) => line.includes('the bridge broke')));
  });

  it('is not blamed for a database connection that it was the first to need', async () => {
    const connect = pg.Client.prototype.connect;
    /** @type {unknown[]} */
    const blamed = [];
    const db = new Database({ url: databaseUrl, connections: 1, log: makeLog('silent') });
    const me = { crashed: () => {} };
    try {
      pg.Client.prototype.connect = /** @type {any} */ (
        /** @this {any} @param {any[]} args */ function (...args) {
          blamed.push(culprit());
          return Reflect.apply(connect, this, args);
        }
      );
      await onAccountOf(me, async () => {
        await db.query('SELECT 1', [], { patienceMs: 1_000 });
        assert.equal(culprit(), me, 'what comes after it is on its account again');
      });
    } finally {
      pg.Client.prototype.connect = connect;
      await db.close();
    }
    assert.deepEqual(blamed, [undefined]);
  });

  it('that takes all memory ends the process; the others come back in the next one with their links', async () => {
    const { bridge, well, sick } = await two('allocate');
    await bridge.open(sick.id, { term: 1 });
    assert.equal(await bridge.process.exited, 'SIGABRT');
    const next = await stage.another();
    await next.open(well.id, { term: 2 });
    await next.status(well.id, (status) => status.state === 'connected');
  });
});
