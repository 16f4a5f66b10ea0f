import { firstLine } from '../errors.js';
import { isoOf } from './times.js';

/** @typedef {import('../status.js').Close} Close */

/** What WhatsApp's codes mean in the bridge's own words. */
const REASONS = /** @type {Record<number, string>} */ ({
  401: 'logged_out',
  402: 'banned_temporarily',
  403: 'forbidden',
  405: 'client_outdated',
  406: 'locked',
  408: 'timed_out',
  411: 'not_multidevice',
  428: 'connection_lost',
  440: 'replaced',
  500: 'server_error',
  503: 'unavailable',
  515: 'restart_required',
});

/**
 * @param {unknown} error - what the engine gave as the cause; none when it was closed on purpose
 * @param {{linking: boolean, now: number}} context - `linking`: codes were shown, which run out
 * @returns {Close}
 */
export function classify(error, { linking, now }) {
  const boom = /** @type {{message?: string, data?: any, output?: {statusCode?: number}}} */ (error ?? {});
  const code = boom.output?.statusCode ?? 0;
  // The HTTP answer of a proxy or a broken name: a 401 from there must never be read as a logout.
  if (boom.message?.startsWith('WebSocket Error')) return { code, reason: 'connect_failed', detail: cause(boom) };
  if (code === 408 && linking) return { code, reason: 'link_expired', detail: null };
  const reason = REASONS[code] ?? (code === 0 ? 'connection_lost' : 'server_error');
  return { code, reason, detail: reason === 'banned_temporarily' ? ban(boom.data, now) : cause(boom) };
}

/** @param {any} attrs - `expire` is in seconds from now @param {number} now */
function ban(attrs, now) {
  const seconds = Number(attrs?.expire);
  const until = (seconds > 0 && isoOf(now / 1000 + seconds)) || null;
  return { until, kind: attrs?.code === undefined ? null : String(attrs.code) };
}

/** @param {{message?: string}} boom */
function cause(boom) {
  return boom.message ? { cause: firstLine(boom.message) } : null;
}
