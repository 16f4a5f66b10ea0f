import { encodeWAMessage } from 'baileys';
import { randomBytes } from 'node:crypto';
import { ControlError } from '../errors.js';
import { addresses } from '../server/messages.js';
import { jidOf } from '../wire/jids.js';
import { el, seconds } from '../wire/nodes.js';
import { edited, viewedOnce } from './contents.js';
import { addressOf, encrypt, hasSession, startSession } from './signal.js';

/** @typedef {import('baileys').proto.IMessage} Message */
/** @typedef {{number: string, device: number}} Target */
/** `once`: what is in it is for phones alone. @typedef {{to: string, message: Message, category?: 'peer', edit?: '1', once?: boolean}} Sent */
/** @typedef {{to: string, text: string, id?: string | undefined, edits?: string | undefined, view_once?: boolean | undefined}} Typed */

const KEPT = 500;

/** What is typed on a phone, on its way to every device that should have it. */
export class Outbox {
  #net;
  #phone;
  /** @type {Map<string, Sent>} for those who could not decrypt */
  #sent = new Map();

  /** @param {import('../network.js').Network} net @param {import('./phone.js').Phone} phone */
  constructor(net, phone) {
    this.#net = net;
    this.#phone = phone;
    for (const [key, sent] of net.store.all(`sent/${phone.number}/`)) this.#sent.set(String(key.split('/')[2]), sent);
  }

  /**
   * The person types a message, or other words for one, or sends a picture that may be looked at once.
   * @param {Typed} typed
   * @returns {Promise<string>} its id
   */
  async type({ to, text, id = messageId(), edits, view_once: once = false }) {
    if (!this.#phone.online) throw new ControlError(409, 'offline', 'the phone is offline');
    const receiver = this.#net.registry.account(to);
    if (!receiver) throw new ControlError(404, 'not_on_whatsapp', `+${to} is not on WhatsApp`);
    const sent = edits ? this.#edit({ to, id: edits, text }) : this.#compose({ to, id, text, once });
    this.#net.tokens.giveWithMessage(this.#phone.account, receiver);
    await this.send(id, sent);
    return id;
  }

  /** @param {{to: string, id: string, text: string, once: boolean}} typed @returns {Sent} */
  #compose({ to, id, text, once }) {
    const { number, settings } = this.#phone;
    const via = { mode: settings.addressing, device: 0 };
    this.#phone.show({ id, chat: to, from: number, from_me: true, text, kind: once ? 'image' : 'text', status: 'sent', via, media: undefined });
    return { to, message: once ? viewedOnce(text) : { conversation: text }, once };
  }

  /** @param {{to: string, id: string, text: string}} typed - the id of what is edited @returns {Sent} @throws {ControlError} */
  #edit({ to, id, text }) {
    const isOwn = this.#phone.chats.find(to, id)?.from_me;
    if (!isOwn || !this.#phone.reword(to, { id, text })) throw new ControlError(404, 'not_found', `this phone has written no message ${id} in that chat`);
    return { to, message: edited({ jid: String(this.#jid(to)), id, text }), edit: '1' };
  }

  /** To every device of the receiver, and to the phone's own linked ones. @param {string} id @param {Sent} sent */
  async send(id, sent) {
    this.#keep(id, sent);
    this.#net.journal.count('inbound', sent.to);
    const linked = (/** @type {string} */ number) => this.#net.registry.devicesOf(number).map(({ device }) => ({ number, device }));
    const targets = [{ number: sent.to, device: 0 }, ...linked(sent.to), ...linked(this.#phone.number)];
    await this.#phone.run(async () => {
      for (const target of targets) await this.#sendTo(target, id, sent);
    });
  }

  /** To one of the phone's own linked devices: what only they may know. @param {number} device @param {Message} message */
  async sendToOwn(device, message) {
    const id = messageId();
    const target = { number: this.#phone.number, device };
    await this.#phone.run(() => this.#sendTo(target, id, this.#keep(id, { to: target.number, message, category: 'peer' })));
  }

  /** A device could not decrypt: once more, in a new session. Runs inside the phone's turn.
   * @param {string} id @param {{account: import('../registry.js').Account, device: number}} receiver
   * @param {import('./keys.js').Bundle | undefined} bundle
   */
  async sendAgain(id, { account, device }, bundle) {
    const sent = this.#sent.get(id);
    const target = { number: account.number, device };
    if (!sent || !(await this.#startSession(target, bundle))) return;
    await this.#sendTo(target, id, sent);
  }

  /** @param {Target} target @param {string} id @param {Sent} sent */
  async #sendTo(target, id, sent) {
    const own = target.number === this.#phone.number && !sent.category;
    if (sent.once && target.device) return this.#hand(target, this.#stanza(id, sent, own, el('unavailable', { type: 'view_once' })));
    const address = addressOf(this.#phone.number, target);
    if (!(await hasSession(this.#phone.keys, address)) && !(await this.#startSession(target))) return;
    const message = own ? { deviceSentMessage: { destinationJid: this.#jid(sent.to), message: sent.message } } : sent.message;
    const { type, body } = await encrypt(this.#phone.keys, address, encodeWAMessage(/** @type {any} */ (message)));
    const enc = el('enc', { v: '2', type }, body);
    await this.#hand(target, this.#stanza(id, sent, own, enc));
  }

  /** @param {Target} target @param {import('baileys').BinaryNode} stanza */
  #hand({ number, device }, stanza) {
    return this.#net.switchboard.deliver(number, device, stanza);
  }

  /** @param {string} id @param {Sent} sent @param {boolean} own @param {import('baileys').BinaryNode} content */
  #stanza(id, sent, own, content) {
    const { account, settings } = this.#phone;
    const mode = sent.category ? 'pn' : settings.addressing;
    const chat = own ? this.#net.registry.account(sent.to) : undefined;
    return el('message', {
      id, type: 'text', category: sent.category, edit: sent.edit, t: seconds(),
      from: jidOf(account, mode),
      recipient: chat && jidOf(chat, mode),
      notify: account.name || undefined,
      ...addresses({ sender: account, mode, chat }),
    }, [content]);
  }

  /** @param {string} number */
  #jid(number) {
    const account = this.#net.registry.account(number);
    return account && jidOf(account, this.#phone.settings.addressing);
  }

  /** @param {Target} target @param {import('./keys.js').Bundle} [bundle] fetched when left out */
  async #startSession(target, bundle = this.#net.bundles.take(target.number, target.device)) {
    if (!bundle) return false;
    const started = await startSession(this.#phone.keys, addressOf(this.#phone.number, target), bundle);
    if (!started) this.#net.badSignature('signed-pre-key', target.number);
    return started;
  }

  /** @param {string} id @param {Sent} sent */
  #keep(id, sent) {
    this.#sent.set(id, sent);
    this.#net.store.put(`sent/${this.#phone.number}/${id}`, sent);
    const oldest = this.#sent.size > KEPT ? this.#sent.keys().next().value : undefined;
    if (oldest !== undefined) this.#forget(oldest);
    return sent;
  }

  /** @param {string} id */
  #forget(id) {
    this.#sent.delete(id);
    this.#net.store.delete(`sent/${this.#phone.number}/${id}`);
  }

  erase() {
    for (const id of [...this.#sent.keys()]) this.#forget(id);
  }
}

/** As a phone makes them. */
const messageId = () => `3A${randomBytes(9).toString('hex').toUpperCase()}`;
