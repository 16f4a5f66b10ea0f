import { culprit } from './attribution.js';
import { ConfigError, readConfig } from './config.js';
import { silenceConsole } from './engine/traps/console.js';
import { downloadWhole } from './engine/traps/downloads.js';
import { keepContextOfJobs } from './engine/traps/queued-jobs.js';
import { keepSessionsWhole } from './engine/traps/signal-sessions.js';
import { FRAMES, makeLog } from './log.js';
import { startServer } from './server.js';
import { spareKeyChecks } from './spare-key-checks.js';

/** @param {object} line */
function announce(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** @param {unknown} error @returns {string} one line */
function explain(error) {
  const { code, message } = /** @type {{code?: string, message?: string}} */ (error ?? {});
  if (code === 'EADDRINUSE') return `port ${process.env.WHATSAPP_PORT ?? 8002} on 127.0.0.1 is in use: stop what listens there or set WHATSAPP_PORT`;
  return (message ?? String(error)).split('\n')[0] ?? '';
}

async function main() {
  Error.stackTraceLimit = FRAMES; // all that the log tells: the engine writes a stack trace for each of its questions, and one more for each answer
  const config = readConfig(process.env);
  const log = makeLog(config.logLevel);
  silenceConsole(log);
  keepContextOfJobs();
  keepSessionsWhole();
  downloadWhole();
  spareKeyChecks();
  // The engine leaves rejections behind when a socket drops; one session's must not end the others.
  process.on('unhandledRejection', (err) => log.warn({ err }, 'a rejection was not handled'));
  process.on('uncaughtException', (err) => {
    const session = culprit();
    if (session) return session.crashed(err);
    log.fatal({ err }, 'the bridge broke');
    process.exit(1);
  });
  const { port, stop } = await startServer(config, log);

  let stopping = false;
  const leave = (/** @type {string} */ why) => {
    if (stopping) return;
    stopping = true;
    log.info({ why }, 'bridge stopping');
    setTimeout(() => process.exit(0), 5_000).unref();
    stop().finally(() => process.exit(0));
  };
  process.on('SIGTERM', () => leave('SIGTERM'));
  process.on('SIGINT', () => leave('SIGINT'));
  if (config.exitWithParent) process.stdin.resume().on('end', () => leave('the parent is gone')).on('error', () => leave('the parent is gone'));

  log.info({ port, node: process.version, simulated: Boolean(config.socketUrl) }, 'bridge ready');
  announce({ ready: true, port, pid: process.pid });
}

main().catch((error) => {
  if (!(error instanceof ConfigError)) process.stderr.write(`${error?.stack ?? error}\n`);
  announce({ ready: false, error: explain(error) });
  process.exitCode = 1;
  setTimeout(() => process.exit(1), 100).unref();
});
