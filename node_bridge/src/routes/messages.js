import { idOf, MAX_TEXT, object, PHONE, sessionSchema, TERM } from './schemas.js';

/** @typedef {import('../app.js').Parts} Parts */
/** @typedef {import('fastify').FastifyInstance} FastifyInstance */

const ADDRESS = { type: 'string', pattern: '^[0-9]{1,20}@(lid|s\\.whatsapp\\.net)$' };
const LID = { type: 'string', pattern: '^[0-9]{1,20}(@lid)?$' };
const SEND = sessionSchema(
  {
    term: TERM,
    id: { type: 'string', pattern: '^[A-Za-z0-9._-]{8,64}$' },
    to: object({ phone: PHONE, lid: LID, address: ADDRESS }, ['phone']),
    content: object({ type: { const: 'text' }, text: { type: 'string', minLength: 1, maxLength: MAX_TEXT } }, ['type', 'text']),
    typing_ms: { type: 'integer', minimum: 0, maximum: 15_000, default: 0 },
    valid_for_ms: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    expires_at: { type: 'string', format: 'date-time' },
    resend: { type: 'boolean', default: false },
    attempt: { type: 'integer', minimum: 1 },
  },
  ['term', 'id', 'to', 'content'],
);
const CHECK = sessionSchema({ term: TERM, phones: { type: 'array', items: PHONE, minItems: 1, maxItems: 50, uniqueItems: true } }, ['term', 'phones']);

/** @param {FastifyInstance} app @param {Parts} parts */
export function messageRoutes(app, { sessions, lease }) {
  app.post('/session/:id/messages', { schema: SEND }, async (request) => {
    if (!lease.held()) return { outcome: 'not_sent', reason: 'not_connected' };
    const { term, valid_for_ms: validFor, ...send } = /** @type {any} */ (request.body);
    const deadline = validFor === undefined ? undefined : performance.now() + validFor;
    return sessions.under(idOf(request), term).send({ ...send, deadline });
  });

  app.post('/session/:id/check', { schema: CHECK }, async (request) => {
    const { term, phones } = /** @type {any} */ (request.body);
    return sessions.under(idOf(request), term).check(phones);
  });
}

