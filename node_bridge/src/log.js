import pino from 'pino';
import { firstLine } from './errors.js';
import { maskNumbers } from './mask.js';

/** @typedef {pino.Logger} Log */

export const FRAMES = 5; // of a stack trace

/**
 * JSON lines on stderr, with the keys of the application's: stdout carries the one ready line and nothing else.
 * @param {string} level
 * @param {pino.DestinationStream} [to]
 * @returns {Log}
 */
export function makeLog(level, to = pino.destination({ fd: 2, sync: true })) {
  return pino(
    {
      level,
      base: { logger: 'bridge', pid: process.pid },
      messageKey: 'event',
      timestamp: () => `,"timestamp":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label === 'warn' ? 'warning' : label }) },
      serializers: { err: describe },
    },
    to,
  );
}

/**
 * Errors may quote stanzas, numbers or values: type, code, the masked first line and the frames are enough; a stack begins with all lines of
 * the message.
 * @param {unknown} error
 */
function describe(error) {
  if (!(error instanceof Error)) return { message: firstLine(error) };
  const { code } = /** @type {{code?: unknown}} */ (error);
  const stack = error.stack?.split('\n').filter((line) => /^\s+at /.test(line)).slice(0, FRAMES).map((line) => maskNumbers(line.trim()));
  return { type: error.name, code, message: firstLine(error), stack };
}
