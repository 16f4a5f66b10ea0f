import { cleanMessage, decodeMessageNode, proto, unpadRandomMax16 } from 'baileys';

/**
 * Baileys sends the receipt for a message before it hands the message on, and hands nothing on when the socket closes in between. By then the
 * key is used, so the message cannot be decrypted when it comes again. It is taken as soon as it has been decrypted; what is handed on later is the same.
 * @param {any} sock @param {(message: any, offline: boolean) => void} taken
 */
export function takeDecrypted(sock, taken) {
  /** @type {WeakMap<object, any>} the stanza each ciphertext came in */
  const stanzas = new WeakMap();
  sock.ws.prependListener('CB:message', (/** @type {any} */ node) => {
    for (const child of Array.isArray(node.content) ? node.content : []) if (child.tag === 'enc' && child.content) stanzas.set(child.content, node);
  });
  const { signalRepository } = sock;
  const decrypt = signalRepository.decryptMessage;
  signalRepository.decryptMessage = async (/** @type {any} */ options) => {
    const plain = await decrypt(options);
    const stanza = stanzas.get(options.ciphertext);
    const message = stanza && read(sock, stanza, plain);
    if (message) taken(message, Boolean(stanza.attrs.offline));
    return plain;
  };
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
