import { present } from '../phones/chats.js';
import { ControlError } from '../errors.js';
import { wantNumber } from '../registry.js';
import { boolean, number, object, phoneSettings, status, text } from './schemas.js';

/** @typedef {import('fastify').FastifyRequest} Request */

/** Phones: make them, look at what they show, act on them as their owners would.
 * @param {import('fastify').FastifyInstance} app @param {import('../network.js').Network} net
 */
export async function phoneRoutes(app, net) {
  const { phones } = net;
  const param = (/** @type {Request} */ request, /** @type {string} */ name) => /** @type {Record<string, string>} */ (request.params)[name] ?? '';
  const phoneOf = (/** @type {Request} */ request) => phones.want(param(request, 'number'));
  const body = (/** @type {Request} */ request) => /** @type {any} */ (request.body);

  app.get('/api/phones', async () => ({ phones: phones.all().map((phone) => phones.present(phone)) }));

  const making = object({ number, name: text, lid: { type: 'string', pattern: '^\\d{5,20}(@lid)?$' }, settings: phoneSettings }, ['number']);
  app.post('/api/phones', { schema: { body: making } }, async (request, reply) => {
    const wanted = body(request);
    const { phone, made } = phones.make({ ...wanted, lid: wanted.lid?.replace('@lid', '') });
    await net.store.flush();
    return reply.code(made ? 201 : 200).send(phones.present(phone));
  });

  app.get('/api/phones/:number', async (request) => phones.present(phoneOf(request)));

  app.patch('/api/phones/:number', { schema: { body: object({ name: text, settings: phoneSettings }) } }, async (request) => {
    const phone = phoneOf(request);
    phone.change(body(request));
    net.journal.tell('phone.changed', { account: phone.number });
    await net.store.flush();
    return phones.present(phone);
  });

  app.delete('/api/phones/:number', async (request, reply) => {
    await phones.remove(phoneOf(request));
    await net.store.flush();
    return reply.code(204).send();
  });

  app.post('/api/phones/:number/scan', { schema: { body: object({ qr: text }, ['qr']) } }, async (request, reply) => {
    const device = await net.pairing.scan(phoneOf(request), body(request).qr);
    return reply.code(201).send({ device: phones.presentDevice(device) });
  });

  app.post('/api/phones/:number/enter-code', { schema: { body: object({ code: text }, ['code']) } }, async (request, reply) => {
    const device = await net.linkCodes.enter(phoneOf(request), body(request).code);
    return reply.code(201).send({ device: phones.presentDevice(device) });
  });

  app.delete('/api/phones/:number/devices/:device', async (request, reply) => {
    const phone = phoneOf(request);
    const device = net.registry.device(phone.number, Number(param(request, 'device')));
    if (!device) throw new ControlError(404, 'not_found', 'this phone has no such linked device');
    await net.unlink(device, 'on the phone');
    return reply.code(204).send();
  });

  app.get('/api/phones/:number/chats', async (request) => ({ chats: phoneOf(request).chats.list() }));

  app.get('/api/phones/:number/chats/:peer', async (request) => {
    const messages = phoneOf(request).chats.shown(0, wantNumber(param(request, 'peer')));
    return { messages: messages.map(present) };
  });

  app.get('/api/phones/:number/shown', async (request) => {
    const { since = '0' } = /** @type {{since?: string}} */ (request.query);
    if (!/^\d+$/.test(since)) throw new ControlError(400, 'invalid_request', 'since is the order of a message');
    return { messages: phoneOf(request).chats.shown(Number(since)).map(present) };
  });

  app.get('/api/phones/:number/media/:id', async (request, reply) => {
    const { media } = phoneOf(request).chats.shown().find(({ id }) => id === param(request, 'id')) ?? {};
    const opened = media && net.media.open(media);
    if (!opened) throw new ControlError(404, 'not_found', 'this message has no media that can be opened');
    return reply.type(media?.mimetype ?? 'application/octet-stream').send(opened);
  });

  const messageId = { type: 'string', minLength: 1, maxLength: 64 };
  const typing = object({ to: number, text: { type: 'string', minLength: 1 }, id: messageId, edits: messageId, view_once: boolean }, ['to', 'text']);
  app.post('/api/phones/:number/messages', { schema: { body: typing } }, async (request, reply) => {
    const { to, ...typed } = body(request);
    return reply.code(201).send({ id: await phoneOf(request).outbox.type({ ...typed, to: wantNumber(to) }) });
  });

  app.post('/api/phones/:number/statuses', { schema: { body: status } }, async (request, reply) =>
    reply.code(201).send({ id: await net.statuses.post(phoneOf(request), body(request).ack_within_ms) }));

  app.post('/api/phones/:number/read', { schema: { body: object({ peer: number }, ['peer']) } }, async (request) => ({
    read: await phoneOf(request).read(wantNumber(body(request).peer)),
  }));
}
