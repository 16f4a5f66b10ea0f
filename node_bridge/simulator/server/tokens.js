import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { jidOf } from '../wire/jids.js';
import { bytes, child, el, seconds } from '../wire/nodes.js';

/** @typedef {import('../registry.js').Account} Account */

const WEEK_MS = 7 * 24 * 3600 * 1000;

/** Trusted-contact tokens: who has written to somebody gives them the right to write back while they are restricted. */
export class Tokens {
  #net;
  #secret;
  /** @type {Map<string, number>} when a phone gave its last token, by giver and receiver */
  #given = new Map();

  /** @param {import('../network.js').Network} net */
  constructor(net) {
    this.#net = net;
    this.#secret = net.store.get('secret/tokens') ?? randomBytes(32);
    net.store.put('secret/tokens', this.#secret);
    for (const [key, at] of net.store.all('token/')) this.#given.set(key, at);
  }

  /** The giver's token goes to the receiver's linked devices. @param {Account} giver @param {Account} receiver */
  give(giver, receiver) {
    for (const { device } of this.#net.registry.devicesOf(receiver.number)) {
      const t = seconds();
      const token = el('token', { jid: jidOf(receiver, 'pn', device), t, type: 'trusted_contact' }, this.#token(giver, receiver));
      const attrs = { from: jidOf(giver, 'pn'), sender_lid: jidOf(giver, 'lid'), type: 'privacy_token', id: `token-${giver.lid}-${Date.now()}`, t };
      void this.#net.switchboard.deliver(receiver.number, device, el('notification', attrs, [el('tokens', {}, [token])]));
    }
  }

  /** A phone gives its token with the first message of a week. @param {Account} giver @param {Account} receiver */
  giveWithMessage(giver, receiver) {
    const key = `token/${giver.number}/${receiver.number}`;
    if (Date.now() - (this.#given.get(key) ?? 0) < WEEK_MS) return;
    this.#given.set(key, Date.now());
    this.#net.store.put(key, Date.now());
    this.give(giver, receiver);
  }

  /** Whether a restricted account may send this: it carries the receiver's token.
   * @param {import('baileys').BinaryNode} message @param {Account} sender @param {Account} receiver
   */
  allow(message, sender, receiver) {
    const shown = bytes(child(message, 'tctoken'));
    const right = this.#token(receiver, sender);
    return shown?.length === right.length && timingSafeEqual(shown, right);
  }

  /** @param {Account} giver @param {Account} receiver */
  #token(giver, receiver) {
    return createHmac('sha256', this.#secret).update(`${giver.number}>${receiver.number}`).digest();
  }
}
