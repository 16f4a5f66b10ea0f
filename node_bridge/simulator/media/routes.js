const LIMIT = 64 * 1024 * 1024;

/** The media host: takes what clients upload, gives it to whoever knows its name. It never sees a key.
 * @param {import('fastify').FastifyInstance} app @param {import('../network.js').Network} net
 */
export async function mediaRoutes(app, net) {
  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer', bodyLimit: LIMIT }, (_request, body, done) => done(null, body));

  app.post('/mms/:type/:name', { bodyLimit: LIMIT }, async (request, reply) => {
    const { name } = /** @type {{name: string}} */ (request.params);
    if (!Buffer.isBuffer(request.body) || !net.media.put(name, request.body)) {
      return reply.code(400).send({ error: { code: 'invalid_media', message: 'the name is not the SHA-256 of the body' } });
    }
    const path = `/mms/d/${name}`;
    return { url: `https://${net.mediaHost}${path}`, direct_path: path };
  });

  app.get('/mms/d/:name', async (request, reply) => {
    const body = net.media.get(/** @type {{name: string}} */ (request.params).name);
    if (!body) return reply.code(404).send({ error: { code: 'not_found', message: 'there is no such media' } });
    return reply.type('application/octet-stream').send(body);
  });
}
