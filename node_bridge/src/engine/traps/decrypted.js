import { cleanMessage, decodeMessageNode, proto, unpadRandomMax16 } from 'baileys';
import { USED } from './signal-sessions.js';

const EMPTY = Buffer.of(1); // but for its padding

/**
 * Baileys puts a message's key on record as used, sends the receipt, and only then hands the message on: not at all when the socket closes or
 * the process dies in between, and what comes again then cannot be decrypted. So it is taken within the transaction that uses its key, before
 * that is committed: what has not been taken still has its key. What is handed on later is the same.
 *
 * What comes again under a key that is used has so been taken; only its receipt did not go out. Baileys would ask the customer's phone for it
 * once more. Here it finds nothing in it, and sends the receipt.
 * @param {any} sock @param {(message: any, offline: boolean) => void} taken
 */
export function takeDecrypted(sock, taken) {
  /** @type {WeakMap<object, any>} the stanza each ciphertext came in */
  const stanzas = new WeakMap();
  sock.ws.prependListener('CB:message', (/** @type {any} */ node) => {
    for (const child of Array.isArray(node.content) ? node.content : []) if (child.tag === 'enc' && child.content) stanzas.set(child.content, node);
  });
  const { signalRepository, authState: { creds, keys } } = sock;
  const decrypt = signalRepository.decryptMessage;
  const decryptAndTake = async (/** @type {any} */ options) => {
    const plain = await decrypt(options).catch(emptyIfUsed);
    const stanza = stanzas.get(options.ciphertext);
    const message = stanza && read(sock, stanza, plain);
    if (message) taken(message, Boolean(stanza.attrs.offline));
    return plain;
  };
  // Under the account's own lock, as in repository.js: the transaction within joins this one.
  signalRepository.decryptMessage = (/** @type {any} */ options) => keys.transaction(() => decryptAndTake(options), creds.me.id);
}

/** @param {Error} error @throws {Error} */
function emptyIfUsed(error) {
  if (error.name === USED) return EMPTY;
  throw error;
}

/** As Baileys reads it. @param {any} sock @param {any} stanza @param {Uint8Array} plain @returns {any} nothing when it makes no sense: Baileys will say so */
function read(sock, stanza, plain) {
  try {
    return cleaned(sock, stanza, proto.Message.decode(unpadRandomMax16(plain)));
  } catch {
    return undefined;
  }
}

/** @param {any} sock @param {any} stanza @param {any} content */
function cleaned(sock, stanza, content) {
  const { me } = sock.authState.creds;
  const { fullMessage } = decodeMessageNode(stanza, me.id, me.lid ?? '');
  const message = { ...fullMessage, message: content.deviceSentMessage?.message ?? content };
  cleanMessage(/** @type {any} */ (message), me.id, me.lid ?? '');
  return message;
}
