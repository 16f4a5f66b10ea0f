import { isLidUser, jidDecode, jidEncode } from 'baileys';
import { Lru } from '../../lru.js';
import { isOwnUser, userOf } from '../addresses.js';

/** @typedef {{user: string, server: string, device?: number}} Device */

const BELIEVED_MS = 60 * 60 * 1000;
const REMEMBERED = 1_000;
const NEEDED = ['registration', 'identity', 'skey'];

/**
 * WhatsApp may have no keys for one of the devices that it names itself. Baileys then takes the keys of none of them, and a linked device without keys, of
 * a customer or of our own, makes every message to all the others fail. Here it is taken out of the answer and, unless there is a session with it,
 * out of the lists for an hour. A customer's phone stays in: what it does not get, nobody sees.
 * @param {any} sock @param {() => number} [now] - in ms
 * @returns {(user: string, devices: Device[]) => Promise<Device[]>} whom of a user's devices to write to
 */
export function spareOtherDevices(sock, now = () => performance.now()) {
  /** @type {Lru<number>} until when they are believed to have no keys */
  const keyless = new Lru(REMEMBERED);
  const note = (/** @type {string} */ jid) => keyless.set(plain(jid), now() + BELIEVED_MS);
  sock.ws.on('frame', (/** @type {any} */ node) => {
    for (const jid of takeOut(sock, node)) {
      note(jid);
      numberOf(sock, jid).then((number) => number && note(number), () => {}); // the database is away: then the session ends
    }
  });
  return async (user, devices) => {
    if (keyless.size === 0) return devices;
    const left = [];
    for (const one of devices) {
      const jid = jidEncode(one.user, /** @type {any} */ (one.server), one.device);
      if ((keyless.get(jid) ?? 0) <= now() || (await sock.signalRepository.validateSession(jid)).exists) left.push(one);
    }
    return left.length > 0 || isOwnUser(sock.authState.creds.me, user) ? left : devices;
  };
}

/**
 * Before anybody looks at the answer: Baileys' helpers remember the children that a node had when they first saw it.
 * @param {any} sock @param {any} node @returns {string[]} whom there are no keys for
 */
function takeOut(sock, { tag, attrs, content }) {
  const children = tag === 'iq' && attrs.type === 'result' && Array.isArray(content) ? content : [];
  const list = children.find((/** @type {any} */ child) => child.tag === 'list');
  if (!Array.isArray(list?.content)) return [];
  const out = list.content.filter((/** @type {any} */ user) => isKeyless(user) && !isCustomersPhone(sock, user.attrs.jid));
  if (out.length > 0) list.content = list.content.filter((/** @type {any} */ user) => !out.includes(user));
  return out.map((/** @type {any} */ user) => user.attrs.jid);
}

/** By an error, or without a word. @param {any} user */
function isKeyless({ tag, attrs, content }) {
  const told = Array.isArray(content) ? content.map((/** @type {any} */ child) => child.tag) : [];
  return tag === 'user' && attrs.jid && (told.includes('error') || NEEDED.some((key) => !told.includes(key)));
}

/** @param {any} sock @param {string} jid */
function isCustomersPhone(sock, jid) {
  return !jidDecode(jid)?.device && !isOwnUser(sock.authState.creds.me, userOf(jid));
}

/** Messages to a number name devices by number, keys are always asked for by LID. @param {any} sock @param {string} jid @returns {Promise<string | null>} */
async function numberOf({ signalRepository: { lidMapping } }, jid) {
  return isLidUser(jid) ? lidMapping.getPNForLID(jid) : null;
}

/** @param {string} jid */
function plain(jid) {
  const { user, server, device } = /** @type {any} */ (jidDecode(jid));
  return jidEncode(user, server, device);
}
