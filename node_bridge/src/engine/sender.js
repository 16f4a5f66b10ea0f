import { generateWAMessage, proto } from 'baileys';
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { AckBook } from './ack-book.js';
import { phoneAddress, userOf } from './addresses.js';
import { NotSent, notSentBecause } from './outcomes.js';
import { skipUsedKeys } from './ratchet.js';
import { within } from './within.js';

/** @typedef {import('./outcomes.js').Outcome} Outcome */
/** @typedef {import('./ack-book.js').Ack} Ack */
/** @typedef {import('./directory.js').Directory} Directory */
/** @typedef {import('./directory.js').Device} Device */
/** @typedef {import('./devices.js').DeviceCache} DeviceCache */
/** @typedef {import('../store/vault.js').Vault} Vault */
/** @typedef {import('../log.js').Log} Log */
/**
 * @typedef {{id: string, to: {phone: string, lid?: string, address?: string}, content: {type: 'text', text: string}, typing_ms: number,
 *   expires_at?: string, deadline?: number, resend: boolean, attempt?: number}} SendRequest - `deadline` is on the clock of `performance.now()`
 */
/** @typedef {{address: string, message: any}} Envelope */

const ADDRESSING_ERROR = '400';
const STALE_DEVICES_ERROR = '479';
const RESTRICTED_ERROR = '463';
const KEPT_WITHIN_MS = 500;

/** @type {AsyncLocalStorage<{encrypted: boolean}>} the relay that the running code belongs to */
const relays = new AsyncLocalStorage();

/**
 * Sends the messages of one connection, one unacked at a time and in the order they were asked for: a message that overtakes
 * another, or reuses its place in the ratchet, is lost on the customer's device.
 */
export class Sender {
  /** @type {Promise<unknown>} */ #last = Promise.resolve();
  /** @type {Map<string, Promise<Outcome>>} */ #underway = new Map();
  #fresh = false; // no key that an earlier connection used can be used again
  #refreshed = Promise.resolve(); // the address that WhatsApp has last called out of date
  #acks;
  #with;

  /**
   * @param {{sock: any, vault: Vault, directory: Directory, devices: DeviceCache, deviceHashes: import('../lru.js').Lru<string>,
   *   ended: AbortSignal, mayAct: () => boolean, ackTimeoutMs: number, log: Log,
   *   onLateAck: (id: string, code: string | null) => void, onRestricted: () => void, onAcked: (address: string) => void}} options
   */
  constructor(options) {
    this.#with = options;
    this.#acks = AckBook.of(options.sock.ws);
    this.#acks.onLate = (id, { code }) => options.onLateAck(id, code);
  }

  /** A send of an id that is under way joins it. @param {SendRequest} request @returns {Promise<Outcome>} */
  send(request) {
    const joined = this.#underway.get(request.id);
    if (joined) return joined;
    const sending = this.#last.then(() => this.#attempt(request)).finally(() => this.#underway.delete(request.id));
    this.#last = sending.catch(() => {});
    this.#underway.set(request.id, sending);
    return sending;
  }

  /** A customer's device has it. @param {string} id */
  noteArrival(id) {
    this.#acks.arrived(id);
  }

  /** Something is about to be encrypted; not for a relay, if it answers a receipt meanwhile. */
  noteEncryption() {
    const relay = relays.getStore();
    if (relay) relay.encrypted = true;
  }

  /** @param {SendRequest} request @returns {Promise<Outcome>} */
  async #attempt(request) {
    const { ended, directory } = this.#with;
    try {
      refuseExpired(request);
      await this.#orEnded(this.#freshen());
      await this.#orEnded(this.#refreshed);
      const envelope = await this.#orEnded(this.#envelope(request));
      await this.#type(envelope.address, request.typing_ms);
      const devices = await this.#orEnded(directory.requireDevices(envelope.address));
      await this.#orEnded(directory.requireKeys(envelope.address, devices));
      refuseExpired(request);
      const outcome = await this.#relay(request, envelope, devices);
      return this.#wantsNumber(outcome, request) ? await this.#relayByNumber(request) : outcome;
    } catch (error) {
      const { reason } = notSentBecause(error, ended.aborted);
      this.#with.log.info({ message: request.id, reason, err: error instanceof NotSent ? undefined : error }, 'a message was not sent');
      return { outcome: 'not_sent', reason };
    }
  }

  async #freshen() {
    if (!this.#fresh) await skipUsedKeys(this.#with);
    this.#fresh = true;
  }

  /**
   * What was stored under this id, else a new one. It is stored before anything touches the wire, and again before a resend: what was
   * stored last is what was sent last.
   * @param {SendRequest} request @returns {Promise<Envelope>}
   */
  async #envelope({ id, to, content, attempt }) {
    const stored = attempt === 1 ? null : await this.#with.vault.renewSent(id);
    if (stored) return { address: stored.address, message: proto.Message.decode(stored.message) };
    return this.#store(id, await this.#with.directory.resolve(to), content);
  }

  /** @param {string} id @param {string} address @param {{text: string}} content @returns {Promise<Envelope>} */
  async #store(id, address, { text }) {
    const { sock, vault } = this.#with;
    const options = /** @type {any} */ ({ userJid: sock.authState.creds.me.id, messageId: id });
    const { message } = await generateWAMessage(address, { text }, options);
    await vault.saveSent(id, { address, message: Buffer.from(proto.Message.encode(/** @type {any} */ (message)).finish()) });
    return { address, message };
  }

  /** @param {SendRequest} request @param {Envelope} envelope @param {Device[]} devices - that it will be encrypted for @returns {Promise<Outcome>} */
  async #relay(request, envelope, devices) {
    const { id } = request;
    const { acked } = await this.#orEnded(this.#acks.turn(id));
    /** @type {Outcome | undefined} */
    let outcome;
    try {
      outcome = await this.#relayed(request, { ...envelope, devices }, acked);
      return outcome;
    } finally {
      this.#acks.release(id, outcome?.outcome === 'unknown');
    }
  }

  /** @param {SendRequest} request @param {Envelope & {devices: Device[]}} what @param {Promise<Ack>} acked @returns {Promise<Outcome>} */
  async #relayed({ id, to }, { address, message, devices }, acked) {
    const { sock, ended, mayAct, ackTimeoutMs } = this.#with;
    if (!mayAct()) throw new NotSent('not_connected');
    const relay = { encrypted: false };
    const late = performance.now() + ackTimeoutMs;
    const relayed = relays.run(relay, () => sock.relayMessage(address, message, { messageId: id }));
    relayed.catch(() => {}); // it may still fail long after the session has ended
    try {
      // A write that never ends: nothing is known of it, and no other may follow on this socket.
      if ((await this.#orEnded(within(relayed, ackTimeoutMs))) === 'late') return { outcome: 'unknown', reason: 'ack_timeout' };
    } catch (error) {
      const because = notSentBecause(error, ended.aborted);
      if (because.reason === 'encryption_failed' || because.reason === 'lookup_failed') this.#forgetDevices(address);
      if (because.reason === 'encryption_failed') throw await this.#whyUnencrypted(because, devices);
      if (!relay.encrypted) throw because;
      if (!(await isKept(relayed))) return { outcome: 'unknown', reason: 'connection_lost' };
    }
    // Only after `relayed`: the ratchet must be on record before the message counts as sent.
    const ack = await within(acked, Math.max(0, late - performance.now()), ended);
    if (typeof ack === 'object' && ack.staleLid) this.#refreshed = this.#with.directory.refresh(address, to.phone);
    return this.#judge(address, ack);
  }

  /** Baileys says the same when WhatsApp has not answered for keys. @param {NotSent} because @param {Device[]} devices @returns {Promise<NotSent>} */
  async #whyUnencrypted(because, devices) {
    return (await this.#orEnded(this.#with.directory.haveKeys(devices))) ? because : new NotSent('lookup_failed');
  }

  /** @param {string} address @param {Ack | 'late' | 'ended'} ack @returns {Outcome} */
  #judge(address, ack) {
    if (ack === 'ended') return { outcome: 'unknown', reason: 'connection_lost' };
    if (ack === 'late') return { outcome: 'unknown', reason: 'ack_timeout' };
    if (this.#hashChanged(address, ack.phash) || ack.code === STALE_DEVICES_ERROR) this.#forgetDevices(address);
    if (ack.code === RESTRICTED_ERROR) this.#with.onRestricted();
    if (ack.code) return { outcome: 'rejected', code: ack.code, address };
    this.#with.onAcked(address);
    return { outcome: 'acked', address, at: ack.at };
  }

  /**
   * The server may send its hash with every ack, and Baileys sends none that it could differ from: only a change says that devices came or went.
   * @param {string} address @param {string | undefined} phash
   */
  #hashChanged(address, phash) {
    if (!phash) return false;
    const before = this.#with.deviceHashes.get(address);
    this.#with.deviceHashes.set(address, phash);
    return before !== undefined && before !== phash;
  }

  /** One of them is gone, perhaps one of ours: the message was for both. @param {string} address */
  #forgetDevices(address) {
    const { me } = this.#with.sock.authState.creds;
    for (const jid of [address, me.id, me.lid]) if (jid) this.#with.devices.del(userOf(jid)).catch(() => {});
  }

  /** The server refused the LID, plainly and for this message only. @param {Outcome} outcome @param {SendRequest} request */
  #wantsNumber(outcome, request) {
    return outcome.outcome === 'rejected' && outcome.code === ADDRESSING_ERROR && outcome.address.endsWith('@lid') && Boolean(request.to.phone);
  }

  /** @param {SendRequest} request @returns {Promise<Outcome>} */
  async #relayByNumber(request) {
    const { id, to, content } = request;
    const address = phoneAddress(to.phone);
    const envelope = await this.#store(id, address, content);
    const devices = await this.#with.directory.requireDevices(address);
    refuseExpired(request); // the refusal may have taken its time
    return this.#relay(request, envelope, devices);
  }

  /** Shows "typing…"; nothing depends on it. @param {string} address @param {number} ms */
  async #type(address, ms) {
    const { sock, ended } = this.#with;
    if (ms <= 0) return;
    await this.#orEnded(sock.sendPresenceUpdate('composing', address)).catch(() => {});
    await sleep(ms, undefined, { signal: ended }).catch(() => {});
    await this.#orEnded(sock.sendPresenceUpdate('paused', address)).catch(() => {});
  }

  /**
   * Baileys leaves what is under way hanging when it closes the socket itself.
   * @template T @param {Promise<T>} work @returns {Promise<T>}
   */
  #orEnded(work) {
    const { ended, mayAct } = this.#with;
    if (!mayAct() || ended.aborted) return Promise.reject(new NotSent('not_connected'));
    return new Promise((resolve, reject) => {
      const end = () => reject(new NotSent('not_connected'));
      ended.addEventListener('abort', end, { once: true });
      work.then(resolve, reject).finally(() => ended.removeEventListener('abort', end));
    });
  }
}

/** @param {SendRequest} request */
function refuseExpired({ expires_at, deadline }) {
  const late = (deadline !== undefined && deadline <= performance.now()) || (expires_at !== undefined && Date.parse(expires_at) <= Date.now());
  if (late) throw new NotSent('expired');
}

/**
 * Whether the keys were committed after all, although the connection ended meanwhile: then an ack that came before the end counts.
 * @param {Promise<unknown>} relayed
 */
function isKept(relayed) {
  return Promise.race([relayed.then(() => true, () => false), sleep(KEPT_WITHIN_MS, false, { ref: false })]);
}
