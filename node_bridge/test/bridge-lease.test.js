import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Stage, text } from './support/stage.js';

/** @typedef {import('./support/bridge.js').Bridge} Bridge */

/** @param {Bridge} bridge @param {number} ms */
const renew = (bridge, ms) => bridge.call('PUT', '/lease', { good_for_ms: ms });

/** @param {Bridge} bridge @param {string} id */
const end = async (bridge, id) => (await bridge.status(id, (status) => status.state === 'closed')).close;

/** Freezes the process for a while; answers what was asked of it meanwhile. @template T @param {Bridge} bridge @param {number} ms @param {() => T} ask */
async function frozen(bridge, ms, ask) {
  bridge.process.child.kill('SIGSTOP');
  const answers = ask();
  await sleep(ms);
  bridge.process.child.kill('SIGCONT');
  return answers;
}

describe('the lease', { timeout: 120_000 }, () => {
  const stage = new Stage();

  it('that runs out closes every session without logging out, and nothing is opened or sent until it is renewed', async () => {
    const bridge = await stage.another();
    const [one, other] = [await stage.linked({ bridge }), await stage.linked({ bridge })];
    await renew(bridge, 300);
    for (const { id } of [one, other]) assert.deepEqual(await end(bridge, id), { code: 0, reason: 'lease_ran_out', detail: null });
    const customer = await stage.phone();
    assert.deepEqual((await bridge.send(one.id, text(customer, 'too late'))).body, { outcome: 'not_sent', reason: 'not_connected' });
    const refused = await bridge.open(one.id, { term: 1 });
    assert.deepEqual([refused.status, refused.body.error.code], [409, 'lease_ran_out']);
    assert.deepEqual((await bridge.call('GET', '/sessions')).body, { sessions: [] });

    bridge.forget();
    await renew(bridge, 60_000);
    await bridge.open(one.id, { term: 1 });
    await bridge.status(one.id, (status) => status.state === 'connected');
    assert.equal((await bridge.send(one.id, text(customer, 'in time'))).body.outcome, 'acked');
    assert.deepEqual((await stage.network.shown(customer)).map((shown) => shown.text), ['in time']);
  });

  it('that is renewed in time holds, and one that ends now ends at once', async () => {
    const bridge = await stage.another();
    const { id } = await stage.linked({ bridge });
    const customer = await stage.phone();
    const until = performance.now() + 3_000;
    while (performance.now() < until) assert.deepEqual((await renew(bridge, 1_500)).body, { held: true });
    assert.equal((await bridge.send(id, text(customer, 'still here'))).body.outcome, 'acked');
    assert.deepEqual((await renew(bridge, 0)).body, { held: false });
    assert.equal((await end(bridge, id)).reason, 'lease_ran_out');
  });

  it('stops a send that shows "typing…" when it runs out', async () => {
    const bridge = await stage.another();
    const { id } = await stage.linked({ bridge });
    const customer = await stage.phone();
    const sending = bridge.send(id, text(customer, 'never', { typing_ms: 10_000 }));
    await renew(bridge, 500);
    assert.deepEqual((await sending).body, { outcome: 'not_sent', reason: 'not_connected' });
    assert.deepEqual(await stage.network.shown(customer), []);
  });

  it('that ran out while the process was frozen is found before anything is done', async () => {
    const bridge = await stage.another();
    const { id } = await stage.linked({ bridge });
    const customer = await stage.phone();
    const typing = bridge.send(id, text(customer, 'typed before', { typing_ms: 800 }));
    await renew(bridge, 1_500);
    const [sending, renewing] = await frozen(bridge, 2_000, () =>
      /** @type {const} */ ([bridge.send(id, text(customer, 'asked meanwhile')), renew(bridge, 1_200)]));
    assert.deepEqual((await typing).body, { outcome: 'not_sent', reason: 'not_connected' });
    assert.deepEqual((await sending).body, { outcome: 'not_sent', reason: 'not_connected' });
    assert.deepEqual((await renewing).body, { held: false }, 'what waited in a frozen process is as old as the freeze');
    assert.equal((await end(bridge, id)).reason, 'lease_ran_out');
    assert.deepEqual(await stage.network.shown(customer), []);
  });

  it('is not made longer by a renewal that waited in a frozen process', async () => {
    const bridge = await stage.another();
    const { id } = await stage.linked({ bridge });
    await renew(bridge, 5_000);
    const { late } = await frozen(bridge, 1_500, () => ({ late: renew(bridge, 1_000) }));
    assert.deepEqual((await late).body, { held: false });
    assert.equal((await end(bridge, id)).reason, 'lease_ran_out');
  });

  for (const [what, ask] of /** @type {[string, (bridge: Bridge, id: string) => Promise<{status: number, body: any}>][]} */ ([
    ['opened', (bridge, id) => bridge.open(id, { term: 2 })],
    ['logged out', (bridge, id) => bridge.call('DELETE', `/session/${id}?term=2&logout=true`)],
  ])) {
    it(`that ends while a session is being ${what} lets no socket open, not even after its renewal`, async () => {
      const { id, number } = await stage.linked();
      await stage.bridge.close(id);
      const bridge = await stage.another();
      await renew(bridge, 60_000);
      const row = await stage.db.hold(id);
      const asking = ask(bridge, id);
      await row.waited();
      await renew(bridge, 0);
      await renew(bridge, 60_000);
      await row.release();
      const { status, body } = await asking;
      assert.deepEqual([status, body.error?.code], [409, 'lease_ran_out']);
      assert.deepEqual((await bridge.call('GET', '/sessions')).body, { sessions: [] });
      assert.equal((await stage.network.call('GET', `/phones/${encodeURIComponent(number)}`)).devices.length, 1);
    });
  }

  it('is not needed to know that a bridge that stops opens nothing any more', async () => {
    const { id } = await stage.linked();
    await stage.bridge.close(id);
    const bridge = await stage.another();
    const row = await stage.db.hold(id);
    const opening = bridge.open(id, { term: 2 }).catch(() => 'no answer');
    await row.waited();
    const exited = bridge.stop();
    await stage.network.until(async () => bridge.process.log.some((/** @type {string} */ line) => line.includes('bridge stopping')));
    await row.release();
    assert.equal(await exited, 0);
    await opening;
    assert.deepEqual(bridge.process.log.filter((/** @type {string} */ line) => line.includes('session opened')), []);
  });

  it('is asked for with the secret, in milliseconds', async () => {
    assert.equal((await fetch(`${stage.bridge.url}/lease`, { method: 'PUT' })).status, 401);
    for (const good_for_ms of [-1, 1.5, '5', 10_000_000]) {
      const { status, body } = await stage.bridge.call('PUT', '/lease', { good_for_ms });
      assert.deepEqual([status, body.error.code], [400, 'invalid_request']);
    }
  });
});
