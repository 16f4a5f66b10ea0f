import { createHash, timingSafeEqual } from 'node:crypto';
import { BridgeError } from './errors.js';

/** @typedef {import('fastify').FastifyRequest} FastifyRequest */

/**
 * The secret as Bearer, X-API-Key or `secret` in a JSON body; compared by digest, so that neither content nor length shows in time.
 * @param {string} secret @returns {(request: FastifyRequest) => Promise<void>} a hook for after the body was read
 */
export function requireSecret(secret) {
  const expected = digest(secret);
  return async (request) => {
    if (presented(request).some((given) => timingSafeEqual(digest(given), expected))) return dropSecret(request.body);
    request.log.warn({ address: request.ip, method: request.method, route: request.routeOptions.url ?? 'unknown' }, 'unauthorized');
    throw new BridgeError('unauthorized', 'the secret is missing or wrong');
  };
}

/** @param {FastifyRequest} request @returns {string[]} */
function presented({ headers, body }) {
  const bearer = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1];
  const inBody = /** @type {any} */ (body)?.secret;
  return [bearer, headers['x-api-key'], inBody].filter((value) => typeof value === 'string');
}

/** No route knows of it. @param {any} body */
function dropSecret(body) {
  if (body && typeof body === 'object') delete body.secret;
}

/** @param {string} text */
function digest(text) {
  return createHash('sha256').update(text).digest();
}
