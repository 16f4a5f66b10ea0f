import { initAuthCreds, makeWASocket } from 'baileys';
import { randomBytes } from 'node:crypto';
import pino from 'pino';

const ACK_MS = 60_000;
const LINK_MS = 120_000;
const CALL_MS = 20_000;
const log = /** @type {any} */ (pino({ level: 'silent' }));

console.info = console.warn = () => {}; // libsignal prints sessions

/** Keys in memory, as they are: nothing can be cheaper. @returns {any} what Baileys calls a SignalKeyStore */
function memory() {
  /** @type {Map<string, any>} */
  const kept = new Map();
  /** @type {Set<string>} */
  const met = new Set();
  return {
    /** @param {string} kind @param {string[]} names */
    get: async (kind, names) => {
      const found = Object.fromEntries(names.map((name) => [name, kept.get(`${kind}/${name}`)]).filter(([, value]) => value));
      if (kind === 'tctoken') for (const name of names) if (!isNew(met, name)) found[name] = issued(found[name]);
      return found;
    },
    /** @param {Record<string, Record<string, unknown>>} values */
    set: async (values) => {
      for (const [kind, named] of Object.entries(values)) {
        for (const [name, value] of Object.entries(named)) value ? kept.set(`${kind}/${name}`, value) : kept.delete(`${kind}/${name}`);
      }
    },
  };
}

/**
 * Baileys asks the server to issue a trusted-contact token with every message, since it loses what it noted of the last time. The bridge issues
 * one for each contact, and so does what it is compared with.
 * @param {Set<string>} met @param {string} name
 */
function isNew(met, name) {
  return name === '__index' || (!met.has(name) && Boolean(met.add(name)));
}

/** @param {any} entry */
function issued(entry) {
  return { token: Buffer.alloc(0), ...entry, senderTimestamp: Math.floor(Date.now() / 1000) };
}

/** One linked number. It sends one message at a time. */
export class Account {
  /** @type {Map<string, () => void>} */ #acks = new Map();
  /** @type {any} */ #sock;
  #auth = { creds: initAuthCreds(), keys: memory() };
  #with;

  /** @param {{number: string, network: string, socket: string}} options */
  constructor(options) {
    this.#with = options;
    this.number = options.number;
  }

  /** @param {{number: string, network: string, socket: string}} options @returns {Promise<Account>} */
  static async link(options) {
    const account = new Account(options);
    const signal = AbortSignal.timeout(LINK_MS);
    await account.#call('/api/phones', { number: options.number });
    const { qr } = await account.#connect((update) => update.qr, signal);
    const paired = account.#until(account.#sock, (update) => update.connection === 'close', signal);
    await account.#call(`/api/phones/${encodeURIComponent(options.number)}/scan`, { qr });
    await paired; // the restart that belongs to linking
    await account.#connect((update) => update.connection === 'open', signal);
    return account;
  }

  /** Resolves with the server's ack. @param {string} to E.164 @param {string} text */
  async send(to, text) {
    const id = `3EB0${randomBytes(9).toString('hex').toUpperCase()}`;
    const acked = this.#ack(id);
    await this.#sock.sendMessage(`${to.slice(1)}@s.whatsapp.net`, { text }, { messageId: id });
    await acked;
  }

  /** @param {string} id @returns {Promise<void>} */
  #ack(id) {
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no ack of ${id}`)), ACK_MS);
      this.#acks.set(id, () => {
        clearTimeout(late);
        this.#acks.delete(id);
        resolve();
      });
    });
  }

  /** @param {(update: any) => unknown} reached @param {AbortSignal} signal @returns {Promise<any>} the update that says so */
  #connect(reached, signal) {
    const { creds } = this.#auth;
    const sock = (this.#sock = makeWASocket({
      auth: this.#auth,
      logger: log,
      waWebSocketUrl: this.#with.socket,
      emitOwnEvents: false,
      markOnlineOnConnect: false,
      syncFullHistory: false,
    }));
    sock.ev.on('creds.update', (update) => Object.assign(creds, update));
    sock.ws.on('CB:ack,class:message', (/** @type {any} */ { attrs }) => {
      if (attrs.error) throw new Error(`${attrs.id} was refused: ${attrs.error}`);
      this.#acks.get(attrs.id)?.();
    });
    return this.#until(sock, reached, signal);
  }

  /** @param {any} sock @param {(update: any) => unknown} reached @param {AbortSignal} signal @returns {Promise<any>} */
  #until(sock, reached, signal) {
    return new Promise((resolve, reject) => {
      sock.ev.on('connection.update', (/** @type {any} */ update) => reached(update) && resolve(update));
      signal.addEventListener('abort', () => reject(new Error(`${this.number} was not linked in time`)), { once: true });
    });
  }

  /** @param {string} path @param {object} body */
  async #call(path, body) {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body), signal: AbortSignal.timeout(CALL_MS) };
    const response = await fetch(`${this.#with.network}${path}`, init);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  }
}
