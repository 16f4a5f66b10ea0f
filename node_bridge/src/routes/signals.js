/** @typedef {import('../app.js').Parts} Parts */
/** @typedef {import('fastify').FastifyInstance} FastifyInstance */

/** @param {FastifyInstance} app @param {Parts} parts */
export function signalRoutes(app, { sessions, signals }) {
  app.get('/signals', { exposeHeadRoute: false }, async (_request, reply) => {
    reply.hijack();
    reply.raw.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    reply.raw.flushHeaders();
    signals.attach(reply.raw, sessions.list());
  });
}
