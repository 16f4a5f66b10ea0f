import Fastify from 'fastify';
import { WebSocketServer } from 'ws';
import { ControlError } from '../errors.js';
import { mediaRoutes } from '../media/routes.js';
import { networkRoutes } from './network.js';
import { pageRoutes } from './page.js';
import { phoneRoutes } from './phones.js';

/** The HTTP side of the network: control API, media host, page, and the door for WhatsApp sockets. Built apart from listening.
 * @param {import('../network.js').Network} net
 */
export async function buildApp(net) {
  const app = Fastify({
    logger: false,
    forceCloseConnections: true,
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, allErrors: true } },
  });
  app.setErrorHandler((error, _request, reply) => {
    const { status, code, message } = describe(/** @type {import('fastify').FastifyError} */ (error));
    if (status >= 500) net.log.error({ err: error }, 'a request failed');
    void reply.code(status).send({ error: { code, message } });
  });
  app.setNotFoundHandler((request, reply) => {
    void reply.code(404).send({ error: { code: 'not_found', message: `there is no ${request.method} ${request.url}` } });
  });
  for (const routes of [phoneRoutes, networkRoutes, mediaRoutes, pageRoutes]) await routes(app, net);
  openDoor(app, net);
  return app;
}

/** @param {import('fastify').FastifyInstance} app @param {import('../network.js').Network} net */
function openDoor(app, net) {
  const door = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 16 * 1024 * 1024 });
  app.server.on('upgrade', (request, socket, head) => {
    if (!request.url?.startsWith('/ws/chat')) return void socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n');
    door.handleUpgrade(request, socket, head, (ws) => net.accept(ws));
  });
}

/** @param {import('fastify').FastifyError} error */
function describe(error) {
  if (error instanceof ControlError) return error;
  if (error.validation) return { status: 400, code: 'invalid_request', message: error.message };
  const status = error.statusCode ?? 500;
  if (status < 500) return { status, code: 'invalid_request', message: error.message };
  return { status: 500, code: 'internal', message: 'the simulator failed; its log says more' };
}
