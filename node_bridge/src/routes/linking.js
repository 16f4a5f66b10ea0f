import { toBuffer } from 'qrcode';
import { BridgeError } from '../errors.js';
import { idOf, PHONE, SESSION_ONLY, sessionSchema, TERM } from './schemas.js';

/** @typedef {import('../app.js').Parts} Parts */
/** @typedef {import('fastify').FastifyInstance} FastifyInstance */

const CODE = sessionSchema({ term: TERM, phone: PHONE }, ['term', 'phone']);

/** @param {FastifyInstance} app @param {Parts} parts */
export function linkingRoutes(app, { sessions }) {
  app.get('/qr/:id', { schema: SESSION_ONLY }, async (request) => {
    const { qr } = sessions.get(idOf(request)).status;
    if (!qr) throw new BridgeError('not_found', 'no QR code is shown for this session');
    const image = await toBuffer(qr.text, { margin: 2, scale: 6 });
    return { qr: qr.text, image: image.toString('base64'), generated_at: qr.generated_at, expires_at: qr.expires_at };
  });

  app.post('/session/:id/pairing-code', { schema: CODE }, async (request) => {
    const { term, phone } = /** @type {any} */ (request.body);
    return sessions.under(idOf(request), term).requestPairingCode(phone);
  });
}

