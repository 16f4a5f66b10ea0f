import { parseArgs } from 'node:util';
import pino from 'pino';
import { spareKeyChecks } from '../src/spare-key-checks.js';
import { startSimulator } from './server.js';

const USAGE = 'usage: main.js [--port 8099] [--host 127.0.0.1] [--data DIR] [--log-level info]';
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

spareKeyChecks();
// libsignal prints sessions, private keys included, through console.
for (const method of /** @type {const} */ (['info', 'warn', 'error', 'log', 'debug'])) console[method] = () => {};

/** @param {unknown} line */
const say = (line) => void process.stdout.write(`${JSON.stringify(line)}\n`);

/** @param {string} error */
function giveUp(error) {
  say({ ready: false, error });
  process.exit(1);
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '8099' },
      host: { type: 'string', default: '127.0.0.1' },
      data: { type: 'string' },
      'log-level': { type: 'string', default: 'info' },
    },
  });
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new Error(`--port must be 0 to 65535, not ${values.port}`);
  if (!LEVELS.includes(values['log-level'])) throw new Error(`--log-level must be one of ${LEVELS.join(', ')}`);
  return { port, host: values.host, data: values.data, level: values['log-level'] };
}

async function main() {
  const { level, ...options } = readOptions();
  const log = pino({ level, base: { service: 'simulator' } }, pino.destination({ dest: 2, sync: true }));
  const { port, url, socketUrl, close } = await startSimulator({ ...options, log });
  let stopping = false;
  const stop = (/** @type {string} */ why) => {
    if (stopping) return;
    stopping = true;
    log.info({ why }, 'stopping');
    close().then(() => process.exit(0), (error) => {
      log.fatal({ err: error }, 'could not stop cleanly');
      process.exit(1);
    });
  };
  process.once('SIGTERM', () => stop('SIGTERM'));
  process.once('SIGINT', () => stop('SIGINT'));
  if (process.env.SIMULATOR_EXIT_WITH_PARENT === '1') process.stdin.resume().on('end', () => stop('parent is gone')).on('error', () => stop('parent is gone'));
  process.on('unhandledRejection', (error) => {
    log.fatal({ err: error }, 'stopping: what was acked could not be kept');
    process.exit(1);
  });
  log.info({ url, data: options.data ?? 'in memory' }, 'the simulated WhatsApp network is up');
  say({ ready: true, port, socket_url: socketUrl, url, pid: process.pid });
}

main().catch((error) => giveUp(error.code?.startsWith('ERR_PARSE_ARGS') ? `${error.message} (${USAGE})` : error.message));
