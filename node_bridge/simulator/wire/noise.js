import { aesDecryptGCM, aesEncryptGCM, Curve, NOISE_MODE, NOISE_WA_HEADER, proto, sha256 } from 'baileys';
import { hkdf } from './crypto.js';

const NOTHING = Buffer.alloc(0);

/** @param {number} counter */
function nonce(counter) {
  const iv = Buffer.alloc(12);
  iv.writeUInt32BE(counter, 8);
  return iv;
}

/** The responder of WhatsApp's Noise_XX_25519_AESGCM_SHA256. One for each socket; throws when a step does not verify. */
export class NoiseResponder {
  #identity;
  #ephemeral = Curve.generateKeyPair();
  #hash = Buffer.from(NOISE_MODE, 'latin1');
  #salt = this.#hash;
  #key = this.#hash;
  #counter = 0;
  /** @type {{read: Buffer, write: Buffer, reads: number, writes: number} | undefined} */
  #transport;

  /** @param {import('./certificates.js').ServerIdentity} identity */
  constructor(identity) {
    this.#identity = identity;
    this.#authenticate(NOISE_WA_HEADER);
  }

  /** Takes the client's hello, gives the server's.
   * @param {Buffer} frame
   */
  hello(frame) {
    const theirs = proto.HandshakeMessage.decode(frame).clientHello?.ephemeral;
    if (theirs?.length !== 32) throw new Error('client hello without an ephemeral key');
    const clientEphemeral = Buffer.from(theirs);
    this.#authenticate(clientEphemeral);
    this.#authenticate(this.#ephemeral.public);
    this.#mix(Curve.sharedKey(this.#ephemeral.private, clientEphemeral));
    const encryptedStatic = this.#encrypt(this.#identity.keys.public);
    this.#mix(Curve.sharedKey(this.#identity.keys.private, clientEphemeral));
    const payload = this.#encrypt(this.#identity.certificates);
    const serverHello = { ephemeral: this.#ephemeral.public, static: encryptedStatic, payload };
    return Buffer.from(proto.HandshakeMessage.encode({ serverHello }).finish());
  }

  /** Takes the client's finish; from here on frames are transport frames.
   * @param {Buffer} frame
   * @returns {{noisePublic: Buffer, payload: proto.ClientPayload}}
   */
  finish(frame) {
    const finish = proto.HandshakeMessage.decode(frame).clientFinish;
    if (!finish?.static || !finish.payload) throw new Error('client finish is incomplete');
    const noisePublic = this.#decrypt(Buffer.from(finish.static));
    this.#mix(Curve.sharedKey(this.#ephemeral.private, noisePublic));
    const payload = proto.ClientPayload.decode(this.#decrypt(Buffer.from(finish.payload)));
    const keys = hkdf(NOTHING, 64, { salt: this.#salt });
    this.#transport = { read: keys.subarray(0, 32), write: keys.subarray(32), reads: 0, writes: 0 };
    return { noisePublic, payload };
  }

  /** @param {Uint8Array} plain */
  seal(plain) {
    const t = this.#open();
    return aesEncryptGCM(plain, t.write, nonce(t.writes++), NOTHING);
  }

  /** @param {Uint8Array} sealed */
  unseal(sealed) {
    const t = this.#open();
    return aesDecryptGCM(sealed, t.read, nonce(t.reads++), NOTHING);
  }

  #open() {
    if (!this.#transport) throw new Error('handshake is not finished');
    return this.#transport;
  }

  /** @param {Uint8Array} data */
  #authenticate(data) {
    this.#hash = Buffer.from(sha256(Buffer.concat([this.#hash, data])));
  }

  /** @param {Buffer} secret */
  #mix(secret) {
    const keys = hkdf(secret, 64, { salt: this.#salt });
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

  /** @param {Buffer} sealed */
  #decrypt(sealed) {
    const plain = aesDecryptGCM(sealed, this.#key, nonce(this.#counter++), this.#hash);
    this.#authenticate(sealed);
    return plain;
  }
}
