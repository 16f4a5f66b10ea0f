import assert from 'node:assert/strict';
import { createCipheriv, createHash, createHmac, randomBytes } from 'node:crypto';
import { Agent, get } from 'node:https';
import { after, before, test } from 'node:test';
import { MediaStore } from '../simulator/media/store.js';
import { hkdf } from '../simulator/wire/crypto.js';
import { linked, startSimulator } from './simulator-kit.js';

const SHOP = '+4915120000001';
const GUEST = '+4915120000002';

/** @type {import('./simulator-kit.js').Simulator} */
let sim;
/** @type {Agent} */
let agent;
before(async () => {
  sim = await startSimulator();
  await sim.phone(SHOP);
  await sim.phone(GUEST);
  agent = new Agent({ ca: (await sim.api('GET', '/api/certificates')).media_ca });
});
after(() => sim.stop());

/** @param {string} url @returns {Promise<{status: number | undefined, body: Buffer}>} */
function download(url) {
  return new Promise((resolve, reject) => {
    get(url, { agent }, async (response) => {
      const chunks = [];
      for await (const chunk of response) chunks.push(chunk);
      resolve({ status: response.statusCode, body: Buffer.concat(chunks) });
    }).on('error', reject);
  });
}

test('a document goes up encrypted through the media host, and the phone opens it', async () => {
  const { client } = await linked(sim, SHOP, { fetchAgent: agent });
  const receipt = randomBytes(70_000);
  const sent = await client.sock.sendMessage('4915120000002@s.whatsapp.net', { document: receipt, mimetype: 'application/pdf', fileName: 'receipt.pdf' });
  const id = String(sent?.key.id);
  const event = await sim.until('message.shown', ({ account, message }) => account === GUEST && message.id === id);
  assert.deepEqual([event.message.kind, event.message.text, event.message.media.mimetype], ['document', 'receipt.pdf', 'application/pdf']);

  const opened = await fetch(`${sim.url}/api/phones/${GUEST}/media/${id}`);
  assert.equal(opened.headers.get('content-type'), 'application/pdf');
  assert.ok(Buffer.from(await opened.arrayBuffer()).equals(receipt));

  const stored = await download(String(sent?.message?.documentMessage?.url ?? sent?.message?.documentWithCaptionMessage?.message?.documentMessage?.url));
  assert.equal(stored.status, 200);
  assert.ok(!stored.body.includes(receipt.subarray(0, 64)), 'the media host holds only ciphertext');
  await client.end();
});

test('the media host refuses a body that is not what its name says', async () => {
  const name = createHash('sha256').update('something else').digest('base64url');
  const headers = { 'content-type': 'application/octet-stream' };
  const response = await fetch(`${sim.url}/mms/image/${name}`, { method: 'POST', body: Buffer.from('this'), headers });
  assert.equal(response.status, 400);
  assert.equal((await fetch(`${sim.url}/mms/d/${name}`)).status, 404);
});

test('a phone opens only what the message says: right key, right mac, right hash', () => {
  const store = new MediaStore(undefined);
  const mediaKey = randomBytes(32);
  const plain = Buffer.from('a picture');
  const body = encrypted(mediaKey, plain);
  const name = (/** @type {Buffer} */ bytes) => createHash('sha256').update(bytes).digest('base64url');
  const tampered = Buffer.from(body);
  tampered[3] = (tampered[3] ?? 0) ^ 1;
  for (const each of [body, tampered]) assert.ok(store.put(name(each), each));
  const fileSha256 = createHash('sha256').update(plain).digest();
  const media = { mediaKey, directPath: `/mms/d/${name(body)}`, fileSha256, mimetype: 'image/jpeg', type: /** @type {const} */ ('image') };
  assert.deepEqual(store.open(media), plain);
  assert.equal(store.open({ ...media, directPath: `/mms/d/${name(tampered)}` }), undefined);
  assert.equal(store.open({ ...media, fileSha256: randomBytes(32) }), undefined);
  assert.equal(store.open({ ...media, mediaKey: randomBytes(32) }), undefined);
  assert.equal(store.get('../../etc/passwd'), undefined);
});

/** @param {Buffer} mediaKey @param {Buffer} plain */
function encrypted(mediaKey, plain) {
  const keys = hkdf(mediaKey, 112, { info: 'WhatsApp Image Keys' });
  const iv = keys.subarray(0, 16);
  const cipher = createCipheriv('aes-256-cbc', keys.subarray(16, 48), iv);
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([sealed, createHmac('sha256', keys.subarray(48, 80)).update(iv).update(sealed).digest().subarray(0, 10)]);
}
