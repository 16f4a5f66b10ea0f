import { ControlError } from '../errors.js';
import { streamReason } from '../faults.js';
import { clientVersions, disconnect, fault, restrictions } from './schemas.js';

const PING_MS = 15_000;

/** The network itself: its health, its faults, what it says of accounts, what happens in it.
 * @param {import('fastify').FastifyInstance} app @param {import('../network.js').Network} net
 */
export async function networkRoutes(app, net) {
  app.get('/api/health', async () => ({
    status: 'ok',
    phones: net.phones.size,
    sockets: net.sockets.all.size,
    uptime_s: Math.round((Date.now() - net.startedAt) / 1000),
    rss_mb: Math.round(process.memoryUsage.rss() / 1024 / 1024),
  }));

  app.get('/api/certificates', async () => ({ media_ca: net.certificate.cert, noise_root: net.identity.root.toString('hex') }));

  app.get('/api/stats', async () => net.journal.stats());

  app.get('/api/faults', async () => ({ faults: net.faults.list() }));

  app.post('/api/faults', { schema: { body: fault } }, async (request, reply) => reply.code(201).send(net.faults.add(request.body)));

  app.delete('/api/faults', async (_request, reply) => {
    net.faults.remove();
    return reply.code(204).send();
  });

  app.delete('/api/faults/:id', async (request, reply) => {
    net.faults.remove(/** @type {{id: string}} */ (request.params).id);
    return reply.code(204).send();
  });

  app.post('/api/client-versions', { schema: { body: clientVersions } }, async (request) => net.clientVersions.set(/** @type {any} */ (request.body)));

  app.get('/sw.js', async (_request, reply) => reply.type('application/javascript').send(net.clientVersions.serviceWorker()));

  const accountOf = (/** @type {import('fastify').FastifyRequest} */ request) =>
    net.phones.want(/** @type {{number: string}} */ (request.params).number).number;

  app.post('/api/accounts/:number/restrictions', { schema: { body: restrictions } }, async (request) =>
    net.restrictions.set(accountOf(request), /** @type {any} */ (request.body)));

  app.post('/api/accounts/:number/disconnect', { schema: { body: disconnect } }, async (request) => {
    const { code, reason } = /** @type {{code?: string | number, reason?: string}} */ (request.body ?? {});
    const number = accountOf(request);
    const sockets = net.registry.devicesOf(number).flatMap(({ device }) => net.sockets.of(number, device) ?? []);
    for (const conn of sockets) {
      if (code === undefined && !reason) conn.terminate();
      else conn.streamError(code, streamReason(reason));
    }
    return { disconnected: sockets.length };
  });

  app.get('/api/events', (request, reply) => {
    const { since } = /** @type {{since?: string}} */ (request.query);
    const from = since ?? request.headers['last-event-id'];
    if (from !== undefined && !/^\d+$/.test(String(from))) throw new ControlError(400, 'invalid_request', 'since is the number of an event');
    reply.hijack();
    stream(net, reply.raw, from === undefined ? net.journal.last : Number(from));
  });
}

/** @param {import('../network.js').Network} net @param {import('node:http').ServerResponse} response @param {number} since */
function stream(net, response, since) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' });
  const write = (/** @type {import('../events.js').NetworkEvent} */ event) => void response.write(`id: ${event.n}\ndata: ${JSON.stringify(event)}\n\n`);
  response.write(': the simulated network\n\n');
  for (const event of net.journal.since(since)) write(event);
  const stop = net.journal.listen(write);
  const ping = setInterval(() => response.write(': ping\n\n'), PING_MS);
  response.on('close', () => {
    stop();
    clearInterval(ping);
  });
}
