import { once } from 'node:events';
import { createServer as createTlsServer } from 'node:https';
import { createServer } from 'node:net';

const TLS_HANDSHAKE = 0x16;
const FIRST_BYTE_TIMEOUT_MS = 60_000;

/** One port for plain and for encrypted connections: the first byte tells which it is. */
export class Front {
  /** @type {Set<import('node:net').Socket>} */
  #sockets = new Set();
  #plain;
  #tls;
  #listener = createServer((socket) => this.#accept(socket));

  /** @param {import('fastify').FastifyInstance} app made ready already @param {import('./media/certificate.js').Certificate} certificate */
  constructor(app, certificate) {
    this.#plain = app.server;
    this.#tls = createTlsServer(certificate, app.routing);
    this.#tls.on('upgrade', (...args) => this.#plain.emit('upgrade', ...args));
    // A client that does not trust the certificate hangs up: its business.
    this.#tls.on('tlsClientError', () => {});
  }

  /** @param {{port: number, host: string}} where @returns {Promise<number>} the port */
  async listen({ port, host }) {
    this.#listener.listen({ port, host });
    await once(this.#listener, 'listening');
    return /** @type {import('node:net').AddressInfo} */ (this.#listener.address()).port;
  }

  /** @param {import('node:net').Socket} socket */
  #accept(socket) {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.setTimeout(FIRST_BYTE_TIMEOUT_MS, () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.once('data', (first) => {
      socket.setTimeout(0);
      socket.removeAllListeners('timeout');
      socket.pause();
      socket.unshift(first);
      (first[0] === TLS_HANDSHAKE ? this.#tls : this.#plain).emit('connection', socket);
      process.nextTick(() => socket.resume());
    });
  }

  async close() {
    const closed = this.#listener.listening ? once(this.#listener, 'close') : undefined;
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
