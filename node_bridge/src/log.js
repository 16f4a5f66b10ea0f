import pino from 'pino';
import { firstLine } from './errors.js';

/** @typedef {pino.Logger} Log */

/** JSON lines on stderr: stdout carries the one ready line and nothing else. @param {string} level @returns {Log} */
export function makeLog(level) {
  return pino(
    {
      level,
      base: { service: 'bridge', pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describe },
    },
    pino.destination({ fd: 2, sync: true }),
  );
}

/** Errors may quote stanzas, numbers or values: type, code and the masked first line are enough. @param {unknown} error */
function describe(error) {
  if (!(error instanceof Error)) return { message: firstLine(error) };
  const { code } = /** @type {{code?: unknown}} */ (error);
  const stack = error.stack?.split('\n').slice(1, 6).map((line) => line.trim());
  return { type: error.name, code, message: firstLine(error), stack };
}
