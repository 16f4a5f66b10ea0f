import { object } from './schemas.js';

/** @typedef {import('../app.js').Parts} Parts */
/** @typedef {import('fastify').FastifyInstance} FastifyInstance */

const LONGEST_MS = 600_000;
const RENEW = { body: object({ good_for_ms: { type: 'integer', minimum: 0, maximum: LONGEST_MS } }, ['good_for_ms']) };

/** @param {FastifyInstance} app @param {Parts} parts */
export function leaseRoutes(app, { lease }) {
  app.put('/lease', { schema: RENEW }, async (request) => ({ held: lease.renew(/** @type {any} */ (request.body).good_for_ms) }));
}
