import { createRequire } from 'node:module';

/** @typedef {import('../app.js').Parts} Parts */
/** @typedef {import('fastify').FastifyInstance} FastifyInstance */

const { version } = createRequire(import.meta.url)('../../package.json');

/** @param {FastifyInstance} app @param {Parts} parts */
export function healthRoutes(app, { sessions, outbox, clientVersion }) {
  app.get('/health', async () => ({
    status: 'ok',
    sessions: sessions.size,
    connected: sessions.connected,
    spooled: outbox.waiting,
    uptime_s: Math.round(process.uptime()),
    rss_mb: Math.round(process.memoryUsage.rss() / 1024 / 1024),
    version,
    wa_version: String(clientVersion),
    node: process.version,
  }));
}
