import { e164, jidOf } from '../wire/jids.js';
import { bigEndian, bytes, child, childrenOf, el, seconds, uint } from '../wire/nodes.js';
import { identityIsGood } from './adv.js';
import { contentOf, editOf, parseMessage } from './contents.js';
import { addressOf, decrypt, Undecryptable } from './signal.js';

/** @typedef {import('baileys').BinaryNode} Node */
/** @typedef {{account: import('../registry.js').Account, device: number, mode: import('../wire/jids.js').Mode}} Sender */

const RETRIES = 5;
const BUNDLE_TYPE = Buffer.from([5]);

/** What a phone does with what arrives. What it changes and what it answers is put on disk in the same turn as the stanza
 * is taken from the queue, so nothing here waits for a delivery.
 */
export class Inbox {
  #net;
  #phone;
  /** @type {Map<string, number>} asked again, by sender and id */
  #retries = new Map();

  /** @param {import('../network.js').Network} net @param {import('./phone.js').Phone} phone */
  constructor(net, phone) {
    this.#net = net;
    this.#phone = phone;
  }

  /** @param {Node} node */
  async receive(node) {
    const sender = this.#net.registry.resolve(node.attrs.from);
    if (!sender) return;
    if (node.tag === 'message') await this.#message(sender, node);
    else if (node.tag === 'receipt') await this.#receipt(sender, node);
  }

  /** @param {Sender} sender @param {Node} node */
  async #message(sender, node) {
    const enc = child(node, 'enc');
    if (!enc) return;
    const message = await this.#decrypt(sender, node, enc).then(parseMessage).catch((/** @type {Error} */ error) => error);
    if (!(message instanceof Error)) this.#show(sender, node, message);
    else if (message instanceof Undecryptable && message.oldCounter) this.#usedBefore(sender, node);
    else this.#askAgain(sender, node, message.message);
  }

  /** @param {Sender} sender @param {Node} node @param {Node} enc */
  async #decrypt(sender, node, enc) {
    const type = enc.attrs.type === 'pkmsg' ? 'pkmsg' : 'msg';
    const address = addressOf(this.#phone.number, { number: sender.account.number, device: sender.device });
    const { plain, identity } = await decrypt(this.#phone.keys, address, type, /** @type {Buffer} */ (bytes(enc)));
    if (identity && sender.device && !this.#isVouchedFor(sender, identity, bytes(child(node, 'device-identity')))) {
      this.#phone.keys.dropSession(address.toString());
      this.#net.badSignature('device-identity', sender.account.number);
      throw new Error('the device identity is not signed by its account');
    }
    return plain;
  }

  /** @param {Sender} sender @param {Buffer} companionIdentity @param {Buffer | undefined} signedIdentity */
  #isVouchedFor(sender, companionIdentity, signedIdentity) {
    const accountKey = this.#net.phones.get(sender.account.number)?.keys.identity.public;
    return !!accountKey && identityIsGood(signedIdentity, { accountKey, companionIdentity });
  }

  /** @param {Sender} sender @param {Node} node @param {import('baileys').proto.IMessage} message */
  #show(sender, node, message) {
    const own = sender.account.number === this.#phone.number;
    const sent = message.deviceSentMessage;
    const chat = own ? this.#net.registry.resolve(sent?.destinationJid ?? node.attrs.recipient)?.account.number : sender.account.number;
    if (!chat) return;
    const edit = editOf(sent?.message ?? message);
    if (edit) return void this.#phone.reword(chat, edit);
    const content = contentOf(sent?.message ?? message);
    if (!content) return;
    const { kind, text, media } = content;
    const status = own ? 'sent' : 'delivered';
    const via = { mode: sender.mode, device: sender.device };
    const from = sender.account.number;
    this.#phone.show({ id: String(node.attrs.id), chat, from, from_me: own, text, kind, status, via, media }, own ? undefined : sender.account.name);
    this.#confirm(sender, node);
  }

  /** @param {Sender} sender @param {Node} node */
  #confirm(sender, node) {
    const id = String(node.attrs.id);
    if (sender.account.number === this.#phone.number) this.#confirmOwn(sender, node);
    const shown = this.#phone.chats.find(sender.account.number, id);
    if (shown && this.#phone.settings.delivery_receipts) void this.#phone.receipt({ ...shown, via: { mode: sender.mode, device: sender.device } });
  }

  /** The own phone tells the device that sent it that it has its copy. @param {Sender} sender @param {Node} node */
  #confirmOwn(sender, node) {
    if (!node.attrs.recipient) return;
    const { id, recipient } = node.attrs;
    const receipt = el('receipt', { id, type: 'sender', from: jidOf(this.#phone.account, sender.mode), recipient, t: seconds() });
    void this.#net.switchboard.deliver(this.#phone.number, sender.device, receipt);
  }

  /** Its key was used before. With an id that is known this is a copy; else the message is lost on this phone, as on a real one.
   * @param {Sender} sender @param {Node} node
   */
  async #usedBefore(sender, node) {
    const own = sender.account.number === this.#phone.number;
    const chat = own ? this.#net.registry.resolve(node.attrs.recipient)?.account.number : sender.account.number;
    const shown = chat && this.#phone.chats.find(chat, String(node.attrs.id));
    if (shown) {
      this.#phone.show(shown);
      this.#confirm(sender, node);
      return;
    }
    this.#net.journal.count('old_counters', this.#phone.number);
    this.#failed(sender, node, 'its key was used before: lost');
  }

  /** @param {Sender} sender @param {Node} node @param {string} reason */
  #failed(sender, node, reason) {
    const { journal } = this.#net;
    journal.count('decrypt_failures', this.#phone.number);
    journal.tell('message.undecryptable', { account: this.#phone.number, from: e164(sender.account.number), device: sender.device, id: node.attrs.id, reason });
  }

  /** Asks the sender to encrypt it once more. @param {Sender} sender @param {Node} node @param {string} reason */
  #askAgain(sender, node, reason) {
    this.#failed(sender, node, reason);
    const id = String(node.attrs.id);
    const key = `${sender.account.number}.${sender.device}/${id}`;
    const count = (this.#retries.get(key) ?? 0) + 1;
    this.#retries.set(key, count);
    if (count > RETRIES) return;
    const { keys, account, number } = this.#phone;
    const { recipient, t = seconds() } = node.attrs;
    const content = [
      el('retry', { count: String(count), id, t, v: '1', error: '0' }),
      el('registration', {}, bigEndian(keys.getOurRegistrationId(), 4)),
      ...(count > 1 ? [bundleNode(keys.takeBundle())] : []),
    ];
    const receipt = el('receipt', { id, type: 'retry', from: jidOf(account, sender.mode), recipient, t: seconds() }, content);
    this.#net.journal.count('retry_receipts', number);
    this.#net.journal.tell('message.retry_asked', { account: number, from: e164(sender.account.number), id, count });
    void this.#net.switchboard.deliver(sender.account.number, sender.device, receipt);
  }

  /** @param {Sender} sender @param {Node} node */
  async #receipt(sender, node) {
    const { id, type, recipient } = node.attrs;
    if (type === 'retry') return this.#phone.outbox.sendAgain(String(id), sender, retryBundle(node));
    const ids = [id, ...childrenOf(child(node, 'list'), 'item').map((item) => item.attrs.id)];
    const own = sender.account.number === this.#phone.number;
    const chat = own ? this.#net.registry.resolve(recipient)?.account.number : sender.account.number;
    if (!chat) return;
    if (own) return void this.#readElsewhere(chat, type);
    for (const each of ids) this.#phone.raise(chat, String(each), type === 'read' ? 'read' : 'delivered');
  }

  /** @param {string} chat @param {string | undefined} type */
  #readElsewhere(chat, type) {
    if (type !== 'read' && type !== 'read-self') return;
    for (const message of this.#phone.chats.open(chat)) this.#phone.raise(chat, message.id, 'read');
  }
}

/** @param {import('./keys.js').Bundle} bundle */
function bundleNode({ identity, signedPreKey: signed, preKey }) {
  return el('keys', {}, [
    el('type', {}, BUNDLE_TYPE),
    el('identity', {}, identity),
    ...(preKey ? [el('key', {}, [el('id', {}, bigEndian(preKey.id, 3)), el('value', {}, preKey.value)])] : []),
    el('skey', {}, [el('id', {}, bigEndian(signed.id, 3)), el('value', {}, signed.value), el('signature', {}, signed.signature)]),
  ]);
}

/** The keys a client sends along when it asks again. @param {Node} receipt @returns {import('./keys.js').Bundle | undefined} */
function retryBundle(receipt) {
  const keys = child(receipt, 'keys');
  const [signed, key, identity] = [child(keys, 'skey'), child(keys, 'key'), bytes(child(keys, 'identity'))];
  const [value, signature] = [bytes(child(signed, 'value')), bytes(child(signed, 'signature'))];
  if (!identity || !value || !signature) return undefined;
  const preKeyValue = bytes(child(key, 'value'));
  return {
    registrationId: uint(child(receipt, 'registration')) ?? 0,
    identity,
    signedPreKey: { id: uint(child(signed, 'id')) ?? 0, value, signature },
    preKey: preKeyValue && { id: uint(child(key, 'id')) ?? 0, value: preKeyValue },
  };
}
