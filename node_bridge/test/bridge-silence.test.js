import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, it } from 'node:test';
import { Proxy } from './support/proxy.js';
import { Stage, text } from './support/stage.js';

const LONGER_THAN_THE_TEST_MS = 600_000;
const FROZEN_MS = 60_000;
const LATE_MS = 15_000;

describe('a connection that says nothing', { timeout: 180_000, concurrency: true }, () => {
  const stage = new Stage();

  it('is found by its silence although its socket is open, and closes with its link kept', async () => {
    const { proxy, url } = await Proxy.before(stage.network.socketUrl);
    const bridge = await stage.another({ WA_SOCKET_URL: url });
    const { id } = await stage.linked({ bridge });
    proxy.delayMs = LONGER_THAN_THE_TEST_MS;
    const began = performance.now();
    const { close } = await bridge.status(id, (status) => status.state === 'closed', 90_000);
    const took = performance.now() - began;
    assert.deepEqual([close.reason, close.detail.cause], ['connection_lost', 'nothing came for 20 s, nor within 20 s of a ping']);
    assert.ok(took > 30_000 && took < 55_000, `${took} ms: a short silence is no death, and a long one is`);
    proxy.delayMs = 0;
    bridge.forget();
    await bridge.open(id, { term: 1 });
    await bridge.status(id, (status) => status.state === 'connected');
    proxy.close();
  });

  it('is left alone while the server answers, and its round trip is told', async () => {
    const bridge = await stage.another();
    const { id } = await stage.linked({ bridge });
    const status = async () => (await bridge.call('GET', `/session/${id}/status`)).body;
    const before = await status();
    assert.equal(before.ping_ms, null);
    await stage.network.until(async () => (await status()).ping_ms !== null, 40_000);
    const after = await status();
    assert.ok(after.ping_ms < 5_000 && after.state === 'connected');
    assert.ok(Date.parse(after.last_stanza_at) > Date.parse(before.last_stanza_at));
    const reader = await bridge.reread();
    assert.equal((await reader.next((one) => one.id === id)).ping_ms, after.ping_ms);
    reader.leave();
  });

  it('is left alone while a busy server answers late', async () => {
    const { proxy, url } = await Proxy.before(stage.network.socketUrl);
    const bridge = await stage.another({ WA_SOCKET_URL: url });
    const { id } = await stage.linked({ bridge });
    const status = async () => (await bridge.call('GET', `/session/${id}/status`)).body;
    await stage.settled(id, bridge);
    proxy.delayMs = LATE_MS;
    await stage.network.until(async () => (await status()).ping_ms >= LATE_MS, 80_000);
    assert.equal((await status()).state, 'connected');
    proxy.close();
  });

  it('is given up when the server takes the connection and never answers', async () => {
    const taken = new Set();
    const mute = net.createServer((socket) => taken.add(socket)).listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const { port } = /** @type {net.AddressInfo} */ (mute.address());
    const bridge = await stage.another({ WA_SOCKET_URL: `ws://127.0.0.1:${port}/` });
    const id = await stage.db.makeSession();
    const began = performance.now();
    await bridge.open(id, { term: 1, link: { mode: 'qr' } });
    const { close } = await bridge.status(id, (status) => status.state === 'closed', 60_000);
    const took = performance.now() - began;
    assert.deepEqual([close.reason, close.detail.cause], ['timed_out', 'the server did not answer']);
    assert.ok(took > 15_000 && took < 40_000, `${took} ms`);
    for (const socket of taken) socket.destroy();
    mute.close();
  });

  it('is given up when what has waited stops coming, and the next one gets it', async () => {
    const bridge = await stage.another();
    const { id, number } = await stage.linked({ bridge });
    const customer = await stage.phone();
    await bridge.close(id);
    const fault = await stage.network.fault({ account: number, on: 'backlog', times: 0, do: { action: 'drop' } });
    const path = `/phones/${encodeURIComponent(customer)}/messages`;
    for (let at = 0; at < 10; at += 1) await stage.network.call('POST', path, { to: number, text: `waited ${at}` });
    await bridge.open(id, { term: 1 });
    const { close } = await bridge.status(id, (status) => status.state === 'closed', 90_000);
    assert.deepEqual([close.reason, close.detail.cause], ['timed_out', 'what has waited stopped coming']);
    await stage.network.call('DELETE', `/faults/${fault.id}`);
    await bridge.open(id, { term: 1 });
    await stage.web.event((event) => event.session === id && event.data.text === 'waited 9');
  });

  it('survives a bridge that was frozen longer than that: the silence was its own', async () => {
    const bridge = await stage.another();
    const { id } = await stage.linked({ bridge });
    const status = async () => (await bridge.call('GET', `/session/${id}/status`)).body;
    await stage.network.until(async () => (await status()).ping_ms !== null, 40_000); // nothing else is under way
    const { child } = bridge.process;
    child.kill('SIGSTOP');
    await sleep(FROZEN_MS);
    child.kill('SIGCONT');
    const thawed = Date.now();
    await stage.network.until(async () => Date.parse((await status()).last_stanza_at) >= thawed, 40_000);
    assert.equal((await status()).state, 'connected');
    assert.equal((await bridge.send(id, text(await stage.phone(), 'after the thaw'))).body.outcome, 'acked');
    assert.deepEqual(bridge.statuses.filter((one) => one.state === 'closed'), []);
  });
});
