import { on } from 'node:events';
import { BridgeError } from '../errors.js';

/** @typedef {{text: string, generated_at: string, expires_at: string}} Qr */
/** @typedef {{code: string, expires_at: string}} PairingCode */

const FIRST_QR_MS = 60_000;
const NEXT_QR_MS = 20_000;
const ALL_QRS_MS = FIRST_QR_MS + 5 * NEXT_QR_MS; // the server gives six; then the link attempt is over
const ANSWER_MS = 5_000;
const READY_MS = 20_000; // from the request to the first QR code

/** The QR codes and the pairing code of one connection that is to link a phone; the session may go on with another one. */
export class Linking {
  /** @type {Qr | null} */ qr = null;
  /** @type {PairingCode | null} */ pairingCode = null;
  #startedAt = 0;
  #started = () => {};
  #ready = new Promise((resolve) => (this.#started = () => resolve(undefined)));
  #sock;
  #ended;
  #readyMs;

  /** @param {{sock: any, ended: AbortSignal, readyMs?: number}} options */
  constructor({ sock, ended, readyMs = READY_MS }) {
    const closed = new AbortController();
    sock.ev.on('connection.update', (/** @type {any} */ { connection }) => connection === 'close' && closed.abort());
    this.#sock = sock;
    this.#ended = AbortSignal.any([ended, closed.signal]);
    this.#readyMs = readyMs;
  }

  /** @param {string} text */
  show(text) {
    const now = Date.now();
    this.qr = { text, generated_at: iso(now), expires_at: iso(now + (this.#startedAt ? NEXT_QR_MS : FIRST_QR_MS)) };
    this.#startedAt ||= now;
    this.#started();
  }

  /** @param {string} phone - E.164 @returns {Promise<PairingCode>} @throws {BridgeError} */
  async requestCode(phone) {
    await before(this.#ready, AbortSignal.any([this.#ended, AbortSignal.timeout(this.#readyMs)]));
    return before(this.#requestCode(phone), this.#ended);
  }

  /** @param {string} phone @returns {Promise<PairingCode>} @throws {BridgeError} */
  async #requestCode(phone) {
    const answer = this.#answer();
    const code = await this.#sock.requestPairingCode(phone.replace('+', '')).catch(closing);
    // Baileys makes the code up itself and never hears whether the server took it.
    if ((await answer) === 'refused') throw new BridgeError('invalid_request', 'WhatsApp refused a pairing code for this number');
    this.pairingCode = { code, expires_at: iso(this.#startedAt + ALL_QRS_MS) };
    return this.pairingCode;
  }

  /** How the server answers the next query of ours; Baileys does not say which id it gave that. @returns {Promise<'taken' | 'refused' | 'silent'>} */
  async #answer() {
    const ours = `${this.#sock.generateMessageTag().split('-')[0]}-`;
    const signal = AbortSignal.any([this.#ended, AbortSignal.timeout(ANSWER_MS)]);
    try {
      for await (const [node] of on(this.#sock.ws, 'CB:iq', { signal })) {
        if (node.attrs.id?.startsWith(ours)) return node.attrs.type === 'error' ? 'refused' : 'taken';
      }
    } catch {
      // Nothing came in time: the code may still be good.
    }
    return 'silent';
  }
}

/** @template T @param {Promise<T>} work @param {AbortSignal} over @returns {Promise<T>} @throws {BridgeError} when it is over before the work is done */
function before(work, over) {
  return new Promise((resolve, reject) => {
    const end = () => reject(new BridgeError('not_connected', 'there is no connection that could give a pairing code'));
    if (over.aborted) return end();
    over.addEventListener('abort', end, { once: true });
    work.then(resolve, reject).finally(() => over.removeEventListener('abort', end));
  });
}

/** Its socket closes; that it has closed is said later, which may take half a minute. @returns {never} @throws {BridgeError} */
function closing() {
  throw new BridgeError('not_connected', 'the connection that could give a pairing code is closing');
}

/** @param {number} ms */
function iso(ms) {
  return new Date(ms).toISOString();
}
