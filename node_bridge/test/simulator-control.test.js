import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { connect as connectSocket } from 'node:net';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { soon, startSimulator } from './simulator-kit.js';

const ONE = '+4915190000001';
const TWO = '+4915190000002';
const MAIN = fileURLToPath(new URL('../simulator/main.js', import.meta.url));

/** @type {import('./simulator-kit.js').Simulator} */
let sim;
before(async () => {
  sim = await startSimulator();
  await sim.phone(ONE);
  await sim.phone(TWO);
});
after(() => sim.stop());

test('a phone is made once, listed, changed and deleted', async () => {
  const number = '+4915190000003';
  const made = await sim.call('POST', '/api/phones', { number: '+49 151 9000 0003', name: 'Ana' });
  assert.equal(made.status, 201);
  const { registered_at: at, lid, ...rest } = made.body;
  assert.match(at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.match(lid, /^\d+@lid$/);
  assert.deepEqual(rest, {
    number, name: 'Ana', online: true, devices: [],
    settings: { online: true, delivery_receipts: true, read_receipts: 'manual', read_delay_ms: 800, addressing: 'pn' },
  });
  assert.equal((await sim.call('POST', '/api/phones', { number })).status, 200);
  const changed = await sim.api('PATCH', `/api/phones/${number}`, { name: 'Anna', settings: { online: false } });
  assert.deepEqual([changed.name, changed.online, changed.settings.read_delay_ms], ['Anna', false, 800]);
  assert.ok((await sim.api('GET', '/api/phones')).phones.some((/** @type {any} */ phone) => phone.number === number));
  assert.equal((await sim.call('DELETE', `/api/phones/${number}`)).status, 204);
  assert.equal((await sim.call('GET', `/api/phones/${number}`)).body.error.code, 'not_found');
});

/** @type {[string, string, string, object | undefined, number, string][]} */
const WRONG = [
  ['a number that is none', 'POST', '/api/phones', { number: 'me' }, 400, 'invalid_number'],
  ['no number', 'POST', '/api/phones', {}, 400, 'invalid_request'],
  ['a setting that is none', 'PATCH', `/api/phones/${ONE}`, { settings: { colour: 'red' } }, 400, 'invalid_request'],
  ['a setting of the wrong type', 'PATCH', `/api/phones/${ONE}`, { settings: { online: 'yes' } }, 400, 'invalid_request'],
  ['an unknown phone', 'GET', '/api/phones/+4915190009999/shown', undefined, 404, 'not_found'],
  ['an empty message', 'POST', `/api/phones/${ONE}/messages`, { to: TWO, text: '' }, 400, 'invalid_request'],
  ['an unknown device', 'DELETE', `/api/phones/${ONE}/devices/7`, undefined, 404, 'not_found'],
  ['a since that is none', 'GET', `/api/phones/${ONE}/shown?since=yesterday`, undefined, 400, 'invalid_request'],
  ['a taken hidden id', 'POST', '/api/phones', { number: '+4915190000009', lid: 'LID' }, 409, 'lid_taken'],
  ['an unknown fault', 'DELETE', '/api/faults/99', undefined, 404, 'not_found'],
  ['restrictions of nobody', 'POST', '/api/accounts/+4915190009999/restrictions', {}, 404, 'not_found'],
  ['a restriction without sense', 'POST', `/api/accounts/${ONE}/restrictions`, { cap: { status: 'angry', total: 1, used: 1 } }, 400, 'invalid_request'],
  ['an unknown route', 'GET', '/api/coffee', undefined, 404, 'not_found'],
];
for (const [what, method, path, body, status, code] of WRONG) {
  test(`${what} is answered with ${status} ${code}`, async () => {
    const { lid } = await sim.api('GET', `/api/phones/${ONE}`);
    const filled = body && JSON.parse(JSON.stringify(body).replace('LID', lid));
    const answer = await sim.call(method, path, filled);
    assert.deepEqual([answer.status, answer.body.error.code], [status, code]);
    assert.ok(answer.body.error.message.length > 5);
  });
}

test('malformed JSON is answered with 400', async () => {
  const response = await fetch(`${sim.url}/api/phones`, { method: 'POST', body: '{"number":', headers: { 'content-type': 'application/json' } });
  assert.equal(response.status, 400);
  assert.equal(/** @type {any} */ (await response.json()).error.code, 'invalid_request');
});

test('events come in order, from any point on', async () => {
  await sim.api('POST', `/api/phones/${ONE}/messages`, { to: TWO, text: 'an event' });
  const shown = await sim.until('message.shown', ({ account, message }) => account === TWO && message.text === 'an event');
  const response = await fetch(`${sim.url}/api/events?since=${shown.n - 1}`, { signal: AbortSignal.timeout(5000) });
  let text = '';
  for await (const chunk of /** @type {any} */ (response.body)) {
    text += Buffer.from(chunk).toString();
    if (text.includes('\ndata: ')) break;
  }
  const first = JSON.parse(String(text.split('\n').find((line) => line.startsWith('data: '))?.slice(6)));
  assert.deepEqual(first, shown);
  assert.deepEqual(sim.events.map(({ n }) => n), sim.events.map((_, i) => i + 1));
});

test('health and stats count', async () => {
  const health = await sim.api('GET', '/api/health');
  assert.equal(health.status, 'ok');
  assert.ok(health.phones >= 2 && health.rss_mb > 10 && health.uptime_s >= 0);
  const stats = await sim.api('GET', '/api/stats');
  const promised = [
    'connections', 'logins', 'logins_failed', 'pairings', 'qr_shown', 'messages', 'acks', 'duplicates', 'decrypt_failures', 'retry_receipts', 'bad_signatures',
  ];
  for (const counter of promised) {
    assert.equal(typeof stats[counter], 'number', counter);
  }
});

test('a version that makes no sense is refused', async () => {
  for (const change of [{ oldest: '2.2000.5' }, { current: '' }, { newest: '2.3000.1' }]) {
    assert.equal((await sim.call('POST', '/api/client-versions', change)).status, 400);
  }
});

test('nothing outside of the page is served', async () => {
  for (const path of ['/..%2fserver.js', '/%2e%2e/server.js', '/.%2e/%2e./package.json', '/../README.md', '/%2fetc/passwd.json', '/server.js']) {
    assert.equal(await rawStatus(path), 404, path);
  }
});

/** fetch would tidy the path up. @param {string} path @returns {Promise<number | undefined>} */
const rawStatus = (path) => new Promise((resolve, reject) => {
  const request = get({ host: '127.0.0.1', port: sim.port, path }, (response) => {
    response.resume();
    resolve(response.statusCode);
  });
  request.on('error', reject);
});

test('who does not speak the protocol is cut off, and nobody else', async () => {
  const ws = new WebSocket(sim.socketUrl);
  await once(ws, 'open');
  ws.send(Buffer.from('GET / HTTP/1.1'));
  await soon(once(ws, 'close'), 'the socket to be cut');
  const elsewhere = new WebSocket(sim.socketUrl.replace('/ws/chat', '/ws/other'));
  await assert.rejects(once(elsewhere, 'open'), /404/);
  const raw = connectSocket(sim.port, '127.0.0.1');
  raw.on('error', () => {});
  await once(raw, 'connect');
  raw.end(Buffer.from([0x16, 0x03, 0x01, 0x00, 0x01, 0x00]));
  await soon(once(raw.resume(), 'close'), 'the end of a broken TLS handshake');
  assert.equal((await sim.api('GET', '/api/health')).status, 'ok');
});

/** @param {string[]} args @returns {Promise<{code: number, lines: string[]}>} */
async function run(args) {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  let out = '';
  child.stdout.on('data', (chunk) => (out += chunk));
  const [code] = await soon(once(child, 'close'), 'the simulator to give up');
  return { code, lines: out.trim().split('\n') };
}

test('a taken port, and options that make no sense, are said in one line', async () => {
  for (const [args, reason] of /** @type {[string[], RegExp][]} */ ([
    [['--port', String(sim.port)], /is taken by another program/],
    [['--port', 'many'], /--port must be/],
    [['--log-level', 'shout'], /--log-level must be one of/],
    [['--colour'], /usage: main\.js/],
  ])) {
    const { code, lines } = await run(args);
    assert.equal(code, 1);
    assert.equal(lines.length, 1);
    const said = JSON.parse(String(lines[0]));
    assert.equal(said.ready, false);
    assert.match(said.error, reason);
  }
});

test('it leaves with its parent when told to', async () => {
  const other = await startSimulator();
  const exit = once(other.child, 'exit');
  other.child.stdin?.end();
  const [code] = await soon(exit, 'it to leave');
  assert.equal(code, 0);
});
