import { randomBytes } from 'node:crypto';
import { after, before } from 'node:test';
import { Bridge } from './bridge.js';
import { TestDatabase } from './database.js';
import { Network } from './network.js';
import { until } from './until.js';
import { Web } from './web.js';

/** A bridge, a network and a web side for the tests of one file, taken down after them. */
export class Stage {
  /** @type {TestDatabase} */ db;
  network = /** @type {Network} */ (/** @type {unknown} */ (undefined)); // these three are there once a test runs
  web = /** @type {Web} */ (/** @type {unknown} */ (undefined));
  bridge = /** @type {Bridge} */ (/** @type {unknown} */ (undefined));
  /** @type {Bridge[]} */ #bridges = [];
  #serial = 0;
  #env;

  /** @param {Record<string, string>} [env] */
  constructor(env = {}) {
    this.#env = env;
    this.db = new TestDatabase();
    before(async () => {
      this.network = await Network.start();
      this.web = await Web.start();
      this.bridge = await this.another();
    });
    after(async () => {
      await Promise.all(this.#bridges.map((bridge) => bridge.stop('SIGKILL')));
      await Promise.all([this.network?.stop(), this.web?.stop(), this.db.close()]);
    });
  }

  /** One more bridge beside the first. @param {Record<string, string>} [env] */
  async another(env = {}) {
    const bridge = await Bridge.start({ WA_SOCKET_URL: this.network.socketUrl, WEB_URL: this.web.url, ...this.#env, ...env });
    this.#bridges.push(bridge);
    return bridge;
  }

  /** A new phone's number. @param {object} [more] */
  async phone(more) {
    const number = `+4915${String(100000000 + ++this.#serial)}`;
    await this.network.phone(number, more);
    return number;
  }

  /** A session that is linked and connected under term 1. @param {{bridge?: Bridge, number?: string}} [options] */
  async linked({ bridge = this.bridge, number } = {}) {
    const own = number ?? (await this.phone());
    const id = await this.db.makeSession();
    await bridge.open(id, { term: 1, link: { mode: 'qr' } });
    const { qr } = await bridge.status(id, (status) => status.qr);
    await this.network.scan(own, qr.text);
    await bridge.status(id, (status) => status.state === 'connected');
    return { id, number: own };
  }

  /**
   * Until a login has asked for all that it asks for by itself, and its last write has begun: of the settings, once the phone has shared its key.
   * @param {string} id
   * @param {Bridge} bridge
   */
  settled(id, bridge) {
    const last = (/** @type {string} */ line) => line.includes(id) && line.includes('App state sync complete');
    return until(async () => bridge.process.log.some(last));
  }
}

/** @returns {string} a WhatsApp message id */
export function messageId() {
  return `3EB0${randomBytes(9).toString('hex').toUpperCase()}`;
}

/** @param {string} to @param {string} text @param {object} [more] */
export function text(to, text, more = {}) {
  return { term: 1, id: messageId(), to: { phone: to }, content: { type: 'text', text }, ...more };
}
