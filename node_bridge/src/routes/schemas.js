export const PHONE = { type: 'string', pattern: '^\\+[1-9][0-9]{6,14}$' };
export const TERM = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
export const MAX_TEXT = 4_000; // characters

const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'; // the format "uuid" lets urn:uuid:… pass
export const SESSION = { type: 'string', pattern: UUID };
const ID = { type: 'object', required: ['id'], properties: { id: SESSION } };

/** Every route of a session: its id, and a body that knows its fields. @param {Record<string, object>} properties @param {string[]} required */
export function sessionSchema(properties, required) {
  return { params: ID, body: object(properties, required) };
}

export const SESSION_ONLY = { params: ID };

/** @param {Record<string, object>} properties @param {string[]} required */
export function object(properties, required) {
  return { type: 'object', properties, required, additionalProperties: false };
}

/** @param {import('fastify').FastifyRequest} request @returns {string} */
export function idOf(request) {
  return /** @type {{id: string}} */ (request.params).id.toLowerCase();
}
