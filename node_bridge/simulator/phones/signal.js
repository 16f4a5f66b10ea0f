import { ProtocolAddress, SessionBuilder, SessionCipher, SessionRecord } from 'libsignal';
import { PreKeyWhisperMessage } from 'libsignal/src/protobufs.js';
import { signatureIsGood, typedKey } from '../wire/crypto.js';

const SESSIONS_KEPT = 40;

/** The ciphertext cannot be read. `oldCounter`: its key was used before, so this or another message came with it already. */
export class Undecryptable extends Error {
  /** @param {string} message @param {boolean} [oldCounter] */
  constructor(message, oldCounter = false) {
    super(message);
    this.oldCounter = oldCounter;
  }
}

/** @typedef {import('./keys.js').PhoneKeys} PhoneKeys */

/** One phone's conversation with one device. libsignal queues its jobs by address, process-wide: hence the owner in the name.
 * @param {string} owner
 * @param {{number: string, device: number}} peer
 */
export const addressOf = (owner, { number, device }) => new ProtocolAddress(`${owner}>${number}`, device);

/** @param {PhoneKeys} keys @param {ProtocolAddress} address @param {'msg' | 'pkmsg'} type @param {Buffer} ciphertext
 * @returns {Promise<{plain: Buffer, identity?: Buffer}>} `identity`: 32 bytes, of the sender, when the message names it
 * @throws {Undecryptable}
 */
export async function decrypt(keys, address, type, ciphertext) {
  try {
    return type === 'pkmsg' ? await decryptFirst(keys, address, ciphertext) : await decryptNext(keys, address, ciphertext);
  } catch (error) {
    if (error instanceof Undecryptable) throw error;
    throw new Undecryptable(/** @type {Error} */ (error).message, isOldCounter(error));
  }
}

/** @param {PhoneKeys} keys @param {ProtocolAddress} address @param {Buffer} ciphertext */
async function decryptFirst(keys, address, ciphertext) {
  const first = PreKeyWhisperMessage.decode(ciphertext.subarray(1));
  const record = /** @type {any} */ ((await keys.loadSession(address.toString())) ?? new SessionRecord());
  if (!record.getSession(first.baseKey)) closeOpenSession(record);
  const builder = /** @type {any} */ (new SessionBuilder(/** @type {any} */ (keys), address));
  const preKeyId = await builder.initIncoming(record, first);
  const plain = await cipher(keys, address).doDecryptWhisperMessage(first.message, record.getSession(first.baseKey));
  forgetOldSessions(record);
  keys.saveSession(address.toString(), record);
  if (preKeyId) keys.removePreKey(preKeyId);
  return { plain, identity: Buffer.from(first.identityKey).subarray(1) };
}

/** Tries every session there is, each on a fresh copy of the record: a failed attempt spoils what it was tried on.
 * @param {PhoneKeys} keys @param {ProtocolAddress} address @param {Buffer} ciphertext
 */
async function decryptNext(keys, address, ciphertext) {
  let oldCounter = false;
  let reason = 'no session';
  const count = Object.keys(keys.session(address.toString())?._sessions ?? {}).length;
  for (let i = 0; i < count; i++) {
    const record = /** @type {any} */ (await keys.loadSession(address.toString()));
    const session = record.getSessions()[i];
    try {
      const plain = await cipher(keys, address).doDecryptWhisperMessage(ciphertext, session);
      session.indexInfo.used = Date.now();
      keys.saveSession(address.toString(), record);
      return { plain };
    } catch (error) {
      oldCounter ||= isOldCounter(error);
      reason = /** @type {Error} */ (error).message;
    }
  }
  throw new Undecryptable(reason, oldCounter);
}

/** @param {PhoneKeys} keys @param {ProtocolAddress} address @param {Uint8Array} plain
 * @returns {Promise<{type: 'msg' | 'pkmsg', body: Buffer}>}
 */
export async function encrypt(keys, address, plain) {
  const { type, body } = await new SessionCipher(/** @type {any} */ (keys), address).encrypt(Buffer.from(plain));
  return { type: type === 3 ? 'pkmsg' : 'msg', body: Buffer.from(/** @type {any} */ (body)) };
}

/** @param {PhoneKeys} keys @param {ProtocolAddress} address */
export const hasSession = async (keys, address) => !!(await keys.loadSession(address.toString()))?.haveOpenSession();

/** Starts a session from a device's bundle.
 * @param {PhoneKeys} keys @param {ProtocolAddress} address @param {import('./keys.js').Bundle} bundle
 * @returns {Promise<boolean>} false when the bundle's signature is wrong; nothing is stored then
 */
export async function startSession(keys, address, bundle) {
  const { signedPreKey: signed, preKey } = bundle;
  if (!signatureIsGood(bundle.identity, typedKey(signed.value), signed.signature)) return false;
  const record = await keys.loadSession(address.toString());
  if (record) {
    closeOpenSession(/** @type {any} */ (record));
    keys.saveSession(address.toString(), record);
  }
  await new SessionBuilder(/** @type {any} */ (keys), address).initOutgoing(/** @type {any} */ ({
    registrationId: bundle.registrationId,
    identityKey: typedKey(bundle.identity),
    signedPreKey: { keyId: signed.id, publicKey: typedKey(signed.value), signature: signed.signature },
    preKey: preKey && { keyId: preKey.id, publicKey: typedKey(preKey.value) },
  }));
  return true;
}

/** @param {PhoneKeys} keys @param {ProtocolAddress} address @returns {any} libsignal's types leave out what is used here */
const cipher = (keys, address) => new SessionCipher(/** @type {any} */ (keys), address);

/** @param {unknown} error */
const isOldCounter = (error) => /** @type {Error} */ (error)?.name === 'MessageCounterError';

/** libsignal's own way prints the session, private keys included. @param {any} record */
function closeOpenSession(record) {
  const open = record.getOpenSession();
  if (open) open.indexInfo.closed = Date.now();
}

/** @param {any} record */
function forgetOldSessions(record) {
  const closed = Object.entries(record.sessions).filter(([, session]) => session.indexInfo.closed !== -1);
  closed.sort(([, a], [, b]) => a.indexInfo.closed - b.indexInfo.closed);
  for (const [key] of closed.slice(0, Math.max(0, closed.length - SESSIONS_KEPT + 1))) delete record.sessions[key];
}
