import { maskNumbers } from '../mask.js';

/** @typedef {import('../log.js').Log} Log */

/**
 * The engine's own log lines carry stanzas, keys and message bodies: of each only its text passes, masked, and of an error
 * its message. What it calls an error is mostly a closed socket, so everything comes down one level or two.
 * @param {Log} log @returns {any} what Baileys calls an ILogger
 */
export function engineLog(log) {
  /** @param {'debug' | 'info'} level @returns {(fields: any, text?: string) => void} */
  const pass = (level) => (fields, text) => {
    if (!log.isLevelEnabled(level)) return;
    log[level]({ engine: true, cause: causeOf(fields) }, maskNumbers(text ?? (typeof fields === 'string' ? fields : '')));
  };
  const quiet = () => {};
  const self = { level: 'info', trace: quiet, debug: quiet, info: pass('debug'), warn: pass('debug'), error: pass('info'), child: () => self };
  return self;
}

/** @param {any} fields */
function causeOf(fields) {
  const error = fields?.err ?? fields?.error ?? fields?.e;
  const text = error instanceof Error ? error.message : fields?.trace;
  return typeof text === 'string' ? maskNumbers((text.split('\n')[0] ?? '').slice(0, 200)) : undefined;
}
