import { until } from './until.js';
import { start, stop } from './processes.js';

/** The simulated WhatsApp network as a process, and its control API. */
export class Network {
  /** @param {Awaited<ReturnType<typeof start>>} running */
  constructor(running) {
    this.process = running;
    this.url = running.ready.url;
    this.socketUrl = running.ready.socket_url;
  }

  /** @param {string[]} [args] */
  static async start(args = []) {
    return new Network(await start('simulator/main.js', { args: ['--port', '0', ...args] }));
  }

  /** @param {string} method @param {string} path @param {object} [body] @returns {Promise<any>} */
  async call(method, path, body) {
    const headers = body ? { 'content-type': 'application/json' } : undefined;
    const response = await fetch(`${this.url}/api${path}`, { method, headers, body: body && JSON.stringify(body), signal: AbortSignal.timeout(20_000) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  /** @param {string} number @param {object} [more] */
  phone(number, more = {}) {
    return this.call('POST', '/phones', { number, ...more });
  }

  /** @param {string} number @param {string} qr */
  scan(number, qr) {
    return this.call('POST', `/phones/${encodeURIComponent(number)}/scan`, { qr });
  }

  /** What a phone shows, in the order of arrival. @param {string} number @returns {Promise<any[]>} */
  async shown(number) {
    return (await this.call('GET', `/phones/${encodeURIComponent(number)}/shown`)).messages;
  }

  /** @param {object} fault */
  fault(fault) {
    return this.call('POST', '/faults', { times: 1, ...fault });
  }

  /** @param {() => Promise<unknown>} holds @param {number} [withinMs] */
  until(holds, withinMs) {
    return until(holds, withinMs);
  }

  stop() {
    return stop(this.process);
  }
}
