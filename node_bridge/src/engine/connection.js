import { S_WHATSAPP_NET } from 'baileys';
import { Directory } from './directory.js';
import { holdBack } from './hold-back.js';
import { Inbound } from './inbound.js';
import { Linking } from './linking.js';
import { Pulse } from './pulse.js';
import { Restrictions } from './restrictions.js';
import { Sender } from './sender.js';
import { closeSocket, cutOff, openSocket } from './socket.js';
import { issueToken } from './tokens.js';

const ANSWER_MS = 20_000;
const LAST_WORDS = ['CB:stream:error', 'CB:failure', 'CB:xmlstreamend'];

/** @typedef {import('./session.js').SessionOptions} SessionOptions */
/**
 * @typedef {object} Listeners
 * @property {(update: any) => void} onUpdate - the engine's `connection.update`
 * @property {() => void} onCreds - the credentials have changed in place
 * @property {() => void} onPasskey
 * @property {(cause: string) => void} onDead - it is dead without having ended
 * @property {() => void} onLetIn - the login was accepted; the connection opens later
 * @property {() => void} onSilent - the server has never said anything
 * @property {() => void} onStalled - what has waited for us does not come to its end
 * @property {(httpStatus: number) => void} onRefused - something answered HTTP instead of opening the WebSocket; Baileys would wait for ever
 */

/** One socket of a session and everything that works through it. It opens at once. */
export class Connection {
  #sock;

  /** @param {{options: SessionOptions, creds: any, ended: AbortSignal, listeners: Listeners}} parts */
  constructor({ options, creds, ended, listeners }) {
    const { vault, memory, inquiry, clientVersion, socketUrl, log, tell } = options;
    const inbound = new Inbound({ seen: memory.seen, tell: (data) => tell('message.received', data) });
    this.version = clientVersion.current;
    const { sock, devices } = openSocket({
      vault,
      creds,
      version: this.version,
      socketUrl,
      log,
      onEncrypt: () => this.sender.noteEncryption(),
      onPasskey: listeners.onPasskey,
      onStalled: listeners.onStalled,
      onMessage: (message, offline) => inbound.take(message, offline),
    });
    this.#sock = sock;
    this.pulse = new Pulse({ sock, onDead: listeners.onDead });
    this.directory = new Directory({ sock, vault, lookups: memory.lookups, moved: memory.moved, inquiry, devices });
    this.linking = creds.account ? null : new Linking({ sock, ended });
    this.restrictions = new Restrictions({ sock, ended, tell, log });
    this.sender = this.#makeSender({ options, ended, devices });
    this.#expectAnswer(ended, listeners.onSilent);
    this.#expectEnd();
    this.#listen(listeners);
    holdBack(sock, { ...options, tellReceipt: (data) => tell('message.receipt', data), onArrived: (id) => this.sender.noteArrival(id) });
  }

  /** Tells WhatsApp that this device is no longer linked. @param {string} jid @param {number} withinMs @returns {Promise<boolean>} whether it answered */
  unlink(jid, withinMs) {
    const content = [{ tag: 'remove-companion-device', attrs: { jid, reason: 'user_initiated' } }];
    const query = { tag: 'iq', attrs: { to: S_WHATSAPP_NET, type: 'set', xmlns: 'md' }, content };
    return this.#sock.query(query, withinMs).then(Boolean, () => false);
  }

  close() {
    this.pulse.stop();
    closeSocket(this.#sock).catch(() => {}); // it is gone in any case
  }

  /** From the opening of the socket to the server's first word. @param {AbortSignal} ended @param {() => void} onSilent */
  #expectAnswer(ended, onSilent) {
    const { ws, ev } = this.#sock;
    const late = setTimeout(onSilent, ANSWER_MS);
    const enough = () => clearTimeout(late);
    ws.once('frame', enough);
    ev.on('connection.update', (/** @type {any} */ { connection }) => connection === 'close' && enough());
    ended.addEventListener('abort', enough, { once: true });
  }

  /** After its last words the server closes. One that does not is left: Baileys would wait half a minute for it, and the pulse give another reason. */
  #expectEnd() {
    const leave = () => {
      this.pulse.stop();
      cutOff(this.#sock).unref();
    };
    for (const words of LAST_WORDS) this.#sock.ws.on(words, leave);
  }

  /** @param {{options: SessionOptions, ended: AbortSignal, devices: import('./devices.js').DeviceCache}} parts */
  #makeSender({ options: { vault, memory, log, tell, ackTimeoutMs, mayAct }, ended, devices }) {
    const sock = this.#sock;
    return new Sender({
      sock,
      vault,
      directory: this.directory,
      devices,
      deviceHashes: memory.deviceHashes,
      ended,
      mayAct,
      ackTimeoutMs,
      log,
      onLateAck: (id, code) => tell('message.ack', { id, ...(code ? { code } : {}) }),
      onRestricted: () => this.restrictions.refused(),
      onAcked: (address) => issueToken({ sock, vault, address, now: Date.now() }),
    });
  }

  /** @param {Listeners} listeners */
  #listen({ onUpdate, onCreds, onLetIn, onRefused }) {
    const { ws, ev } = this.#sock;
    ws.on('CB:success', onLetIn);
    ws.on('unexpected-response', (/** @type {any} */ _request, /** @type {any} */ response) => onRefused(response.statusCode));
    ev.on('creds.update', onCreds);
    ev.on('connection.update', onUpdate);
  }
}
