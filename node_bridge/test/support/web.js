import { createServer } from 'node:http';
import { once } from 'node:events';

/** The web side's door for events: a real HTTP server that keeps what it takes. */
export class Web {
  /** @type {any[]} */ events = [];
  /** @type {{status: number, authorization: string | undefined, batch: any}[]} */ requests = [];
  /** What the next requests are answered with; 200 when it runs out. @type {number[]} */ answers = [];
  /** The status that WebSocket upgrades are refused with. */
  refuseUpgrades = 404;
  /** @type {Set<() => void>} */ #listeners = new Set();
  #server;

  /** @param {import('node:http').Server} server */
  constructor(server) {
    this.#server = server;
  }

  /** @param {number} [port] */
  static async start(port = 0) {
    /** @type {Web} */
    const web = new Web(createServer((request, response) => web.#serve(request, response)));
    web.#server.on('upgrade', (_request, socket) => socket.end(`HTTP/1.1 ${web.refuseUpgrades} No\r\nConnection: close\r\n\r\n`));
    await once(web.#server.listen(port, '127.0.0.1'), 'listening');
    return web;
  }

  get port() {
    return /** @type {import('node:net').AddressInfo} */ (this.#server.address()).port;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The first event that fits, come or still to come. @param {(event: any) => unknown} fits @param {number} [withinMs] @returns {Promise<any>} */
  event(fits, withinMs = 15_000) {
    return this.until(() => this.events.find(fits), withinMs);
  }

  /** @template T @param {() => T} look @param {number} [withinMs] @returns {Promise<NonNullable<T>>} */
  until(look, withinMs = 15_000) {
    return new Promise((resolve, reject) => {
      const done = (/** @type {() => void} */ settle) => {
        clearTimeout(timer);
        this.#listeners.delete(check);
        settle();
      };
      const check = () => {
        const found = look();
        if (found) done(() => resolve(found));
      };
      const timer = setTimeout(() => done(() => reject(new Error(`not told in time; told: ${JSON.stringify(this.events.slice(-5))}`))), withinMs);
      this.#listeners.add(check);
      check();
    });
  }

  async stop() {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async #serve(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const batch = parsed(Buffer.concat(chunks).toString());
    const status = batch ? (this.answers.shift() ?? 200) : 400;
    this.requests.push({ status, authorization: request.headers.authorization, batch });
    if (status === 200) this.events.push(...batch.events);
    response.writeHead(status).end(batch ? '{}' : '{"code":"malformed_json"}');
    for (const check of this.#listeners) check();
  }
}

/** @param {string} body @returns {any} null when it is no JSON */
function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}
