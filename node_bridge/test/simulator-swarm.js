import { once } from 'node:events';
import { Curve, encodeBinaryNode, encodeWAMessage, makeNoiseHandler, NOISE_WA_HEADER, proto, signedKeyPair } from 'baileys';
import pino from 'pino';
import { WebSocket } from 'ws';
import { openStore, memoryStore } from '../simulator/persistence.js';
import { vouch } from '../simulator/phones/adv.js';
import { PhoneKeys } from '../simulator/phones/keys.js';
import { addressOf, encrypt, startSession } from '../simulator/phones/signal.js';
import { Registry } from '../simulator/registry.js';
import { jidOf } from '../simulator/wire/jids.js';
import { bytes, child, childrenOf, el, uint } from '../simulator/wire/nodes.js';

const log = pino({ level: 'silent' });
/** One key for everybody: making thousands is not what is measured. */
const noise = Curve.generateKeyPair();
const identity = Curve.generateKeyPair();
const secrets = { identity, registrationId: 7, signedPreKey: signedKeyPair(identity, 1), nextPreKey: 1 };

/** Writes a network with linked devices to a directory, as if they had been linked one by one.
 * @param {string} directory @param {{shops: number, guests: number}} size
 */
export async function populate(directory, { shops, guests }) {
  const store = await openStore(directory);
  const registry = new Registry(store);
  const add = (/** @type {string} */ number) => {
    store.put(`secrets/${number}`, secrets);
    return registry.add({ number, name: `Phone ${number}` });
  };
  const signedIdentity = signIdentity();
  const shopAccounts = Array.from({ length: shops }, (_, i) => add(`4917${String(i).padStart(8, '0')}`));
  const guestAccounts = Array.from({ length: guests }, (_, i) => add(`4916${String(i).padStart(8, '0')}`));
  const { keyPair, signature, keyId } = secrets.signedPreKey;
  for (const { number } of shopAccounts) {
    registry.addDevice({
      number, device: 1, noisePublic: Buffer.from(noise.public), identity: Buffer.from(identity.public), registrationId: 7,
      signedPreKey: { id: keyId, value: Buffer.from(keyPair.public), signature: Buffer.from(signature) }, preKeys: [], taken: 0,
      keyIndex: 1, signedIdentity, linkedAt: new Date().toISOString(), platform: 'swarm', historySent: true,
    });
  }
  await store.flush();
  store.close();
  return { shops: shopAccounts, guests: guestAccounts };
}

/** What a device ends up with after pairing, both signatures in it. */
function signIdentity() {
  const companionIdentity = Buffer.from(identity.public);
  const wrapped = vouch({ phone: identity, companionIdentity, advSecret: Buffer.alloc(32), keyIndex: 1, rawId: 1 });
  const signed = proto.ADVSignedDeviceIdentity.decode(/** @type {Uint8Array} */ (proto.ADVSignedDeviceIdentityHMAC.decode(wrapped).details));
  const details = /** @type {Uint8Array} */ (signed.details);
  const deviceSignature = Curve.sign(identity.private, Buffer.concat([Buffer.from([6, 1]), details, companionIdentity, identity.public]));
  return Buffer.from(proto.ADVSignedDeviceIdentity.encode({ ...signed, deviceSignature }).finish());
}

/** A client that does as little as the protocol lets it: for measuring the network, not the client. */
export class CheapClient {
  /** @type {Map<string, (node: import('baileys').BinaryNode) => void>} */
  #waiting = new Map();
  #ids = 0;
  /** @type {Set<string>} */ #sessions = new Set();

  /** @param {string} url @param {import('../simulator/registry.js').Account} account */
  constructor(url, account) {
    this.account = account;
    const ephemeral = Curve.generateKeyPair();
    this.noise = makeNoiseHandler({ keyPair: ephemeral, NOISE_HEADER: NOISE_WA_HEADER, logger: log });
    this.ephemeral = ephemeral;
    const store = { ...memoryStore(), get: () => ({ ...secrets }) };
    this.keys = new PhoneKeys(`${account.number}:1`, store);
    this.ws = new WebSocket(url);
    this.receipts = 0;
  }

  async login() {
    await once(this.ws, 'open');
    const hello = once(this.ws, 'message');
    this.ws.send(this.noise.encodeFrame(proto.HandshakeMessage.encode({ clientHello: { ephemeral: this.ephemeral.public } }).finish()));
    const [frame] = await hello;
    const key = this.noise.processHandshake(proto.HandshakeMessage.decode(frame.subarray(3)), noise);
    const payload = this.noise.encrypt(proto.ClientPayload.encode({ username: Number(this.account.number), device: 1, passive: true }).finish());
    this.ws.send(this.noise.encodeFrame(proto.HandshakeMessage.encode({ clientFinish: { static: key, payload } }).finish()));
    const success = this.#expect('success');
    await this.noise.finishInit();
    this.ws.on('message', (/** @type {Buffer} */ data) => this.noise.decodeFrame(data, (node) => this.#take(/** @type {any} */ (node))));
    await success;
    await this.query('set', 'passive', el('active'));
  }

  /** @param {any} node */
  #take(node) {
    const key = node.tag === 'iq' ? node.attrs.id : node.tag === 'ack' ? `ack:${node.attrs.id}` : node.tag;
    if (node.tag === 'receipt') {
      this.receipts++;
      this.#send(el('ack', { class: 'receipt', id: node.attrs.id, to: node.attrs.from, type: node.attrs.type }));
    }
    this.#waiting.get(key)?.(node);
    this.#waiting.delete(key);
  }

  /** @param {string} key @returns {Promise<import('baileys').BinaryNode>} */
  #expect(key) {
    return new Promise((resolve) => this.#waiting.set(key, resolve));
  }

  /** @param {import('baileys').BinaryNode} node */
  #send(node) {
    this.ws.send(this.noise.encodeFrame(encodeBinaryNode(node)));
  }

  /** @param {'get' | 'set'} type @param {string} xmlns @param {import('baileys').BinaryNode} what */
  query(type, xmlns, what) {
    const id = `q${++this.#ids}`;
    const answer = this.#expect(id);
    this.#send(el('iq', { id, type, xmlns, to: '@s.whatsapp.net' }, [what]));
    return answer;
  }

  /** @param {import('../simulator/registry.js').Account} guest @param {string} text */
  async send(guest, text) {
    const targets = [guest, this.account];
    await this.#meet(targets.filter(({ number }) => !this.#sessions.has(number)));
    const message = { conversation: text };
    const copy = { deviceSentMessage: { destinationJid: jidOf(guest, 'pn'), message } };
    const to = [];
    for (const [account, content] of /** @type {const} */ ([[guest, message], [this.account, copy]])) {
      const { type, body } = await encrypt(this.keys, addressOf(`${this.account.number}:1`, { number: account.number, device: 0 }), encodeWAMessage(/** @type {any} */ (content)));
      to.push(el('to', { jid: jidOf(account, 'pn') }, [el('enc', { v: '2', type }, body)]));
    }
    const id = `${this.account.number}-${++this.#ids}`;
    const ack = this.#expect(`ack:${id}`);
    this.#send(el('message', { id, to: jidOf(guest, 'pn'), type: 'text' }, [el('participants', {}, to), el('device-identity', {}, IDENTITY)]));
    return ack;
  }

  /** @param {import('../simulator/registry.js').Account[]} accounts */
  async #meet(accounts) {
    if (!accounts.length) return;
    const answer = await this.query('get', 'encrypt', el('key', {}, accounts.map((account) => el('user', { jid: jidOf(account, 'pn') }))));
    const users = childrenOf(child(answer, 'list'), 'user');
    for (const [i, account] of accounts.entries()) {
      const [user, skey, key] = [users[i], child(users[i], 'skey'), child(users[i], 'key')];
      const value = (/** @type {import('baileys').BinaryNode | undefined} */ node) => /** @type {Buffer} */ (bytes(child(node, 'value')));
      await startSession(this.keys, addressOf(`${this.account.number}:1`, { number: account.number, device: 0 }), {
        registrationId: 7,
        identity: /** @type {Buffer} */ (bytes(child(user, 'identity'))),
        signedPreKey: { id: uint(child(skey, 'id')) ?? 0, value: value(skey), signature: /** @type {Buffer} */ (bytes(child(skey, 'signature'))) },
        preKey: { id: uint(child(key, 'id')) ?? 0, value: value(key) },
      });
      this.#sessions.add(account.number);
    }
  }

  close() {
    this.ws.terminate();
  }
}

const IDENTITY = signIdentity();

