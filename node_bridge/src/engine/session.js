import { initAuthCreds } from 'baileys';
import { EventEmitter, once } from 'node:events';
import { onAccountOf } from '../attribution.js';
import { BridgeError, firstLine, StaleTerm } from '../errors.js';
import { lidOf, phoneOf } from './addresses.js';
import { classify } from './closes.js';
import { Connection } from './connection.js';
import { notSentBecause } from './outcomes.js';

/** @typedef {import('../status.js').Status} Status */
/** @typedef {import('../status.js').Close} Close */
/** @typedef {import('../status.js').Link} Link */
/** @typedef {import('../store/vault.js').Vault} Vault */
/** @typedef {import('../events/outbox.js').EventType} EventType */
/** @typedef {import('./memory.js').SessionMemory} SessionMemory */
/** @typedef {import('./linking.js').Linking} Linking */
/** @typedef {import('../log.js').Log} Log */
/**
 * @typedef {object} SessionOptions
 * @property {string} id
 * @property {number} term
 * @property {Vault} vault
 * @property {any | null} creds - null: not linked
 * @property {Link | undefined} link - needed when there are no creds
 * @property {SessionMemory} memory
 * @property {import('./inquiry.js').Inquiry} inquiry
 * @property {import('./client-version.js').ClientVersion} clientVersion
 * @property {string | undefined} socketUrl
 * @property {number} ackTimeoutMs
 * @property {Log} log
 * @property {() => boolean} mayAct - false: whatever is open has just been closed
 * @property {import('../attribution.js').Culprit} culprit
 * @property {(type: EventType, data: Record<string, unknown>) => boolean} tell - false: nobody will hear of it
 * @property {() => boolean} hasRoom - whether what comes next could be told
 * @property {() => void} onHeldBack - something was left with the server, for it could not be told
 * @property {() => void} onChange
 * @property {() => void} onClosed
 */

const RESTART_AFTER_PAIRING = 515;
const CLIENT_OUTDATED = 405;
const LOGOUT_MS = 10_000;
const CONNECT_MS = 60_000;
const LET_IN_MS = 100_000; // after the login the engine asks four questions, and waits 20 s for each

/** One session under one term, from opening to its one close: nothing here reconnects, but for the restart that belongs to linking. */
export class Session {
  /** @type {Status['state']} */ #state;
  #since = Date.now();
  /** @type {Close | null} */ #close = null;
  /** @type {Promise<void> | null} */ #finishing = null;
  #ended = new AbortController();
  #changes = new EventEmitter();
  #paired = false;
  #restarted = false;
  #loggingOut = false;
  /** @type {NodeJS.Timeout | undefined} */ #late;
  /** @type {any} */ #creds;
  /** @type {Connection | null} */ #connection = null;
  /** @type {Linking | null} */ #linking = null;
  #with;

  /** @param {SessionOptions} options */
  constructor(options) {
    this.#with = options;
    this.id = options.id;
    this.term = options.term;
    this.#creds = options.creds ?? initAuthCreds();
    this.#state = options.creds ? 'connecting' : 'linking';
    options.vault.onBroken = (error) => this.end(error instanceof StaleTerm ? 'stale_term' : 'store_unavailable', { cause: firstLine(error) });
  }

  open() {
    try {
      this.#onAccount(() => {
        this.#expectConnection(CONNECT_MS);
        this.#connect();
      });
    } catch (error) {
      this.end('connect_failed', { cause: firstLine(error) });
    }
  }

  get state() {
    return this.#state;
  }

  /** @returns {Status} */
  get status() {
    const me = this.#creds.account ? this.#creds.me : undefined;
    const linking = this.#state === 'closed' ? null : this.#linking;
    return {
      id: this.id,
      term: this.term,
      state: this.#state,
      phone: phoneOf(me?.id) ?? null,
      lid: lidOf(me?.lid) ?? null,
      name: me?.name ?? null,
      since: new Date(this.#since).toISOString(),
      last_stanza_at: isoOrNull(this.#connection?.pulse.lastStanzaAt),
      ping_ms: this.#connection?.pulse.pingMs ?? null,
      qr: linking?.qr ?? null,
      pairing_code: linking?.pairingCode ?? null,
      close: this.#close,
    };
  }

  /** @param {import('./sender.js').SendRequest} request @returns {Promise<import('./outcomes.js').Outcome>} */
  async send(request) {
    if (this.#state !== 'connected' || !this.#connection) return { outcome: 'not_sent', reason: 'not_connected' };
    const { sender } = this.#connection;
    return this.#onAccount(() => sender.send(request));
  }

  /** @param {string[]} phones @returns {Promise<{results: object[], reason?: string}>} */
  async check(phones) {
    const { directory } = this.#inUse();
    try {
      return await this.#onAccount(() => directory.find(phones));
    } catch (error) {
      const { reason } = notSentBecause(error, this.#ended.signal.aborted);
      return { results: phones.map((phone) => ({ phone, on_whatsapp: null, address: null, lid: null })), reason };
    }
  }

  /** Asks what WhatsApp forbids this number for now; the answers come as events. @throws {BridgeError} */
  askRestrictions() {
    const { restrictions } = this.#inUse();
    this.#onAccount(() => restrictions.ask()); // never throws; what it hears is told when it comes
  }

  /** @param {string} phone */
  async requestPairingCode(phone) {
    if (this.#creds.account) throw new BridgeError('already_linked', 'a number is linked already');
    if (!this.#linking) throw new BridgeError('not_connected', 'the session is not linking');
    const linking = this.#linking;
    const code = await this.#onAccount(() => linking.requestCode(phone));
    this.#with.onChange();
    return code;
  }

  /** Closes; the link stays. @param {string} reason @param {unknown} [detail] @returns {Promise<void>} */
  end(reason, detail = null) {
    return this.#finish({ code: 0, reason, detail });
  }

  /** Closes and unlinks. @returns {Promise<boolean>} whether WhatsApp was told @throws {BridgeError} the credentials are still there */
  async logout() {
    const told = await this.#onAccount(() => this.#tellLogout());
    await this.end('requested');
    await this.#with.vault.wipe(); // here, since the session may have ended by itself while WhatsApp was tried
    return told;
  }

  /** @returns {Connection} @throws {BridgeError} */
  #inUse() {
    if (this.#state !== 'connected' || !this.#connection) throw new BridgeError('not_connected', 'the session is not connected');
    return this.#connection;
  }

  #connect() {
    /** @type {Connection} */
    const connection = new Connection({
      options: this.#with,
      creds: this.#creds,
      ended: this.#ended.signal,
      listeners: {
        onUpdate: (update) => connection === this.#connection && this.#update(update),
        onCreds: () => this.#saveCreds(),
        onPasskey: () => this.end('passkey_required', { cause: 'WhatsApp asks this account for a passkey' }),
        onDead: (cause) => this.end('connection_lost', { cause }),
        onLetIn: () => connection === this.#connection && this.#expectConnection(LET_IN_MS),
        onSilent: () => this.end('timed_out', { cause: 'the server did not answer' }),
        onStalled: () => this.end('timed_out', { cause: 'what has waited stopped coming' }),
        onRefused: (code) => this.#finish({ code, reason: 'connect_failed', detail: { cause: `the server answered HTTP ${code}` } }),
      },
    });
    this.#connection = connection;
    this.#linking = connection.linking;
  }

  /** A server that is silent, or talks without ever letting us in; one that has let us in may be slow to answer. @param {number} withinMs */
  #expectConnection(withinMs) {
    clearTimeout(this.#late);
    if (!this.#finishing) this.#late = setTimeout(() => this.end('timed_out', { cause: 'no connection in time' }), withinMs);
  }

  /** @param {any} update */
  #update({ qr, isNewLogin, connection, lastDisconnect }) {
    if (this.#finishing || this.#loggingOut) return;
    if (qr && this.#linking) this.#showQr(qr); // Baileys goes on with its codes after the phone has scanned one
    if (isNewLogin) this.#pairedNow();
    if (connection === 'open') this.#connected();
    if (connection === 'close') this.#closed(lastDisconnect?.error);
  }

  /** @param {string} text */
  #showQr(text) {
    const { link, log } = this.#with;
    const first = !this.#linking?.qr;
    this.#linking?.show(text);
    this.#enter('linking');
    if (!first || link?.mode !== 'code') return;
    this.requestPairingCode(link.phone).catch((err) => {
      log.warn({ err }, 'no pairing code could be had');
      if (err.code !== 'not_connected') this.end('connect_failed', { cause: firstLine(err) }); // else the connection has ended, and says why itself
    });
  }

  #connected() {
    this.#enter('connected');
    this.#connection?.restrictions.ask();
    this.#with.vault.reseal(this.#ended.signal);
  }

  #pairedNow() {
    this.#paired = true;
    this.#linking = null;
    this.#enter('connecting');
  }

  /** @param {Status['state']} state */
  #enter(state) {
    this.#become(state);
    if (state === 'connected' || this.#linking?.qr) clearTimeout(this.#late);
    this.#changes.emit('change');
    this.#with.onChange();
  }

  /** @param {Status['state']} state */
  #become(state) {
    if (this.#state !== state) this.#since = Date.now();
    this.#state = state;
  }

  /** @param {any} error */
  async #closed(error) {
    const linking = Boolean(this.#linking?.qr);
    if (!(await this.#mayGoOn(error?.output?.statusCode))) return this.#finish(classify(error, { linking, now: Date.now() }));
    await this.#with.vault.settle(); // after pairing: the new credentials must be on record before they are used
    if (!this.#finishing) this.open();
  }

  /** Whether this close is one that another attempt, made here and at once, belongs to. @param {number | undefined} code @returns {Promise<boolean>} */
  async #mayGoOn(code) {
    if (code === RESTART_AFTER_PAIRING && this.#paired && !this.#restarted) return (this.#restarted = true);
    if (code !== CLIENT_OUTDATED || !this.#connection) return false;
    return this.#with.clientVersion.renew(this.#connection.version); // each attempt has a newer one, so they end
  }

  /** Credentials of a link that is not complete are worth nothing, and would be taken for a login. */
  #saveCreds() {
    if (this.#creds.account) this.#with.vault.saveCreds(this.#creds).catch(() => {}); // a failure ends the session through `onBroken`
  }

  async #tellLogout() {
    if (!this.#creds.account || !(await this.#reached('connected', LOGOUT_MS)) || !this.#connection || this.#finishing) return false;
    this.#loggingOut = true; // the server answers and then closes with 401
    this.#state = 'connecting'; // nothing is sent any more
    return this.#connection.unlink(this.#creds.me.id, LOGOUT_MS);
  }

  /** @param {Status['state']} state @param {number} withinMs @returns {Promise<boolean>} */
  async #reached(state, withinMs) {
    const signal = AbortSignal.any([this.#ended.signal, AbortSignal.timeout(withinMs)]);
    while (this.#state !== state && !signal.aborted) await once(this.#changes, 'change', { signal }).catch(() => {});
    return this.#state === state;
  }

  /** An exception in what this begins ends this session alone. @template T @param {() => T} work @returns {T} */
  #onAccount(work) {
    return onAccountOf(this.#with.culprit, work);
  }

  /** @param {Close} close @returns {Promise<void>} */
  #finish(close) {
    this.#finishing ??= this.#onAccount(() => this.#shut(close));
    return this.#finishing;
  }

  /** From its beginning on it is closed for who asks; it is told when it is done, which may take as long as the database does. @param {Close} close */
  async #shut(close) {
    const { vault, log } = this.#with;
    this.#close = close;
    clearTimeout(this.#late);
    this.#become('closed');
    this.#ended.abort();
    this.#connection?.close();
    await vault.retire();
    if (close.reason === 'logged_out') await vault.wipe().catch((err) => log.error({ err }, 'the credentials could not be wiped'));
    this.#linking = this.#connection = null; // lets go of the socket
    this.#enter('closed');
    log.info({ close }, 'session closed');
    this.#with.onClosed();
  }
}

/** @param {number | null | undefined} ms */
function isoOrNull(ms) {
  return ms ? new Date(ms).toISOString() : null;
}
