import { getBinaryNodeChild, INITIAL_PREKEY_COUNT, S_WHATSAPP_NET } from 'baileys';
import { intercept } from './intercept.js';

const AT_ONCE = 100; // each takes half a millisecond, in which the process does nothing else
const ENOUGH = INITIAL_PREKEY_COUNT / 2;
const COUNT = { tag: 'iq', attrs: { to: S_WHATSAPP_NET, type: 'get', xmlns: 'encrypt' }, content: [{ tag: 'count', attrs: {} }] };

/**
 * Each device that writes to us for the first time takes one of our pre-keys, and the server warns when few are left. Baileys heeds that when they are
 * fewer than five, and makes five. Here there are as many afterwards as a new link has. A warning may have waited for days, and each key that is taken
 * meanwhile gives another one: the server is asked how many there are.
 * @param {any} sock
 */
export function refillPreKeys(sock) {
  let refilling = false;
  intercept(sock.ws, 'CB:notification', (node, next) => {
    if (!isWarning(node)) return next();
    sock.sendMessageAck(node).catch(() => {});
    if (refilling) return;
    refilling = true;
    const done = () => void (refilling = false);
    refill(sock).then(done, done); // the server warns again
  });
}

/** @param {any} node */
function isWarning(node) {
  return node.attrs.type === 'encrypt' && Boolean(getBinaryNodeChild(node, 'count'));
}

/** @param {any} sock */
async function refill(sock) {
  const answer = await sock.query({ ...COUNT, attrs: { ...COUNT.attrs } }); // it gets an id
  const left = Number(getBinaryNodeChild(answer, 'count')?.attrs.value);
  if (left > ENOUGH) return;
  for (let missing = INITIAL_PREKEY_COUNT - left; missing > 0; missing -= AT_ONCE) await sock.uploadPreKeys(Math.min(missing, AT_ONCE));
}
