import { once } from 'node:events';
import {
  aesDecryptGCM, aesEncryptGCM, Curve, decodeBinaryNode, encodeBinaryNode, encodeWAMessage, NOISE_MODE, NOISE_WA_HEADER, proto, sha256, signedKeyPair,
} from 'baileys';
import { WebSocket } from 'ws';
import { openStore, memoryStore } from '../simulator/persistence.js';
import { vouch } from '../simulator/phones/adv.js';
import { PhoneKeys } from '../simulator/phones/keys.js';
import { addressOf, encrypt, startSession } from '../simulator/phones/signal.js';
import { Registry } from '../simulator/registry.js';
import { hkdf } from '../simulator/wire/crypto.js';
import { frame } from '../simulator/wire/frames.js';
import { jidOf } from '../simulator/wire/jids.js';
import { bytes, child, childrenOf, el, uint } from '../simulator/wire/nodes.js';
import { soon } from './simulator-kit.js';

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

const NOTHING = Buffer.alloc(0);

/** @param {number} counter */
function nonce(counter) {
  const iv = Buffer.alloc(12);
  iv.writeUInt32BE(counter, 8);
  return iv;
}

/** The client's half of the handshake, without the two signature checks that cost Baileys 10 ms. */
class NoiseInitiator {
  ephemeral = Curve.generateKeyPair();
  #hash = sha256(Buffer.concat([sha256(Buffer.concat([Buffer.from(NOISE_MODE, 'latin1'), NOISE_WA_HEADER])), this.ephemeral.public]));
  #salt = Buffer.from(NOISE_MODE, 'latin1');
  #key = this.#salt;
  #counter = 0;
  #writes = 0;
  #reads = 0;

  hello() {
    return proto.HandshakeMessage.encode({ clientHello: { ephemeral: this.ephemeral.public } }).finish();
  }

  /** @param {Uint8Array} frame @param {proto.IClientPayload} payload */
  finish(frame, payload) {
    const { ephemeral, static: sealed, payload: chain } = /** @type {any} */ (proto.HandshakeMessage.decode(frame).serverHello);
    this.#authenticate(ephemeral);
    this.#mix(this.ephemeral.private, ephemeral);
    this.#mix(this.ephemeral.private, this.#decrypt(sealed));
    this.#decrypt(chain);
    const key = this.#encrypt(noise.public);
    this.#mix(noise.private, ephemeral);
    const finish = { static: key, payload: this.#encrypt(proto.ClientPayload.encode(payload).finish()) };
    const keys = hkdf(NOTHING, 64, { salt: this.#salt });
    this.keys = { write: keys.subarray(0, 32), read: keys.subarray(32) };
    return proto.HandshakeMessage.encode({ clientFinish: finish }).finish();
  }

  /** @param {Uint8Array} plain */
  seal(plain) {
    return aesEncryptGCM(plain, /** @type {any} */ (this.keys).write, nonce(this.#writes++), NOTHING);
  }

  /** @param {Uint8Array} sealed */
  open(sealed) {
    return aesDecryptGCM(sealed, /** @type {any} */ (this.keys).read, nonce(this.#reads++), NOTHING);
  }

  /** @param {Uint8Array} data */
  #authenticate(data) {
    this.#hash = sha256(Buffer.concat([this.#hash, data]));
  }

  /** @param {Uint8Array} secret @param {Uint8Array} theirs */
  #mix(secret, theirs) {
    const keys = hkdf(Curve.sharedKey(secret, theirs), 64, { salt: this.#salt });
    this.#salt = keys.subarray(0, 32);
    this.#key = keys.subarray(32);
    this.#counter = 0;
  }

  /** @param {Uint8Array} plain */
  #encrypt(plain) {
    const sealed = aesEncryptGCM(plain, this.#key, nonce(this.#counter++), this.#hash);
    this.#authenticate(sealed);
    return sealed;
  }

  /** @param {Uint8Array} sealed */
  #decrypt(sealed) {
    const plain = aesDecryptGCM(sealed, this.#key, nonce(this.#counter++), this.#hash);
    this.#authenticate(sealed);
    return plain;
  }
}

/** A client that does as little as the protocol lets it: for measuring the network, not the client. */
export class CheapClient {
  /** @type {Map<string, (node: import('baileys').BinaryNode) => void>} */
  #waiting = new Map();
  #ids = 0;
  #noise = new NoiseInitiator();
  /** @type {Set<string>} */ #sessions = new Set();

  /** @param {string} url @param {import('../simulator/registry.js').Account} account */
  constructor(url, account) {
    this.account = account;
    const store = { ...memoryStore(), get: () => ({ ...secrets }) };
    this.keys = new PhoneKeys(`${account.number}:1`, store);
    this.ws = new WebSocket(url);
    this.receipts = 0;
  }

  async login() {
    await soon(once(this.ws, 'open'), 'the socket to open');
    const hello = once(this.ws, 'message');
    this.ws.send(Buffer.concat([NOISE_WA_HEADER, frame(this.#noise.hello())]));
    const [answer] = await soon(hello, 'the server hello');
    const success = this.#expect('success');
    this.ws.on('message', (/** @type {Buffer} */ data) => void this.#read(data));
    this.ws.send(frame(this.#noise.finish(answer.subarray(3), { username: Number(this.account.number), device: 1, passive: true })));
    await success;
    await this.query('set', 'passive', el('active'));
  }

  /** The server writes one frame to a WebSocket message. @param {Buffer} data */
  async #read(data) {
    this.#take(await decodeBinaryNode(this.#noise.open(data.subarray(3))));
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
    return soon(new Promise((resolve) => this.#waiting.set(key, resolve)), `${key} for ${this.account.number}`, 60_000);
  }

  /** @param {import('baileys').BinaryNode} node */
  #send(node) {
    this.ws.send(frame(this.#noise.seal(encodeBinaryNode(node))));
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
      const { type, body } = await encrypt(this.keys, this.#addressOf(account), encodeWAMessage(/** @type {any} */ (content)));
      to.push(el('to', { jid: jidOf(account, 'pn') }, [el('enc', { v: '2', type }, body)]));
    }
    const id = `${this.account.number}-${++this.#ids}`;
    const ack = this.#expect(`ack:${id}`);
    this.#send(el('message', { id, to: jidOf(guest, 'pn'), type: 'text' }, [el('participants', {}, to), el('device-identity', {}, IDENTITY)]));
    return ack;
  }

  /** @param {import('../simulator/registry.js').Account} account */
  #addressOf({ number }) {
    return addressOf(`${this.account.number}:1`, { number, device: 0 });
  }

  /** @param {import('../simulator/registry.js').Account[]} accounts */
  async #meet(accounts) {
    if (!accounts.length) return;
    const answer = await this.query('get', 'encrypt', el('key', {}, accounts.map((account) => el('user', { jid: jidOf(account, 'pn') }))));
    const users = childrenOf(child(answer, 'list'), 'user');
    for (const [i, account] of accounts.entries()) {
      const [user, skey, key] = [users[i], child(users[i], 'skey'), child(users[i], 'key')];
      const value = (/** @type {import('baileys').BinaryNode | undefined} */ node) => /** @type {Buffer} */ (bytes(child(node, 'value')));
      await startSession(this.keys, this.#addressOf(account), {
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

