import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { databaseUrl } from './database.js';
import { start, stop } from './processes.js';

export const SECRET = 'a-secret-for-tests';
export const KEYS = `k1:${randomBytes(32).toString('base64')}`;

/** @type {string[]} */
const scratches = [];
process.on('exit', () => scratches.forEach((dir) => rmSync(dir, { recursive: true, force: true })));

/** @returns {string} a directory of its own, until this process ends */
export function scratch() {
  const dir = mkdtempSync(join(tmpdir(), 'bridge-test-'));
  scratches.push(dir);
  return dir;
}

/** A bridge process, and the calls a worker makes to it. */
export class Bridge {
  /** @type {any[]} */ statuses = [];
  /** @type {Set<() => void>} */ #listeners = new Set();
  #reading = new AbortController();
  /** @type {Awaited<ReturnType<typeof start>>} */ process;
  /** @type {string} */ url;

  /** @param {Awaited<ReturnType<typeof start>>} running */
  constructor(running) {
    this.process = running;
    this.url = `http://127.0.0.1:${running.ready.port}`;
  }

  /** @param {Record<string, string>} [env] */
  static async start(env = {}) {
    const bridge = new Bridge(await start('src/main.js', { env: { ...Bridge.environment(), ...env } }));
    await bridge.#follow();
    return bridge;
  }

  static environment() {
    return {
      WHATSAPP_PORT: '0',
      WHATSAPP_SECRET: SECRET,
      BRIDGE_DATABASE_URL: databaseUrl,
      WA_ENCRYPTION_KEYS: KEYS,
      BRIDGE_SPOOL_DIR: scratch(),
      WEB_URL: 'http://127.0.0.1:9',
      WA_LOOKUP_EVERY_MS: '0', // one session writes to many here
      LOG_LEVEL: 'debug',
    };
  }

  /** @param {string} method @param {string} path @param {object} [body] @returns {Promise<{status: number, body: any}>} */
  async call(method, path, body) {
    const headers = { authorization: `Bearer ${SECRET}`, ...(body ? { 'content-type': 'application/json' } : {}) };
    const response = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(90_000) });
    return { status: response.status, body: await response.json() };
  }

  /** @param {string} id @param {object} body */
  open(id, body) {
    return this.call('PUT', `/session/${id}`, { owner: 'worker-1', ...body });
  }

  /** @param {string} id @param {object} message */
  send(id, message) {
    return this.call('POST', `/session/${id}/messages`, message);
  }

  /**
   * The next status of a session, told or already there, that fits.
   * @param {string} id
   * @param {(status: any) => unknown} fits
   * @param {number} [withinMs]
   * @returns {Promise<any>}
   */
  status(id, fits, withinMs = 20_000) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.statuses.findLast((status) => status.id === id && fits(status));
        if (found) done(() => resolve(found));
      };
      const done = (/** @type {() => void} */ settle) => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        settle();
      };
      const last = () => JSON.stringify(this.statuses.findLast((status) => status.id === id) ?? null);
      const timer = setTimeout(() => done(() => reject(new Error(`no such status; the last: ${last()}\n${this.process.log.slice(-10).join('\n')}`))), withinMs);
      this.#listeners.add(look);
      look();
    });
  }

  /** Closes a session and waits until its close was told; forgets what was told before. @param {string} id @param {number} [term] */
  async close(id, term = 1) {
    const answer = await this.call('DELETE', `/session/${id}?term=${term}`);
    await this.status(id, (status) => status.state === 'closed');
    this.forget();
    return answer;
  }

  /** Forgets the statuses told so far, so that only new ones are looked at. */
  forget() {
    this.statuses = [];
  }

  /** A second reader of the signals. */
  async reread() {
    const reading = new AbortController();
    const lines = await this.#lines(reading.signal);
    /** @param {(status: any) => boolean} fits */
    const next = async (fits) => {
      for await (const line of lines) if (fits(JSON.parse(line))) return JSON.parse(line);
    };
    return { next, leave: () => reading.abort() };
  }

  /** @param {NodeJS.Signals} [signal] */
  async stop(signal) {
    this.#reading.abort();
    return stop(this.process, signal);
  }

  async #follow() {
    (await this.#lines(this.#reading.signal)).on('line', (line) => this.#heard(JSON.parse(line)));
  }

  /** @param {AbortSignal} signal */
  async #lines(signal) {
    const response = await fetch(`${this.url}/signals`, { headers: { authorization: `Bearer ${SECRET}` }, signal });
    const input = Readable.fromWeb(/** @type {any} */ (response.body)).on('error', () => {});
    return createInterface({ input }).on('error', () => {});
  }

  /** @param {any} status */
  #heard(status) {
    if (status.ping) return;
    this.statuses.push(status);
    for (const look of this.#listeners) look();
  }
}
