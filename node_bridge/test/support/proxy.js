import { connect, createServer } from 'node:net';
import { EventEmitter, once } from 'node:events';

/** A TCP way to a server that can be cut and mended, and held up. Emits `said` when the server has said something, passed on or not. */
export class Proxy extends EventEmitter {
  /** @type {Set<import('node:net').Socket>} */ #sockets = new Set();
  /** @type {Map<import('node:net').Socket, import('node:net').Socket>} from whoever calls to the server */ #ways = new Map();
  #cut = false;
  /** How long what the server says is held back. */
  delayMs = 0;
  #server;

  /** @param {string} host @param {number} port */
  constructor(host, port) {
    super();
    this.#server = createServer((socket) => this.#join(socket, connect(port, host)));
  }

  /** Stands before the server of a URL. @param {string} url @returns {Promise<{proxy: Proxy, url: string}>} the same URL by way of the proxy */
  static async before(url) {
    const target = new URL(url);
    const proxy = new Proxy(target.hostname, Number(target.port));
    await once(proxy.#server.listen(0, '127.0.0.1'), 'listening');
    target.port = String(/** @type {import('node:net').AddressInfo} */ (proxy.#server.address()).port);
    return { proxy, url: target.href };
  }

  cut() {
    this.#cut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.#cut = false;
  }

  /** Holds back whatever is said to the server on the connections that there are now. @returns {() => void} lets it pass */
  hold() {
    const held = [...this.#ways];
    for (const [near, far] of held) near.unpipe(far).pause();
    return () => held.forEach(([near, far]) => near.pipe(far));
  }

  close() {
    this.cut();
    this.#server.close();
  }

  /** @param {import('node:net').Socket} near @param {import('node:net').Socket} far */
  #join(near, far) {
    for (const [socket, other] of [[near, far], [far, near]]) {
      this.#sockets.add(/** @type {any} */ (socket));
      socket?.on('error', () => {}).on('close', () => {
        this.#sockets.delete(/** @type {any} */ (socket));
        this.#ways.delete(/** @type {any} */ (socket));
        other?.destroy();
      });
    }
    if (this.#cut) return near.destroy();
    this.#ways.set(near, far);
    near.pipe(far);
    far.on('data', (chunk) => {
      if (this.delayMs) setTimeout(() => near.write(chunk), this.delayMs);
      else near.write(chunk);
      this.emit('said');
    });
  }
}
