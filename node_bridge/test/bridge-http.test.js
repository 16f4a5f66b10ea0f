import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { Bridge, SECRET } from './support/bridge.js';
import { TestDatabase } from './support/database.js';
import { start } from './support/processes.js';

const ID = '22222222-2222-4222-8222-222222222222';

describe('the HTTP side', () => {
  /** @type {Bridge} */ let bridge;
  before(async () => (bridge = await Bridge.start()));
  after(() => bridge.stop('SIGKILL'));

  /** @param {string} path @param {RequestInit} [init] */
  const raw = (path, init) => fetch(bridge.url + path, init);

  it('says that it lives without the secret, and nothing else', async () => {
    assert.deepEqual(await (await raw('/health/live')).json(), { status: 'ok' });
    for (const path of ['/health', '/sessions', '/signals', `/qr/${ID}`, '/nowhere']) assert.equal((await raw(path)).status, 401, path);
  });

  it('takes the secret as Bearer, as X-API-Key and in a body', async () => {
    const body = JSON.stringify({ secret: SECRET, term: 1, phones: ['+4915112345678'] });
    const json = { 'content-type': 'application/json' };
    assert.equal((await raw('/health', { headers: { authorization: `Bearer ${SECRET}` } })).status, 200);
    assert.equal((await raw('/health', { headers: { 'x-api-key': SECRET } })).status, 200);
    assert.equal((await raw(`/session/${ID}/check`, { method: 'POST', headers: json, body })).status, 404);
  });

  it('logs a refusal with address and route, never with what was sent', async () => {
    const answer = await raw(`/session/${ID}/check`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"secret":"wrong-secret-sent"}',
    });
    assert.deepEqual([answer.status, (/** @type {any} */ (await answer.json())).error.code], [401, 'unauthorized']);
    await bridge.call('GET', '/health');
    const line = bridge.process.log.map((one) => JSON.parse(one)).findLast((one) => one.event === 'unauthorized');
    assert.deepEqual([line.level, line.address, line.route], ['warning', '127.0.0.1', '/session/:id/check']);
    assert.ok(!bridge.process.log.some((one) => one.includes('wrong-secret-sent') || one.includes(SECRET)));
  });

  it('has no head of a stream that never ends', async () => {
    assert.equal((await raw('/signals', { method: 'HEAD', headers: { authorization: `Bearer ${SECRET}` } })).status, 404);
  });

  it('says which fields are wrong', async () => {
    const { status, body } = await bridge.call('POST', `/session/${ID}/messages`, {
      term: 'x', id: 'short', to: { phone: '0151' }, content: { type: 'text', text: '' }, more: 1,
    });
    assert.deepEqual([status, body.error.code], [400, 'invalid_request']);
    const fields = body.error.detail.map((/** @type {any} */ one) => one.field).sort();
    assert.deepEqual(fields, ['body.content.text', 'body.id', 'body.more', 'body.term', 'body.to.phone']);
  });

  for (const [what, path, init, code] of /** @type {[string, string, RequestInit, string][]} */ ([
    ['broken JSON', `/session/${ID}`, { method: 'PUT', body: '{' }, 'invalid_request'],
    ['a huge body', `/session/${ID}`, { method: 'PUT', body: `{"owner":"${'x'.repeat(300_000)}"}` }, 'invalid_request'],
    ['an id that is no UUID', '/session/abc', { method: 'PUT', body: '{"owner":"w","term":1}' }, 'invalid_request'],
    ['an id in another form of a UUID', `/session/urn:uuid:${ID}`, { method: 'PUT', body: '{"owner":"w","term":1,"link":{"mode":"qr"}}' }, 'invalid_request'],
    ['an endless id', `/session/${'x'.repeat(5_000)}`, { method: 'PUT', body: '{"owner":"w","term":1}' }, 'invalid_request'],
    ['an address that is broken', '/session/%ZZ', {}, 'invalid_request'],
    ['a text that is too long', `/session/${ID}/messages`, {
      method: 'POST',
      body: JSON.stringify({ term: 1, id: '3EB0AAAAAAAA', to: { phone: '+4915112345678' }, content: { type: 'text', text: 'x'.repeat(4_001) } }),
    }, 'invalid_request'],
    ['a link by code without a phone', `/session/${ID}`, { method: 'PUT', body: '{"owner":"w","term":1,"link":{"mode":"code"}}' }, 'invalid_request'],
    ['closing without a term', `/session/${ID}`, { method: 'DELETE' }, 'invalid_request'],
    ['closing under a term that is no number', `/session/${ID}?term=1e3`, { method: 'DELETE' }, 'invalid_request'],
    ['closing under two terms', `/session/${ID}?term=1&term=2`, { method: 'DELETE' }, 'invalid_request'],
    ['a logout that is neither', `/session/${ID}?term=1&logout=yes`, { method: 'DELETE' }, 'invalid_request'],
    ['closing with something else', `/session/${ID}?term=1&force=true`, { method: 'DELETE' }, 'invalid_request'],
    ['a session that is not open', `/session/${ID}/status`, {}, 'not_found'],
    ['a session nobody made', `/session/${ID}`, { method: 'PUT', body: '{"owner":"w","term":1,"link":{"mode":"qr"}}' }, 'not_found'],
    ['an unknown route', '/nowhere', {}, 'not_found'],
  ])) {
    it(`answers ${what} with ${code}`, async () => {
      const headers = { authorization: `Bearer ${SECRET}`, ...(init.body ? { 'content-type': 'application/json' } : {}) };
      const answer = await raw(path, { ...init, headers });
      const { error } = /** @type {any} */ (await answer.json());
      assert.deepEqual([answer.status, error.code, typeof error.message], [code === 'not_found' ? 404 : 400, code, 'string']);
    });
  }

  it('answers a session that was never linked with not_linked', async () => {
    const db = new TestDatabase();
    const { status, body } = await bridge.open(await db.makeSession(), { term: 1 });
    assert.deepEqual([status, body.error.code], [409, 'not_linked']);
    await db.close();
  });

  it('closes what is not open', async () => {
    for (const logout of ['false', '0']) {
      assert.deepEqual((await bridge.call('DELETE', `/session/${ID}?term=1&logout=${logout}`)).body, { closed: true, logged_out: false });
    }
  });

  it('reports its health', async () => {
    const { body } = await bridge.call('GET', '/health');
    assert.deepEqual(Object.keys(body).sort(), ['connected', 'node', 'rss_mb', 'sessions', 'spooled', 'status', 'uptime_s', 'version', 'wa_version']);
    assert.deepEqual([body.status, body.sessions, body.spooled, body.node], ['ok', 0, 0, process.version]);
  });

  it('listens on 127.0.0.1 only', async () => {
    const socket = connect({ host: '127.0.0.2', port: bridge.process.ready.port });
    const [error] = await once(socket, 'error');
    assert.equal(error.code, 'ECONNREFUSED');
  });
});

describe('the process', () => {
  it('says in one line what is missing and exits 1', async () => {
    const { ready, exited } = await start('src/main.js', { env: { ...Bridge.environment(), WA_ENCRYPTION_KEYS: 'k:abc' } });
    assert.deepEqual(ready, { ready: false, error: 'WA_ENCRYPTION_KEYS: key 1 ("k") is not the base64 of 32 bytes' });
    assert.equal(await exited, 1);
  });

  it('says that its port is in use', async () => {
    const bridge = await Bridge.start();
    const port = String(bridge.process.ready.port);
    const { ready, exited } = await start('src/main.js', { env: { ...Bridge.environment(), WHATSAPP_PORT: port } });
    assert.match(ready.error, new RegExp(`^port ${port} on 127\\.0\\.0\\.1 is in use`));
    assert.equal(await exited, 1);
    await bridge.stop();
  });

  it('ends within 5 s of SIGTERM, readers of signals or not', async () => {
    const bridge = await Bridge.start();
    await fetch(`${bridge.url}/signals`, { headers: { authorization: `Bearer ${SECRET}` } });
    const began = performance.now();
    assert.equal(await bridge.stop(), 0);
    assert.ok(performance.now() - began < 5_000);
  });

  it('ends when its parent does, if told to', async () => {
    const bridge = await Bridge.start({ BRIDGE_EXIT_WITH_PARENT: '1' });
    bridge.process.child.stdin?.end();
    assert.equal(await bridge.process.exited, 0);
  });
});
