import { Curve, signedKeyPair } from 'baileys';
import { SessionRecord } from 'libsignal';
import { randomInt } from 'node:crypto';
import { typedKey } from '../wire/crypto.js';

/** @typedef {{id: number, value: Buffer, signature?: Buffer}} PublicPreKey */
/** What the server hands out so that somebody can write to a device for the first time.
 * @typedef {object} Bundle
 * @property {number} registrationId
 * @property {Buffer} identity 32 bytes
 * @property {{id: number, value: Buffer, signature: Buffer}} signedPreKey
 * @property {PublicPreKey | undefined} [preKey]
 * @property {Buffer} [signedIdentity] of linked devices
 */
/** @typedef {{identity: import('baileys').KeyPair, registrationId: number, signedPreKey?: import('baileys').SignedKeyPair, nextPreKey: number}} Secrets */

/** A phone's Signal keys and sessions, in the shape libsignal asks its store for.
 * Sessions are held serialized: libsignal changes a record even when it then fails to decrypt.
 */
export class PhoneKeys {
  #number;
  #store;
  #secrets;
  /** @type {Map<string, any>} */
  #sessions = new Map();
  /** @type {Map<number, import('baileys').KeyPair>} */
  #preKeys = new Map();

  /** @param {string} number @param {import('../persistence.js').Store} store */
  constructor(number, store) {
    this.#number = number;
    this.#store = store;
    this.#secrets = this.#load();
  }

  /** @returns {Secrets} */
  #load() {
    for (const [key, session] of this.#store.all(`session/${this.#number}/`)) this.#sessions.set(key.split('/').slice(2).join('/'), session);
    for (const [key, pair] of this.#store.all(`onetime/${this.#number}/`)) this.#preKeys.set(Number(key.split('/')[2]), pair);
    return this.#store.get(`secrets/${this.#number}`) ?? { identity: Curve.generateKeyPair(), registrationId: randomInt(1, 16_380), nextPreKey: 1 };
  }

  save() {
    this.#store.put(`secrets/${this.#number}`, this.#secrets);
  }

  get identity() {
    return this.#secrets.identity;
  }

  /** One-time pre-keys are made when they are asked for: a phone never runs out. @returns {Bundle} */
  takeBundle() {
    const id = this.#secrets.nextPreKey++;
    const pair = Curve.generateKeyPair();
    this.#preKeys.set(id, pair);
    this.#store.put(`onetime/${this.#number}/${id}`, pair);
    const { keyId, keyPair, signature } = this.#signedPreKey();
    this.save();
    return {
      registrationId: this.#secrets.registrationId,
      identity: Buffer.from(this.identity.public),
      signedPreKey: { id: keyId, value: Buffer.from(keyPair.public), signature: Buffer.from(signature) },
      preKey: { id, value: Buffer.from(pair.public) },
    };
  }

  /** Made at first use: a signature costs several milliseconds and most phones never need one. */
  #signedPreKey() {
    this.#secrets.signedPreKey ??= signedKeyPair(this.identity, 1);
    return this.#secrets.signedPreKey;
  }

  /** @param {string} address */
  session(address) {
    return this.#sessions.get(address);
  }

  /** @param {string} address @param {SessionRecord} record */
  saveSession(address, record) {
    const session = record.serialize();
    this.#sessions.set(address, session);
    this.#store.put(`session/${this.#number}/${address}`, session);
  }

  /** @param {string} address */
  dropSession(address) {
    this.#sessions.delete(address);
    this.#store.delete(`session/${this.#number}/${address}`);
  }

  erase() {
    for (const address of this.#sessions.keys()) this.#store.delete(`session/${this.#number}/${address}`);
    for (const id of this.#preKeys.keys()) this.#store.delete(`onetime/${this.#number}/${id}`);
    this.#store.delete(`secrets/${this.#number}`);
  }

  // What libsignal calls.

  /** @param {string} address */
  async loadSession(address) {
    const session = this.session(address);
    return session && SessionRecord.deserialize(session);
  }

  /** @param {string} address @param {SessionRecord} record */
  async storeSession(address, record) {
    this.saveSession(address, record);
  }

  /** Trust on first use, as phones do: a changed identity is a new phone. */
  isTrustedIdentity() {
    return true;
  }

  /** @param {number | string} id */
  async loadPreKey(id) {
    const pair = this.#preKeys.get(Number(id));
    return pair && { privKey: Buffer.from(pair.private), pubKey: typedKey(pair.public) };
  }

  /** @param {number} id */
  removePreKey(id) {
    this.#preKeys.delete(id);
    this.#store.delete(`onetime/${this.#number}/${id}`);
  }

  loadSignedPreKey() {
    const { keyPair } = this.#signedPreKey();
    return { privKey: Buffer.from(keyPair.private), pubKey: typedKey(keyPair.public) };
  }

  getOurRegistrationId() {
    return this.#secrets.registrationId;
  }

  getOurIdentity() {
    return { privKey: Buffer.from(this.identity.private), pubKey: typedKey(this.identity.public) };
  }
}
