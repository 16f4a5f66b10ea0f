import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** @typedef {import('node:child_process').ChildProcess} ChildProcess */

const READY_MS = 20_000;
const COMPILED = fileURLToPath(new URL('../../node_modules/.cache/compiled', import.meta.url));

/**
 * Starts a program of this package and waits for its ready line on stdout.
 * @param {string} script - relative to the package @param {{args?: string[], env?: Record<string, string>}} options
 */
export async function start(script, { args = [], env = {} } = {}) {
  const path = fileURLToPath(new URL(`../../${script}`, import.meta.url));
  const child = spawn(process.execPath, [path, ...args], {
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: COMPILED, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  /** @type {string[]} */
  const log = [];
  createInterface({ input: /** @type {any} */ (child.stderr) }).on('line', (line) => log.push(line));
  const exited = once(child, 'exit');
  const lines = createInterface({ input: /** @type {any} */ (child.stdout) });
  const signal = AbortSignal.timeout(READY_MS);
  const [first] = await Promise.race([once(lines, 'line', { signal }), exited.then(() => [''])]);
  if (!first) throw new Error(`${script} ended before it was ready: ${log.slice(-5).join('\n')}`);
  return { child, ready: JSON.parse(first), log, exited: exited.then(([code, by]) => code ?? by) };
}

/** @param {{child: ChildProcess, exited: Promise<unknown>} | undefined} running @param {NodeJS.Signals} [signal] */
export async function stop(running, signal = 'SIGTERM') {
  if (!running) return undefined;
  running.child.kill(signal);
  return running.exited;
}
