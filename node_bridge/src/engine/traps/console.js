import { maskNumbers } from '../../mask.js';

/** @typedef {import('../../log.js').Log} Log */

/**
 * libsignal prints whole sessions, private keys included, through console.info and console.warn. Nothing of this process
 * may print: of each call only the leading text goes to the log.
 * @param {Log} log
 */
export function silenceConsole(log) {
  for (const method of /** @type {const} */ (['log', 'info', 'warn', 'error', 'debug', 'trace', 'dir'])) {
    console[method] = (/** @type {unknown} */ first) => {
      if (typeof first === 'string') log.debug({ console: method }, maskNumbers((first.split('\n')[0] ?? '').slice(0, 80)));
    };
  }
}
