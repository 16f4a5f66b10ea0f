import {
  encodeSignedDeviceIdentity, encodeWAMessage, extractE2ESessionFromRetryReceipt, getBinaryNodeChild, isLidUser, isPnUser, jidNormalizedUser,
} from 'baileys';
import { isTcTokenExpired, resolveTcTokenJid } from 'baileys/lib/Utils/tc-token-utils.js';
import { Lru } from '../../lru.js';
import { AckBook } from '../ack-book.js';
import { isOwnUser, userOf } from '../addresses.js';
import { within } from '../within.js';
import { intercept } from './intercept.js';

/** @typedef {import('../../log.js').Log} Log */
/** @typedef {(id: string) => Promise<{address: string, message: any} | undefined>} FindMessage */

const MOST_ANSWERS = 5; // to one device for one message
const REMEMBERED = 1_000;
const ACKED_WITHIN_MS = 10_000; // a resend of the message waits for that

/**
 * Baileys #2781: its answer to the retry receipt of a one-to-one chat carries the message twice, as `<enc>` and in `<participants>`; the
 * server refuses it with 479, and a customer's device that could not decrypt never recovers. Here such a receipt is answered with
 * one `<enc>` for the one device that asked, under the same message id, and with the customer's token, which Baileys leaves out: a number that may
 * not write to strangers gets 463 without. It does not go out while the message itself is under way. All other receipts go to Baileys.
 * @param {any} sock @param {{findMessage: FindMessage, log: Log}} options
 */
export function answerRetries(sock, { findMessage, log }) {
  /** @type {Lru<number>} */
  const answered = new Lru(REMEMBERED);
  // Baileys keeps 512 messages of each number for this, each with a timer that holds whatever its transaction had read. The store has them all.
  if (sock.messageRetryManager) sock.messageRetryManager.addRecentMessage = () => {};
  intercept(sock.ws, 'CB:receipt', (node, next) => {
    if (!isRetryOfChat(node)) return next();
    answer(sock, node, { findMessage, log, answered })
      .catch((err) => log.warn({ err, message: node.attrs.id }, 'a retry receipt could not be answered'))
      .finally(() => sock.sendMessageAck(node).catch(() => {}));
  });
}

/** @param {any} node */
function isRetryOfChat({ attrs }) {
  return attrs.type === 'retry' && !attrs.participant && Boolean(isLidUser(attrs.from) || isPnUser(attrs.from));
}

/** @param {any} sock @param {any} node @param {{findMessage: FindMessage, log: Log, answered: Lru<number>}} options */
async function answer(sock, node, { findMessage, log, answered }) {
  const { id, from } = node.attrs;
  const times = (answered.get(`${id} ${from}`) ?? 0) + 1;
  const found = times <= MOST_ANSWERS ? await findMessage(id) : undefined;
  if (!found || (await isOfAnother(sock, node, found.address))) return log.info({ message: id, times }, 'a retry receipt stays without an answer');
  answered.set(`${id} ${from}`, times);
  AckBook.of(sock.ws).arrived(id);
  const { creds, keys } = sock.authState;
  await renewSession(sock, node); // it may wait for the server, and nothing of the account may wait for that
  const token = await tokenOf(sock, from);
  await inTurn(sock, id, log, async () => {
    const reply = await keys.transaction(() => stanza(sock, node, found.message), creds.me.id); // a key that is not on record as used would be used again
    await sock.sendNode({ ...reply, content: [...reply.content, ...token] });
  });
  log.info({ message: id, times }, 'a retry receipt was answered');
}

/**
 * Waits for the sending alone; the turn lasts until the server's ack.
 * @param {any} sock @param {string} id @param {Log} log @param {() => Promise<void>} send
 */
async function inTurn(sock, id, log, send) {
  const acks = AckBook.of(sock.ws);
  const { acked } = await acks.turn(id);
  try {
    await send();
  } catch (error) {
    acks.release(id, false);
    throw error;
  }
  within(acked, ACKED_WITHIN_MS).then((ack) => {
    acks.release(id, false);
    if (typeof ack === 'object' && ack.code) log.warn({ message: id, code: ack.code }, 'the answer to a retry receipt was refused');
  });
}

/** @param {any} sock @param {string} from @returns {Promise<object[]>} */
async function tokenOf({ authState: { creds, keys }, signalRepository: { lidMapping }, serverProps }, from) {
  if (isOwnUser(creds.me, userOf(from)) || !serverProps.privacyTokenOn1to1) return [];
  const address = await resolveTcTokenJid(jidNormalizedUser(from), (pn) => lidMapping.getLIDForPN(pn));
  const { [address]: entry } = await keys.get('tctoken', [address]);
  return entry?.token?.length && !isTcTokenExpired(entry.timestamp) ? [{ tag: 'tctoken', attrs: {}, content: entry.token }] : [];
}

/** An id is no proof: whoever names the id of a message to somebody else must not be sent it. @param {any} sock @param {any} node @param {string} address */
async function isOfAnother(sock, { attrs: { from, recipient } }, address) {
  const { me } = sock.authState.creds;
  if (recipient && !isOwnUser(me, userOf(from))) return true;
  const asking = recipient ?? from;
  if (isLidUser(asking) === isLidUser(address)) return userOf(asking) !== userOf(address);
  const [one, other] = await Promise.all([asking, address].map((jid) => numberOf(sock, jid)));
  return one !== undefined && other !== undefined && one !== other;
}

/** @param {any} sock @param {string} jid @returns {Promise<string | undefined>} undefined for a LID whose number is not known */
async function numberOf(sock, jid) {
  const number = isLidUser(jid) ? await sock.signalRepository.lidMapping.getPNForLID(jidNormalizedUser(jid)) : jid;
  return number ? userOf(number) : undefined;
}

/**
 * The device's own bundle when it sent one, else a fresh one from the server. Where there is none the session that we have is used: what the device cannot
 * read it asks for again, with a bundle of its own, but not without an answer.
 * @param {any} sock @param {any} node
 */
async function renewSession(sock, node) {
  const session = extractE2ESessionFromRetryReceipt(node);
  if (session) await sock.signalRepository.injectE2ESession({ jid: node.attrs.from, session });
  else await sock.assertSessions([node.attrs.from], true).catch(() => {});
}

/** @param {any} sock @param {any} node @param {any} message */
async function stanza(sock, node, message) {
  const { id, from, recipient } = node.attrs;
  const inner = recipient ? { deviceSentMessage: { destinationJid: jidNormalizedUser(recipient), message } } : message;
  const { type, ciphertext } = await sock.signalRepository.encryptMessage({ jid: from, data: encodeWAMessage(inner) });
  const count = getBinaryNodeChild(node, 'retry')?.attrs.count ?? '1';
  const content = [{ tag: 'enc', attrs: { v: '2', type, count }, content: ciphertext }];
  const identity = { tag: 'device-identity', attrs: {}, content: encodeSignedDeviceIdentity(sock.authState.creds.account, true) };
  const attrs = { id, to: from, type: 'text', device_fanout: 'false', ...(recipient ? { recipient } : {}) };
  return { tag: 'message', attrs, content: type === 'pkmsg' ? [...content, identity] : content };
}
