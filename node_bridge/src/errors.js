import { maskNumbers } from './mask.js';

/**
 * @typedef {'unauthorized' | 'invalid_request' | 'not_found' | 'stale_term' | 'not_linked' | 'already_linked' | 'not_connected' | 'lease_ran_out'
 *   | 'store_unavailable' | 'internal'} ErrorCode
 */

/** @type {Record<ErrorCode, number>} */
const STATUS = {
  unauthorized: 401,
  invalid_request: 400,
  not_found: 404,
  stale_term: 409,
  not_linked: 409,
  already_linked: 409,
  not_connected: 409,
  lease_ran_out: 409,
  store_unavailable: 503,
  internal: 500,
};

/** A refusal the caller is told in full: its code decides the HTTP status. */
export class BridgeError extends Error {
  /** @param {ErrorCode} code @param {string} message @param {unknown} [detail] */
  constructor(code, message, detail) {
    super(message);
    this.name = 'BridgeError';
    this.code = code;
    this.status = STATUS[code];
    this.detail = detail;
  }

  /** As callers are told. */
  toJSON() {
    return { code: this.code, message: this.message, detail: this.detail ?? null };
  }
}

/** The database could not be reached or did not answer in time. Nothing may be concluded about what it holds. */
export class StoreUnavailable extends BridgeError {
  /** @param {string} message */
  constructor(message) {
    super('store_unavailable', message);
    this.name = 'StoreUnavailable';
  }
}

/** What is stored cannot be opened with the keys at hand: still no absence, but asking again will not help. */
export class Unreadable extends StoreUnavailable {}

/** The session was opened again, under this term or a higher one: whatever this opening still does must change nothing. */
export class StaleTerm extends BridgeError {
  /** @param {string} session @param {number} term */
  constructor(session, term) {
    super('stale_term', `session ${session} was opened under a term higher than ${term}, or once more under it`);
    this.name = 'StaleTerm';
  }
}

/** What may be told of an error, which may quote stanzas, numbers or values: its first line, masked. @param {unknown} error */
export function firstLine(error) {
  const message = error instanceof Error ? error.message : String(error);
  return maskNumbers((message.split('\n')[0] ?? '').slice(0, 300));
}

/** What a caller is told of any error, a validation's among them. @param {any} error @returns {BridgeError} */
export function refusalOf(error) {
  if (error instanceof BridgeError) return error;
  if (error.validation) {
    const detail = error.validation.map((/** @type {any} */ one) => problem(one, error.validationContext));
    return new BridgeError('invalid_request', 'the request is not valid', detail);
  }
  if (error.statusCode >= 400 && error.statusCode < 500) return new BridgeError('invalid_request', error.message);
  return new BridgeError('internal', 'the bridge failed; its log says why');
}

/** @param {any} error @param {string} where */
function problem({ instancePath, params, message }, where) {
  const name = params?.missingProperty ?? params?.additionalProperty;
  const field = [where, ...instancePath.split('/').filter(Boolean), name].filter((part) => part !== undefined).join('.');
  return { field, problem: message };
}
