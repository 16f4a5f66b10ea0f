import { buildApp } from './control/app.js';
import { Front } from './front.js';
import { Network } from './network.js';
import { memoryStore, openStore } from './persistence.js';

/** @typedef {{port: number, host: string, data?: string | undefined, log: import('pino').Logger}} Options */

/** Starts a network and listens.
 * @param {Options} options port 0 takes any free one
 * @returns {Promise<{net: Network, port: number, url: string, socketUrl: string, close: () => Promise<void>}>}
 * @throws {Error} with one clear line: the port is taken, the data directory is in use or not writable
 */
export async function startSimulator({ port, host, data, log }) {
  const net = new Network({ store: data ? await openStore(data) : memoryStore(), log, directory: data, host });
  const app = await buildApp(net);
  await app.ready();
  const front = new Front(app, net.certificate);
  const close = async () => {
    await front.close();
    await app.close();
    await net.close();
  };
  const taken = await front.listen({ port, host }).catch(async (error) => {
    await close();
    throw new Error(listenProblem(error, `${host}:${port}`));
  });
  net.mediaHost = `${host}:${taken}`;
  return { net, port: taken, url: `http://${host}:${taken}`, socketUrl: `ws://${host}:${taken}/ws/chat`, close };
}

/** @param {NodeJS.ErrnoException} error @param {string} where */
function listenProblem(error, where) {
  if (error.code === 'EADDRINUSE') return `${where} is taken by another program; choose another --port`;
  if (error.code === 'EACCES') return `${where} may not be used by this user; choose another --port`;
  return `cannot listen on ${where}: ${error.message}`;
}
