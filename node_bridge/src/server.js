import { setTimeout as sleep } from 'node:timers/promises';
import { buildApp } from './app.js';
import { ClientVersion } from './engine/client-version.js';
import { Outbox } from './events/outbox.js';
import { Lease } from './lease.js';
import { Sessions } from './sessions.js';
import { Signals } from './signals.js';
import { Store } from './store/store.js';

/** @typedef {import('./config.js').Config} Config */
/** @typedef {import('./log.js').Log} Log */

const TIDY_EVERY_MS = 60 * 60 * 1000;
const GIVE_UP_MS = 4_000;

/**
 * Puts the parts together and listens on 127.0.0.1. `stop` closes every socket without logging out and takes 5 s at most.
 * @param {Config} config @param {Log} log @returns {Promise<{port: number, stop: () => Promise<void>}>}
 */
export async function startServer(config, log) {
  const store = new Store({ url: config.databaseUrl, connections: config.databaseConnections, ring: config.keyRing, log });
  const outbox = new Outbox({ dir: config.spoolDir, maxBytes: config.spoolMaxBytes, webUrl: config.webUrl, secret: config.secret, log });
  const signals = new Signals();
  const lease = new Lease(() => {
    log.warn({ sessions: sessions.size }, 'the lease ran out: every session is closed');
    sessions.closeAll('lease_ran_out');
  });
  const clientVersion = new ClientVersion({ url: config.versionUrl, log });
  const mayAct = () => lease.held();
  const { socketUrl, ackTimeoutMs, lookupLimit } = config;
  const sessions = new Sessions({ store, outbox, signals, clientVersion, mayAct, socketUrl, ackTimeoutMs, lookupLimit, log });
  const app = buildApp({ secret: config.secret, log, sessions, lease, signals, outbox, clientVersion });
  const tidy = () => {
    sessions.sweep();
    prune(store, log);
  };
  const tidying = setInterval(tidy, TIDY_EVERY_MS * (0.9 + Math.random() / 5));
  await app.listen({ port: config.port, host: '127.0.0.1' });

  const stop = async () => {
    clearInterval(tidying);
    lease.close();
    await atMost(GIVE_UP_MS, sessions.stop().then(() => store.close()));
    signals.close();
    await atMost(GIVE_UP_MS / 4, Promise.all([app.close(), outbox.close()]));
  };
  return { port: /** @type {import('node:net').AddressInfo} */ (app.server.address()).port, stop };
}

/** @param {Store} store @param {Log} log */
async function prune(store, log) {
  try {
    log.info({ removed: await store.prune() }, 'old sent messages were removed');
  } catch (err) {
    log.warn({ err }, 'old sent messages could not be removed');
  }
}

/** @param {number} ms @param {Promise<unknown>} work */
async function atMost(ms, work) {
  await Promise.race([work.catch(() => {}), sleep(ms, undefined, { ref: false })]);
}
