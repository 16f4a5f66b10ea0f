import { refusalOf } from '../errors.js';
import { idOf, MAX_TEXT, object, PHONE, SESSION, sessionSchema, TERM } from './schemas.js';

/** @typedef {import('../app.js').Parts} Parts */
/** @typedef {import('fastify').FastifyInstance} FastifyInstance */

const ADDRESS = { type: 'string', pattern: '^[0-9]{1,20}@(lid|s\\.whatsapp\\.net)$' };
const LID = { type: 'string', pattern: '^[0-9]{1,20}(@lid)?$' };
const FIELDS = {
  term: TERM,
  id: { type: 'string', pattern: '^[A-Za-z0-9._-]{8,64}$' },
  to: object({ phone: PHONE, lid: LID, address: ADDRESS }, ['phone']),
  content: object({ type: { const: 'text' }, text: { type: 'string', minLength: 1, maxLength: MAX_TEXT } }, ['type', 'text']),
  typing_ms: { type: 'integer', minimum: 0, maximum: 15_000, default: 0 },
  valid_for_ms: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
  expires_at: { type: 'string', format: 'date-time' },
  resend: { type: 'boolean', default: false },
  attempt: { type: 'integer', minimum: 1 },
};
const NEEDED = ['term', 'id', 'to', 'content'];
const SEND = sessionSchema(FIELDS, NEEDED);
const ONE_OF_MANY = object({ session: SESSION, ...FIELDS }, ['session', ...NEEDED]);
const MOST = 100;
const MOST_BYTES = MOST * 64 * 1024; // 4,000 characters escaped take 48 KB
const SENDS = { body: object({ sends: { type: 'array', minItems: 1, maxItems: MOST } }, ['sends']) };
const CHECK = sessionSchema({ term: TERM, phones: { type: 'array', items: PHONE, minItems: 1, maxItems: 50, uniqueItems: true } }, ['term', 'phones']);

/** @param {FastifyInstance} app @param {Parts} parts */
export function messageRoutes(app, { sessions, lease, log }) {
  /** @param {string} session @param {any} request @returns {Promise<import('../engine/outcomes.js').Outcome>} */
  const send = async (session, { term, valid_for_ms: validFor, ...message }) => {
    if (!lease.held()) return { outcome: 'not_sent', reason: 'not_connected' };
    const deadline = validFor === undefined ? undefined : performance.now() + validFor;
    return sessions.under(session, term).send({ ...message, deadline });
  };

  app.post('/session/:id/messages', { schema: SEND }, (request) => send(idOf(request), request.body));

  app.post('/messages', { schema: SENDS, bodyLimit: MOST_BYTES }, (request, reply) => {
    const fits = request.compileValidationSchema(ONE_OF_MANY);
    /** One that is refused refuses none of the others. @param {any} one */
    const line = async (one) => {
      const named = { session: one?.session, id: one?.id };
      try {
        if (!fits(one)) throw { validation: fits.errors, validationContext: 'send' };
        const { session, ...message } = one;
        return { ...named, ...(await send(session.toLowerCase(), message)) };
      } catch (error) {
        const refusal = refusalOf(error);
        if (refusal.status >= 500) log.error({ err: error, route: '/messages' }, 'a request failed');
        return { ...named, error: refusal };
      }
    };
    reply.hijack();
    answerAsTheyCome(reply.raw, /** @type {any} */ (request.body).sends.map(line));
  });

  app.post('/session/:id/check', { schema: CHECK }, async (request) => {
    const { term, phones } = /** @type {any} */ (request.body);
    return sessions.under(idOf(request), term).check(phones);
  });
}

/**
 * A line for each, as soon as it is known; what comes at the same moment goes together.
 * @param {import('node:http').ServerResponse} response
 * @param {Promise<object>[]} answers
 */
function answerAsTheyCome(response, answers) {
  let left = answers.length;
  /** @type {object[]} */ let known = [];
  const write = () => {
    const lines = known.map((one) => `${JSON.stringify(one)}\n`).join('');
    known = [];
    if (left === 0) response.end(lines);
    else response.write(lines);
  };
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
  for (const answer of answers) {
    answer.then((one) => {
      left -= 1;
      if (known.push(one) === 1) setImmediate(write);
    });
  }
}
