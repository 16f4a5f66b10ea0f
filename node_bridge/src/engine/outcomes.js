import { StaleTerm, StoreUnavailable } from '../errors.js';

/**
 * @typedef {'not_connected' | 'not_on_whatsapp' | 'expired' | 'rate_limited' | 'no_devices' | 'encryption_failed' | 'store_unavailable' | 'lookup_failed'
 *   | 'lookup_throttled'} NotSentReason
 * @typedef {{outcome: 'acked', address: string, at: string} | {outcome: 'rejected', code: string, address: string}
 *   | {outcome: 'not_sent', reason: NotSentReason} | {outcome: 'unknown', reason: 'ack_timeout' | 'connection_lost'}} Outcome
 */

/** This attempt has surely not touched the wire. */
export class NotSent extends Error {
  /** @param {NotSentReason} reason */
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

const RATE_LIMIT = 429;

/**
 * Why a question to the server failed. Baileys rejects with a bare close code when the socket drops, and hides 429 in `data`.
 * @param {any} error @param {boolean} ended - whether the session has ended meanwhile
 * @returns {NotSent}
 */
export function notSentBecause(error, ended) {
  if (error instanceof NotSent) return error;
  if (error instanceof StoreUnavailable || error instanceof StaleTerm) return new NotSent('store_unavailable');
  if (error?.data === RATE_LIMIT || error?.output?.statusCode === RATE_LIMIT) return new NotSent('rate_limited');
  if (ended || !(error instanceof Error) || isClosed(error)) return new NotSent('not_connected');
  if (error.message === 'All encryptions failed') return new NotSent('encryption_failed');
  return new NotSent('lookup_failed');
}

/** @param {any} error */
function isClosed(error) {
  return error.output?.statusCode === 428;
}
