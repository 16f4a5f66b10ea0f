import { el } from '../wire/nodes.js';

/** @typedef {import('../wire/connection.js').Connection} Connection */

/** Which linked device is connected by which socket. */
export class Sockets {
  /** @type {Set<Connection>} */
  all = new Set();
  /** @type {Map<string, Connection>} */
  #byDevice = new Map();

  /** @param {string} number @param {number} device */
  of(number, device) {
    return this.#byDevice.get(`${number}/${device}`);
  }

  /** The newest login wins; the older one is told so. @param {Connection} conn @param {import('../registry.js').Device} device */
  claim(conn, device) {
    const name = `${device.number}/${device.device}`;
    const older = this.#byDevice.get(name);
    this.#byDevice.set(name, conn);
    conn.device = device;
    older?.streamError(undefined, [el('conflict', { type: 'replaced' })]);
  }

  /** @param {Connection} conn */
  release(conn) {
    this.all.delete(conn);
    const { device } = conn;
    if (!device) return;
    const name = `${device.number}/${device.device}`;
    if (this.#byDevice.get(name) === conn) this.#byDevice.delete(name);
  }
}
