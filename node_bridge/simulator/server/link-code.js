import { aesDecryptCTR, aesDecryptGCM, aesEncryptCTR, Curve, derivePairingCodeKey } from 'baileys';
import { randomBytes } from 'node:crypto';
import { ControlError, QueryError } from '../errors.js';
import { hkdf } from '../wire/crypto.js';
import { parseJid } from '../wire/jids.js';
import { bytes, child, el, seconds, SERVER } from '../wire/nodes.js';

/** @typedef {import('baileys').BinaryNode} Node */
/** @typedef {import('../wire/connection.js').Connection} Connection */
/** A device that waits for its code to be entered on the phone. `finish` gets the client's key bundle.
 * @typedef {{candidate: import('./pairing.js').Candidate, number: string, ref: Buffer, wrapped: Buffer,
 *   finish?: ((bundle: Buffer) => void) | undefined}} Request
 */

const FINISH_TIMEOUT_MS = 15_000;
const BUNDLE_KEY = 'link_code_pairing_key_bundle_encryption_key';

/** Linking by a code of eight characters instead of a QR. */
export class LinkCodes {
  #net;
  /** @type {WeakMap<Connection, import('./pairing.js').Candidate>} */
  #candidates = new WeakMap();
  /** @type {Map<Connection, Request>} */
  #requests = new Map();

  /** @param {import('../network.js').Network} net */
  constructor(net) {
    this.#net = net;
  }

  /** @param {import('./pairing.js').Candidate} candidate */
  offer(candidate) {
    this.#candidates.set(candidate.conn, candidate);
  }

  /** What the device says: hello with its wrapped key, later finish with the bundle. @param {Connection} conn @param {Node} said @returns {Node[]} */
  take(conn, said) {
    const candidate = this.#candidates.get(conn);
    if (!candidate) throw new QueryError(400, 'bad-request');
    if (said.attrs.stage === 'companion_hello') return this.#hello(candidate, said);
    const bundle = bytes(child(said, 'link_code_pairing_wrapped_key_bundle'));
    const request = this.#requests.get(conn);
    if (!bundle || !request?.finish) throw new QueryError(400, 'bad-request');
    request.finish(Buffer.from(bundle));
    return [];
  }

  /** @param {import('./pairing.js').Candidate} candidate @param {Node} said */
  #hello(candidate, said) {
    const number = parseJid(said.attrs.jid)?.user ?? '';
    const wrapped = bytes(child(said, 'link_code_pairing_wrapped_companion_ephemeral_pub'));
    if (!this.#net.registry.account(number)) throw new QueryError(404, 'item-not-found');
    if (wrapped?.length !== 80) throw new QueryError(400, 'bad-request');
    const ref = randomBytes(16);
    this.#requests.set(candidate.conn, { candidate, number, ref, wrapped: Buffer.from(wrapped) });
    this.#net.onClosed(candidate.conn, () => this.#requests.delete(candidate.conn));
    this.#net.journal.tell('code.requested', { account: number });
    return [el('link_code_companion_reg', { stage: 'companion_hello' }, [el('link_code_pairing_ref', {}, ref)])];
  }

  /** The person enters the code. A wrong one shows only when the device's answer cannot be opened, as on a real phone.
   * @param {import('../phones/phone.js').Phone} phone @param {string} code @throws {ControlError} code_unknown
   */
  async enter(phone, code) {
    const wanted = code.toUpperCase().replace(/[^0-9A-Z]/g, '');
    for (const request of [...this.#requests.values()].reverse()) {
      const advSecret = request.number === phone.number && (await this.#exchange(request, phone, wanted));
      if (advSecret) return this.#net.pairing.link(phone, request.candidate, advSecret);
    }
    throw new ControlError(409, 'code_unknown', 'no device waits for this code');
  }

  /** @param {Request} request @param {import('../phones/phone.js').Phone} phone @param {string} code
   * @returns {Promise<Buffer | undefined>} the secret, when the code was right
   */
  async #exchange(request, phone, code) {
    const { identity } = phone.keys;
    const ephemeral = Curve.generateKeyPair();
    const companionEphemeral = await unwrap(request.wrapped, code);
    const finished = this.#finished(request);
    request.candidate.conn.send(el('notification', { from: SERVER, type: 'link_code_companion_reg', id: `code-${Date.now()}`, t: seconds() }, [
      el('link_code_companion_reg', { stage: 'primary_hello' }, [
        el('link_code_pairing_ref', {}, request.ref),
        el('link_code_pairing_wrapped_primary_ephemeral_pub', {}, await wrap(Buffer.from(ephemeral.public), code)),
        el('primary_identity_pub', {}, Buffer.from(identity.public)),
      ]),
    ]));
    const bundle = await finished;
    const shared = Curve.sharedKey(ephemeral.private, companionEphemeral);
    return bundle && openBundle(bundle, shared, request.candidate.identity, identity);
  }

  /** @param {Request} request @returns {Promise<Buffer | undefined>} */
  #finished(request) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), FINISH_TIMEOUT_MS);
      this.#net.onClosed(request.candidate.conn, () => resolve(undefined));
      request.finish = (bundle) => {
        clearTimeout(timer);
        resolve(bundle);
      };
    });
  }
}

/** @param {Buffer} wrapped salt 32, iv 16, key 32 @param {string} code */
async function unwrap(wrapped, code) {
  const key = await derivePairingCodeKey(code, wrapped.subarray(0, 32));
  return aesDecryptCTR(wrapped.subarray(48, 80), key, wrapped.subarray(32, 48));
}

/** @param {Buffer} publicKey @param {string} code */
async function wrap(publicKey, code) {
  const [salt, iv] = [randomBytes(32), randomBytes(16)];
  return Buffer.concat([salt, iv, aesEncryptCTR(publicKey, await derivePairingCodeKey(code, salt), iv)]);
}

/** @param {Buffer} bundle salt 32, iv 12, sealed @param {Buffer} shared
 * @param {Buffer} companionIdentity @param {import('baileys').KeyPair} phone
 * @returns {Buffer | undefined}
 */
function openBundle(bundle, shared, companionIdentity, phone) {
  const key = hkdf(shared, 32, { salt: bundle.subarray(0, 32), info: BUNDLE_KEY });
  try {
    const plain = aesDecryptGCM(bundle.subarray(44), key, bundle.subarray(32, 44), Buffer.alloc(0));
    const expected = Buffer.concat([companionIdentity, phone.public]);
    if (!plain.subarray(0, 64).equals(expected)) return undefined;
    const identities = Curve.sharedKey(phone.private, companionIdentity);
    return hkdf(Buffer.concat([shared, identities, plain.subarray(64, 96)]), 32, { info: 'adv_secret' });
  } catch {
    return undefined;
  }
}
