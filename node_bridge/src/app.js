import Fastify, { LogController } from 'fastify';
import { requireSecret } from './auth.js';
import { BridgeError, refusalOf } from './errors.js';
import { healthRoutes } from './routes/health.js';
import { leaseRoutes } from './routes/lease.js';
import { linkingRoutes } from './routes/linking.js';
import { messageRoutes } from './routes/messages.js';
import { restrictionRoutes } from './routes/restrictions.js';
import { sessionRoutes } from './routes/sessions.js';
import { signalRoutes } from './routes/signals.js';

/** @typedef {import('fastify').FastifyInstance} FastifyInstance */
/**
 * @typedef {{secret: string, log: import('./log.js').Log, sessions: import('./sessions.js').Sessions, lease: import('./lease.js').Lease,
 *   signals: import('./signals.js').Signals, outbox: import('./events/outbox.js').Outbox,
 *   clientVersion: import('./engine/client-version.js').ClientVersion}} Parts
 */

const BODY_LIMIT = 128 * 1024; // bytes; 4,000 characters fit many times over

/** The HTTP side, apart from listening. @param {Parts} parts @returns {FastifyInstance} */
export function buildApp(parts) {
  const app = Fastify({
    loggerInstance: /** @type {import('fastify').FastifyBaseLogger} */ (/** @type {unknown} */ (parts.log)),
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT,
    forceCloseConnections: true, // GET /signals never ends by itself
    frameworkErrors: (error, _request, reply) => answer(reply, refusalOf(error)),
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, allErrors: true } },
  });
  app.setErrorHandler((error, request, reply) => {
    const refusal = refusalOf(error);
    if (refusal.status >= 500) request.log.error({ err: error, route: request.routeOptions.url }, 'a request failed');
    return answer(reply, refusal);
  });
  app.register(async (guarded) => {
    const hook = requireSecret(parts.secret);
    guarded.addHook('preValidation', hook);
    guarded.addHook('preHandler', async () => void parts.lease.held()); // what has ended must not be answered for
    guarded.setNotFoundHandler({ preValidation: hook }, async () => {
      throw new BridgeError('not_found', 'there is no such route');
    });
    sessionRoutes(guarded, parts);
    messageRoutes(guarded, parts);
    restrictionRoutes(guarded, parts);
    linkingRoutes(guarded, parts);
    signalRoutes(guarded, parts);
    healthRoutes(guarded, parts);
    leaseRoutes(guarded, parts);
  });
  app.get('/health/live', async () => ({ status: 'ok' }));
  return app;
}

/** @param {any} reply @param {BridgeError} refusal */
function answer(reply, refusal) {
  return reply.code(refusal.status).send({ error: refusal });
}
