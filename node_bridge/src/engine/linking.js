import { on, once } from 'node:events';
import { BridgeError } from '../errors.js';

/** @typedef {{text: string, generated_at: string, expires_at: string}} Qr */
/** @typedef {{code: string, expires_at: string}} PairingCode */

const FIRST_QR_MS = 60_000;
const NEXT_QR_MS = 20_000;
const ALL_QRS_MS = FIRST_QR_MS + 5 * NEXT_QR_MS; // the server gives six; then the link attempt is over
const ANSWER_MS = 5_000;

/** The QR codes and the pairing code of one attempt to link a phone. */
export class Linking {
  /** @type {Qr | null} */ qr = null;
  /** @type {PairingCode | null} */ pairingCode = null;
  #startedAt = 0;
  #started = () => {};
  #ready = new Promise((resolve) => (this.#started = () => resolve(undefined)));
  #sock;
  #ended;

  /** @param {{sock: any, ended: AbortSignal}} options */
  constructor({ sock, ended }) {
    this.#sock = sock;
    this.#ended = ended;
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
    await this.#orEnded(this.#ready);
    const answer = this.#answer();
    const code = await this.#sock.requestPairingCode(phone.replace('+', ''));
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

  /** @template T @param {Promise<T>} work @returns {Promise<T>} */
  async #orEnded(work) {
    const done = new AbortController();
    const ended = once(this.#ended, 'abort', { signal: done.signal }).then(() => {
      throw new BridgeError('not_connected', 'the link attempt has ended');
    });
    try {
      if (this.#ended.aborted) throw new BridgeError('not_connected', 'the link attempt has ended');
      return /** @type {T} */ (await Promise.race([work, ended]));
    } finally {
      done.abort();
      ended.catch(() => {});
    }
  }
}

/** @param {number} ms */
function iso(ms) {
  return new Date(ms).toISOString();
}
