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
  it('logs in and sends a message that the server decrypts and acks', async (t) => {
    /** @type {any[]} */
    const seen = [];
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
    const bridge = await Bridge.start({ WA_SOCKET_URL: server.manifest.endpoints.baileysWebSocketUrl });
    t.after(() => bridge.stop('SIGKILL'));

    await bridge.open(id, { term: 1 });
    await bridge.status(id, (status) => status.state === 'connected');
    const message = text(CUSTOMER, 'a second opinion', { to: { phone: CUSTOMER, address: `${CUSTOMER.slice(1)}@s.whatsapp.net` } });
    const { body } = await bridge.send(id, message);
    assert.equal(body.outcome, 'acked');
    assert.ok(seen.some((event) => JSON.stringify(event).includes('a second opinion')));
  });
});
