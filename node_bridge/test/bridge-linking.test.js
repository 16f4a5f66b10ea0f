import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'node:test';
import { Linking } from '../src/engine/linking.js';
import { Stage, text } from './support/stage.js';

describe('linking', () => {
  const stage = new Stage();

  it('links by QR, restarts once by itself, and shows the true lifetime of a code', async () => {
    const number = await stage.phone();
    const id = await stage.db.makeSession();
    const opened = await stage.bridge.open(id, { term: 1, link: { mode: 'qr' } });
    assert.deepEqual([opened.status, opened.body.state, opened.body.phone], [202, 'linking', null]);
    const { qr } = await stage.bridge.status(id, (status) => status.qr);
    assert.equal(Date.parse(qr.expires_at) - Date.parse(qr.generated_at), 60_000);
    const shown = await stage.bridge.call('GET', `/qr/${id}`);
    assert.equal(shown.body.qr, qr.text);
    assert.deepEqual([...Buffer.from(shown.body.image, 'base64').subarray(1, 4)], [...Buffer.from('PNG')]);
    await stage.network.scan(number, qr.text);
    const connected = await stage.bridge.status(id, (status) => status.state === 'connected');
    assert.deepEqual([connected.phone, connected.qr], [number, null]);
    assert.match(connected.lid, /^\d+@lid$/);
    assert.equal((await stage.bridge.call('GET', `/qr/${id}`)).status, 404);
  });

  it('links by pairing code', async () => {
    const number = await stage.phone();
    const id = await stage.db.makeSession();
    await stage.bridge.open(id, { term: 1, link: { mode: 'code', phone: number } });
    const { pairing_code: code } = await stage.bridge.status(id, (status) => status.pairing_code);
    assert.match(code.code, /^[A-Z0-9]{8}$/);
    await stage.network.call('POST', `/phones/${encodeURIComponent(number)}/enter-code`, { code: code.code });
    assert.equal((await stage.bridge.status(id, (status) => status.state === 'connected')).phone, number);
    const customer = await stage.phone();
    assert.equal((await stage.bridge.send(id, text(customer, 'hello'))).body.outcome, 'acked');
  });

  it('gives a pairing code to who began with a QR code', async () => {
    const number = await stage.phone();
    const id = await stage.db.makeSession();
    await stage.bridge.open(id, { term: 1, link: { mode: 'qr' } });
    const { status, body } = await stage.bridge.call('POST', `/session/${id}/pairing-code`, { term: 1, phone: number });
    assert.equal(status, 200);
    await stage.network.call('POST', `/phones/${encodeURIComponent(number)}/enter-code`, { code: body.code });
    await stage.bridge.status(id, (one) => one.state === 'connected');
    const again = await stage.bridge.call('POST', `/session/${id}/pairing-code`, { term: 1, phone: number });
    assert.deepEqual([again.status, again.body.error.code], [409, 'already_linked']);
  });

  it('connects without a QR code after a restart of the bridge', async () => {
    const bridge = await stage.another();
    const { id, number } = await stage.linked({ bridge });
    assert.equal(await bridge.stop(), 0);
    const next = await stage.another();
    const opened = await next.open(id, { term: 2 });
    assert.equal(opened.body.state, 'connecting');
    assert.equal((await next.status(id, (status) => status.state === 'connected')).phone, number);
    const customer = await stage.phone();
    assert.equal((await next.send(id, text(customer, 'still here', { term: 2 }))).body.outcome, 'acked');
  });

  it('leaves nothing that would be taken for a login when a pairing code is never entered', async () => {
    const id = await stage.db.makeSession();
    await stage.bridge.open(id, { term: 1, link: { mode: 'code', phone: await stage.phone() } });
    await stage.bridge.status(id, (status) => status.pairing_code);
    await stage.bridge.call('DELETE', `/session/${id}?term=1`);
    const again = await stage.bridge.open(id, { term: 1 });
    assert.deepEqual([again.status, again.body.error.code], [409, 'not_linked']);
  });

  it('keeps the link when it closes, and wipes it on logout', async () => {
    const { id, number } = await stage.linked();
    const closed = await stage.bridge.call('DELETE', `/session/${id}?term=1`);
    assert.deepEqual(closed.body, { closed: true, logged_out: false });
    assert.equal((await stage.bridge.status(id, (status) => status.state === 'closed')).close.reason, 'requested');
    const out = await stage.bridge.call('DELETE', `/session/${id}?term=2&logout=true`);
    assert.deepEqual(out.body, { closed: true, logged_out: true });
    const phone = await stage.network.call('GET', `/phones/${encodeURIComponent(number)}`);
    assert.deepEqual(phone.devices, []);
    assert.deepEqual(await stage.db.rows('SELECT 1 FROM bridge_key WHERE session_id = $1', [id]), []);
    assert.equal((await stage.bridge.open(id, { term: 3 })).body.error.code, 'not_linked');
  });

  it('looks numbers up anew after it was linked anew: what it knew of their LIDs was wiped', async () => {
    const { id, number } = await stage.linked();
    const customer = await stage.phone();
    const { address } = (await stage.bridge.send(id, text(customer, 'first'))).body;
    assert.match(address, /@lid$/);
    await stage.bridge.call('DELETE', `/session/${id}?term=1&logout=true`);
    stage.bridge.forget();
    await stage.bridge.open(id, { term: 2, link: { mode: 'qr' } });
    const { qr } = await stage.bridge.status(id, (status) => status.qr);
    await stage.network.scan(number, qr.text);
    await stage.bridge.status(id, (status) => status.state === 'connected');
    assert.equal((await stage.bridge.send(id, text(customer, 'second', { term: 2 }))).body.address, address);
  });

  it('wipes on logout, too, when WhatsApp cannot be reached', async () => {
    const { id } = await stage.linked();
    await stage.bridge.close(id);
    const cutOff = await stage.another({ WA_SOCKET_URL: 'ws://127.0.0.1:9/ws/chat' });
    const out = await cutOff.call('DELETE', `/session/${id}?term=2&logout=true`);
    assert.deepEqual(out.body, { closed: true, logged_out: false });
    assert.deepEqual(await stage.db.rows('SELECT 1 FROM bridge_key WHERE session_id = $1', [id]), []);
    assert.equal((await cutOff.open(id, { term: 2 })).body.error.code, 'not_linked');
  });

  it('wipes the credentials when the phone logs the device out', async () => {
    const { id, number } = await stage.linked();
    const [device] = (await stage.network.call('GET', `/phones/${encodeURIComponent(number)}`)).devices;
    await stage.network.call('DELETE', `/phones/${encodeURIComponent(number)}/devices/${device.device}`);
    const { close } = await stage.bridge.status(id, (status) => status.state === 'closed');
    assert.deepEqual([close.code, close.reason], [401, 'logged_out']);
    assert.equal((await stage.bridge.open(id, { term: 1 })).body.error.code, 'not_linked');
  });

  for (const [code, reason] of /** @type {const} */ ([
    ['402', 'banned_temporarily'],
    ['403', 'forbidden'],
    ['405', 'client_outdated'],
    ['406', 'locked'],
    ['503', 'unavailable'],
  ])) {
    it(`tells ${code} at login as ${reason} and keeps the credentials`, async () => {
      const { id, number } = await stage.linked();
      await stage.bridge.close(id);
      await stage.network.fault({ account: number, on: 'login', do: { action: 'failure', code, attrs: { code: '101', expire: '3600' } } });
      await stage.bridge.open(id, { term: 1 });
      const { close } = await stage.bridge.status(id, (status) => status.state === 'closed');
      assert.deepEqual([close.code, close.reason], [Number(code), reason]);
      if (code === '402') assert.ok(Math.abs(Date.parse(close.detail.until) - Date.now() - 3_600_000) < 30_000);
      stage.bridge.forget();
      await stage.bridge.open(id, { term: 1 });
      await stage.bridge.status(id, (status) => status.state === 'connected');
    });
  }

  for (const action of ['stream_error', 'failure']) {
    it(`tells a 408 by a ${action} before the first QR code as timed_out: no code has run out`, async () => {
      const id = await stage.db.makeSession();
      await stage.network.fault({ account: '*', on: 'connect', do: { action, code: '408' } });
      await stage.bridge.open(id, { term: 1, link: { mode: 'qr' } });
      const { close } = await stage.bridge.status(id, (status) => status.state === 'closed');
      assert.deepEqual([close.code, close.reason], [408, 'timed_out']);
    });
  }

  for (const [code, reason] of /** @type {const} */ ([
    ['440', 'replaced'],
    ['500', 'server_error'],
    ['515', 'restart_required'],
  ])) {
    it(`tells the stream error ${code} as ${reason}`, async () => {
      const { id, number } = await stage.linked();
      await stage.network.call('POST', `/accounts/${encodeURIComponent(number)}/disconnect`, { code });
      const { close } = await stage.bridge.status(id, (status) => status.state === 'closed');
      assert.deepEqual([close.code, close.reason], [Number(code), reason]);
    });
  }

  it('never takes the HTTP answer of something in between for a logout', async () => {
    const { id } = await stage.linked();
    const bridge = await stage.another({ WA_SOCKET_URL: `ws://127.0.0.1:${stage.web.port}/ws/chat` });
    stage.web.refuseUpgrades = 401;
    await bridge.open(id, { term: 2 });
    const { close } = await bridge.status(id, (status) => status.state === 'closed');
    assert.equal(close.reason, 'connect_failed');
    const next = await stage.another();
    await next.open(id, { term: 3 });
    await next.status(id, (status) => status.state === 'connected');
  });
});

describe('a pairing code that is asked for before the first QR code', () => {
  /** @param {import('node:test').TestContext} t @param {{readyMs?: number}} [options] */
  const ask = (t, options) => {
    const awake = setInterval(() => {}, 1_000); // the limit's own timer keeps no process
    t.after(() => clearInterval(awake));
    const sock = { ev: new EventEmitter(), ws: new EventEmitter() };
    const linking = new Linking({ sock, ended: new AbortController().signal, ...options });
    return { sock, refused: assert.rejects(linking.requestCode('+4915112345678'), { code: 'not_connected' }) };
  };

  it('is refused when the connection ends, although the session goes on with another', { timeout: 5_000 }, async (t) => {
    const { sock, refused } = ask(t);
    sock.ev.emit('connection.update', { connection: 'close' });
    await refused;
  });

  it('is refused when none comes in time', { timeout: 5_000 }, async (t) => {
    await ask(t, { readyMs: 1 }).refused;
  });
});
