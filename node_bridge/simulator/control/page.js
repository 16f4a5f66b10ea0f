import { readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PAGE = fileURLToPath(new URL('../page/', import.meta.url));
/** @type {Record<string, string>} */
const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml', '.png': 'image/png', '.json': 'application/json', '.woff2': 'font/woff2', '.ico': 'image/x-icon',
};

/** The page of the virtual phones: static files, and nothing but those with a known type.
 * @param {import('fastify').FastifyInstance} app
 */
export async function pageRoutes(app) {
  app.get('/*', async (request, reply) => {
    const asked = /** @type {Record<string, string>} */ (request.params)['*'] || 'index.html';
    const type = TYPES[extname(asked)];
    const safe = type && !asked.split('/').some((part) => part.startsWith('.'));
    const file = safe && (await readFile(join(PAGE, asked)).catch(() => undefined));
    if (!file) return reply.code(404).send({ error: { code: 'not_found', message: `there is nothing at /${asked}` } });
    return reply.type(type).header('cache-control', 'no-cache').send(file);
  });
}
