import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { BufferJSON, initAuthCreds, makeWASocket, proto } from 'baileys';
import pino from 'pino';

// libsignal prints sessions through console.
console.info = () => {};

const MAIN = fileURLToPath(new URL('../simulator/main.js', import.meta.url));
const PATIENCE_MS = 30_000;

/** @param {Promise<any>} promise @param {string} what */
export function soon(promise, what, ms = PATIENCE_MS) {
  let timer = /** @type {NodeJS.Timeout | undefined} */ (undefined);
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms in vain for ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A simulator in a process of its own, as everybody else runs it.
 * @param {{args?: string[], port?: number}} [options]
 */
export async function startSimulator({ args = [], port = 0 } = {}) {
  const child = spawn(process.execPath, [MAIN, '--port', String(port), '--log-level', 'warn', ...args], {
    stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, SIMULATOR_EXIT_WITH_PARENT: '1' },
  });
  const [line] = await soon(once(createInterface(child.stdout), 'line'), 'the simulator to start');
  const ready = JSON.parse(String(line));
  if (!ready.ready) throw new Error(ready.error);
  const sim = new Simulator(child, ready);
  await sim.listen();
  return sim;
}

/** @typedef {import('../simulator/events.js').NetworkEvent & Record<string, any>} Event */

export class Simulator {
  /** @type {Event[]} */ events = [];
  /** @type {Set<() => void>} */ #waiters = new Set();
  #abort = new AbortController();

  /** @param {import('node:child_process').ChildProcess} child @param {{url: string, socket_url: string, port: number}} ready */
  constructor(child, ready) {
    this.child = child;
    this.url = ready.url;
    this.socketUrl = ready.socket_url;
    this.port = ready.port;
  }

  /** @param {string} method @param {string} path @param {object} [body] @returns {Promise<{status: number, body: any}>} */
  async call(method, path, body) {
    const init = {
      method,
      signal: AbortSignal.timeout(PATIENCE_MS),
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    };
    const response = await fetch(this.url + path, init);
    const text = await response.text();
    return { status: response.status, body: text && JSON.parse(text) };
  }

  /** A call that must succeed. @param {string} method @param {string} path @param {object} [body] @returns {Promise<any>} */
  async api(method, path, body) {
    const { status, body: answer } = await this.call(method, path, body);
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(answer)}`);
    return answer;
  }

  /** @param {string} number @param {object} [settings] @param {string} [name] */
  phone(number, settings = {}, name = `Phone ${number}`) {
    return this.api('POST', '/api/phones', { number, name, settings });
  }

  /** @param {string} number @returns {Promise<any[]>} */
  async shown(number) {
    return (await this.api('GET', `/api/phones/${number}/shown`)).messages;
  }

  /** The first event that fits, past or to come. @param {string} type @param {(event: Event) => boolean} [fits] @returns {Promise<Event>} */
  until(type, fits = () => true) {
    const found = () => this.events.find((event) => event.type === type && fits(event));
    const wait = new Promise((resolve) => {
      const look = () => {
        const event = found();
        if (!event) return;
        this.#waiters.delete(look);
        resolve(event);
      };
      this.#waiters.add(look);
      look();
    });
    return soon(wait, `the event ${type}`);
  }

  async listen() {
    const response = await fetch(`${this.url}/api/events?since=0`, { signal: this.#abort.signal });
    void this.#read(/** @type {any} */ (response.body)).catch(() => {});
  }

  /** @param {AsyncIterable<Uint8Array>} body */
  async #read(body) {
    let rest = '';
    for await (const chunk of body) {
      rest += Buffer.from(chunk).toString();
      const blocks = rest.split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const data = block.split('\n').find((line) => line.startsWith('data: '));
        if (data) this.events.push(JSON.parse(data.slice(6)));
      }
      for (const look of [...this.#waiters]) look();
    }
  }

  /** @param {NodeJS.Signals} [signal] @returns {Promise<number | null>} its exit code */
  async stop(signal = 'SIGTERM') {
    this.#abort.abort();
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.child.exitCode;
    const exit = once(this.child, 'exit');
    this.child.kill(signal);
    const [code] = await soon(exit, 'the simulator to stop');
    return code;
  }
}

/** Credentials and keys in memory, but written and read as from a disk.
 * @typedef {ReturnType<typeof memoryAuth>} Auth
 */
export function memoryAuth(creds = initAuthCreds()) {
  /** @type {Map<string, string>} */
  const kept = new Map();
  const auth = {
    creds,
    kept,
    onWrite: () => {},
    keys: {
      get: async (/** @type {string} */ type, /** @type {string[]} */ ids) => Object.fromEntries(ids.flatMap((id) => {
        const raw = kept.get(`${type}/${id}`);
        const value = raw && JSON.parse(raw, BufferJSON.reviver);
        if (!value) return [];
        return [[id, type === 'app-state-sync-key' ? proto.Message.AppStateSyncKeyData.fromObject(value) : value]];
      })),
      set: async (/** @type {Record<string, Record<string, any>>} */ data) => {
        for (const [type, values] of Object.entries(data)) {
          for (const [id, value] of Object.entries(values ?? {})) {
            if (value === null || value === undefined) kept.delete(`${type}/${id}`);
            else kept.set(`${type}/${id}`, JSON.stringify(value, BufferJSON.replacer));
          }
        }
        auth.onWrite();
      },
    },
  };
  return auth;
}

/** An unmodified Baileys client. Handshake, keys and crypto are its own.
 * @param {Simulator} sim
 * @param {{auth?: Auth, config?: object}} [options]
 */
export function connect(sim, { auth = memoryAuth(), config = {} } = {}) {
  return new Client(sim, auth, config);
}

export class Client {
  /** @type {any[]} */ updates = [];
  /** @type {any[]} */ messages = [];
  /** @type {any[]} */ statuses = [];
  /** @type {any[]} */ acks = [];
  /** @type {Map<string, any>} */ sent = new Map();
  /** @type {Set<() => void>} */ #waiters = new Set();

  /** @param {Simulator} sim @param {Auth} auth @param {object} config */
  constructor(sim, auth, config) {
    this.auth = auth;
    auth.onWrite = () => this.#note(() => {});
    this.sock = makeWASocket(/** @type {any} */ ({
      auth, waWebSocketUrl: sim.socketUrl, logger: pino({ level: process.env.BAILEYS_LOG ?? 'silent' }), markOnlineOnConnect: false,
      syncFullHistory: false, emitOwnEvents: false, getMessage: async (/** @type {any} */ key) => this.sent.get(key.id),
      ...config,
    }));
    const { ev, ws } = this.sock;
    ev.on('creds.update', (/** @type {any} */ update) => this.#note(() => Object.assign(auth.creds, update)));
    ev.on('connection.update', (/** @type {any} */ update) => this.#note(() => this.updates.push(update)));
    ev.on('messages.upsert', (/** @type {any} */ { messages, type }) => this.#note(() => {
      this.messages.push(...messages.map((/** @type {any} */ message) => ({ ...message, type })));
    }));
    ev.on('messages.update', (/** @type {any} */ updates) => this.#note(() => this.statuses.push(...updates)));
    ws.on('CB:ack,class:message', (/** @type {any} */ node) => this.#note(() => this.acks.push(node.attrs)));
  }

  /** @param {() => void} change */
  #note(change) {
    change();
    for (const look of [...this.#waiters]) look();
  }

  /** @template T @param {string} what @param {() => T | undefined | false} found @returns {Promise<T>} */
  until(what, found) {
    const wait = new Promise((resolve) => {
      const look = () => {
        const result = found();
        if (!result) return;
        this.#waiters.delete(look);
        resolve(result);
      };
      this.#waiters.add(look);
      look();
    });
    return soon(wait, what);
  }

  qr() {
    return this.until('a QR', () => this.updates.find(({ qr }) => qr)?.qr);
  }

  open() {
    return this.until('the connection to open', () => this.updates.some(({ connection }) => connection === 'open'));
  }

  /** Everything that waited has arrived, and events are no longer held back. */
  caughtUp() {
    return this.until('the offline queue', () => this.updates.some((update) => update.receivedPendingNotifications));
  }

  /** @returns {Promise<number>} the status code it closed with */
  closed() {
    return this.until('the connection to close', () => this.updates.find(({ connection }) => connection === 'close'))
      .then((/** @type {any} */ update) => update.lastDisconnect?.error?.output?.statusCode);
  }

  /** @param {string} to jid or number @param {string} text @param {string} [messageId] @returns {Promise<string>} */
  async send(to, text, messageId) {
    const jid = to.includes('@') ? to : `${to.replace('+', '')}@s.whatsapp.net`;
    const message = await this.sock.sendMessage(jid, { text }, messageId ? { messageId } : {});
    this.sent.set(String(message?.key.id), message?.message);
    return String(message?.key.id);
  }

  /** @param {string} id @returns {Promise<any>} */
  ack(id) {
    return this.until(`the ack of ${id}`, () => this.acks.find((ack) => ack.id === id));
  }

  /** @param {string} id @param {number} status 3 delivered, 4 read */
  status(id, status) {
    // Baileys puts an update into its message when both come within one moment.
    const reached = () =>
      this.statuses.find(({ key, update }) => key.id === id && update.status >= status)
      ?? this.messages.find((one) => one.key.id === id && one.status >= status);
    return this.until(`status ${status} of ${id}`, reached);
  }

  /** @param {(message: any) => boolean} fits @returns {Promise<any>} */
  message(fits) {
    return this.until('a message', () => this.messages.find(fits));
  }

  async end() {
    await this.sock.end(undefined);
  }
}

/** Links a new client to a phone by QR, as a person would, and logs it in.
 * @param {Simulator} sim @param {string} number @param {object} [config]
 */
export async function linked(sim, number, config = {}) {
  const first = connect(sim, { config });
  const { device } = await sim.api('POST', `/api/phones/${number}/scan`, { qr: await first.qr() });
  await first.closed();
  const client = connect(sim, { auth: first.auth, config });
  await client.open();
  await client.caughtUp();
  return { client, device: device.device };
}

