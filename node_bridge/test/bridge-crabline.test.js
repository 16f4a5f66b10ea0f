import { startWhatsAppServer } from '@openclaw/crabline';
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { initAuthCreds } from 'baileys';
import { makeLog } from '../src/log.js';
import { KeyRing } from '../src/store/keyring.js';
import { Store } from '../src/store/store.js';
import { Bridge, KEYS, scratch } from './support/bridge.js';
import { databaseUrl, TestDatabase } from './support/database.js';
import { text } from './support/stage.js';
import { until } from './support/until.js';
import { Web } from './support/web.js';

const OWN = '15550000000';
const CUSTOMER = '+15551234567';

/** It knows logging in but not linking: a session that looks linked. @param {string} id */
async function pretendLinked(id) {
  const store = new Store({ url: databaseUrl, connections: 1, ring: KeyRing.parse(KEYS), log: makeLog('silent') });
  const { vault } = await store.open(id, 1);
  const account = { details: Buffer.from('d'), accountSignatureKey: Buffer.alloc(32), accountSignature: Buffer.alloc(64), deviceSignature: Buffer.alloc(64) };
  await vault.saveCreds({ ...initAuthCreds(), me: { id: `${OWN}:1@s.whatsapp.net`, name: 'Trattoria' }, account, accountSyncCounter: 1 });
  await store.close();
}

describe('against an independent fake WhatsApp server', () => {
  it('logs in, sends a message that the server decrypts and acks, and acks what it receives (#1910)', async (t) => {
    /** @type {any[]} */
    const seen = [];
    const web = await Web.start();
    t.after(() => web.stop());
    const server = await startWhatsAppServer({
      selfJid: `${OWN}@s.whatsapp.net`,
      recorderPath: join(scratch(), 'recorded.jsonl'),
      onEvent: (event) => void seen.push(event),
    });
    t.after(() => server.close());
    const db = new TestDatabase();
    t.after(() => db.close());
    const id = await db.makeSession();
    await pretendLinked(id);
    const bridge = await Bridge.start({ WA_SOCKET_URL: server.manifest.endpoints.baileysWebSocketUrl, WEB_URL: web.url });
    t.after(() => bridge.stop('SIGKILL'));

    await bridge.open(id, { term: 1 });
    await bridge.status(id, (status) => status.state === 'connected');
    const message = text(CUSTOMER, 'a second opinion', { to: { phone: CUSTOMER, address: `${CUSTOMER.slice(1)}@s.whatsapp.net` } });
    const { body } = await bridge.send(id, message);
    assert.equal(body.outcome, 'acked');
    assert.ok(seen.some((event) => JSON.stringify(event).includes('a second opinion')));

    const sender = `${CUSTOMER.slice(1)}@s.whatsapp.net`;
    const typed = await fetch(server.manifest.endpoints.adminInboundUrl, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-crabline-admin-token': server.manifest.adminToken },
      body: JSON.stringify({ chatJid: sender, senderJid: sender, text: 'and an answer' }),
    });
    assert.equal(typed.status, 200);
    const { data } = await web.event((event) => event.type === 'message.received');
    assert.deepEqual([data.text, data.phone], ['and an answer', CUSTOMER]);
    const isAck = (/** @type {any} */ { body: node }) => node?.tag === 'ack' && node.attrs.class === 'message' && node.attrs.id === data.id;
    await until(async () => seen.some(isAck));
  });
});
