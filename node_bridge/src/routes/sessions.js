import { BridgeError } from '../errors.js';
import { idOf, object, PHONE, SESSION_ONLY, sessionSchema, TERM } from './schemas.js';

/** @typedef {import('../app.js').Parts} Parts */
/** @typedef {import('fastify').FastifyInstance} FastifyInstance */

const LINK = {
  oneOf: [object({ mode: { const: 'qr' } }, ['mode']), object({ mode: { const: 'code' }, phone: PHONE }, ['mode', 'phone'])],
};
const OPEN = sessionSchema({ owner: { type: 'string', minLength: 1, maxLength: 200 }, term: TERM, link: LINK }, ['owner', 'term']);

// A query is text: a number is so many digits.
const CLOSE = {
  ...SESSION_ONLY,
  querystring: object({ term: { type: 'string', pattern: '^[0-9]{1,15}$' }, logout: { enum: ['true', '1', 'false', '0'] } }, ['term']),
};

/** @param {FastifyInstance} app @param {Parts} parts */
export function sessionRoutes(app, { sessions, lease }) {
  app.put('/session/:id', { schema: OPEN }, async (request, reply) => {
    if (!lease.held()) throw new BridgeError('lease_ran_out', 'this bridge may not act: its lease ran out and was not renewed');
    const body = /** @type {any} */ (request.body);
    return reply.code(202).send(await sessions.open({ id: idOf(request), ...body }));
  });

  app.get('/session/:id/status', { schema: SESSION_ONLY }, async (request) => sessions.get(idOf(request)).status);

  app.get('/sessions', async () => ({ sessions: sessions.list() }));

  app.delete('/session/:id', { schema: CLOSE }, async (request) => {
    const { term, logout } = /** @type {Record<string, string>} */ (request.query);
    return sessions.close(idOf(request), Number(term), logout === 'true' || logout === '1');
  });
}

