import { idOf, sessionSchema, TERM } from './schemas.js';

/** @typedef {import('../app.js').Parts} Parts */
/** @typedef {import('fastify').FastifyInstance} FastifyInstance */

const ASK = sessionSchema({ term: TERM }, ['term']);

/** @param {FastifyInstance} app @param {Parts} parts */
export function restrictionRoutes(app, { sessions }) {
  app.post('/session/:id/restrictions', { schema: ASK }, async (request, reply) => {
    const { term } = /** @type {any} */ (request.body);
    sessions.under(idOf(request), term).askRestrictions();
    return reply.code(202).send({ asked: true });
  });
}
