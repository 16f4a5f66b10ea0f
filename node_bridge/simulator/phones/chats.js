import { e164 } from '../wire/jids.js';

/** @typedef {'sent' | 'delivered' | 'read'} Status */
/** One message as a phone shows it. `via`: how to answer it.
 * @typedef {object} Message
 * @property {number} order
 * @property {string} id
 * @property {string} chat the peer's number
 * @property {string} from
 * @property {boolean} from_me
 * @property {string} text
 * @property {string} kind
 * @property {string} at
 * @property {number} copies
 * @property {Status} status
 * @property {{mode: import('../wire/jids.js').Mode, device: number}} via
 * @property {import('./contents.js').Media | undefined} media
 */
/** @typedef {{peer: string, name: string, unread: number, byId: Map<string, Message>}} Chat */

const RANK = { sent: 0, delivered: 1, read: 2 };

/** What one phone shows. A second message with an id already seen in its chat is counted, never shown. */
export class Chats {
  #number;
  #store;
  /** @type {Map<string, Chat>} */
  #chats = new Map();
  /** @type {Message[]} */
  #shown = [];

  /** @param {string} number @param {import('../persistence.js').Store} store */
  constructor(number, store) {
    this.#number = number;
    this.#store = store;
    for (const [, chat] of store.all(`chat/${number}/`)) this.#chats.set(chat.peer, { ...chat, byId: new Map() });
    for (const [, message] of store.all(`shown/${number}/`)) this.#index(message);
  }

  /** @param {Omit<Message, 'order' | 'copies' | 'at'>} arrived @param {string} [name] how the peer calls itself
   * @returns {{message: Message, isNew: boolean}}
   */
  show(arrived, name) {
    const chat = this.#chat(arrived.chat);
    const seen = chat.byId.get(arrived.id);
    if (seen) {
      seen.copies++;
      this.#save(seen);
      return { message: seen, isNew: false };
    }
    const order = (this.#shown.at(-1)?.order ?? 0) + 1;
    const message = { ...arrived, order, at: new Date().toISOString(), copies: 1 };
    this.#index(message);
    this.#save(message);
    if (name) chat.name = name;
    if (!message.from_me) chat.unread++;
    this.#saveChat(chat);
    return { message, isNew: true };
  }

  /** @param {string} chat @param {string} id */
  find(chat, id) {
    return this.#chats.get(chat)?.byId.get(id);
  }

  /** Status only rises. @param {string} chat @param {string} id @param {Status} status @returns {Message | undefined} when it rose */
  raise(chat, id, status) {
    const message = this.find(chat, id);
    if (!message || RANK[status] <= RANK[message.status]) return undefined;
    message.status = status;
    this.#save(message);
    return message;
  }

  /** The person opens the chat. @param {string} peer @returns {Message[]} what was unread, all of it from the peer */
  open(peer) {
    const chat = this.#chats.get(peer);
    if (!chat) return [];
    chat.unread = 0;
    this.#saveChat(chat);
    return [...chat.byId.values()].filter((message) => !message.from_me && message.status !== 'read');
  }

  /** @param {string} chat @param {string} id @param {string} text @returns {Message | undefined} when it is there */
  reword(chat, id, text) {
    const message = this.find(chat, id);
    if (!message) return undefined;
    message.text = text;
    this.#save(message);
    return message;
  }

  peers() {
    return [...this.#chats.keys()];
  }

  /** @param {number} after @param {string} [peer] @returns {Message[]} in the order of arrival */
  shown(after = 0, peer = undefined) {
    const newer = after ? this.#shown.slice(this.#firstAfter(after)) : this.#shown;
    return peer ? newer.filter((message) => message.chat === peer) : newer;
  }

  list() {
    return [...this.#chats.values()].map(({ peer, name, unread, byId }) => {
      const last = [...byId.values()].at(-1);
      return { peer: e164(peer), name, unread, messages: byId.size, last: last ? present(last) : null };
    });
  }

  erase() {
    for (const message of this.#shown) this.#store.delete(this.#key(message));
    for (const peer of this.#chats.keys()) this.#store.delete(`chat/${this.#number}/${peer}`);
  }

  /** @param {number} order */
  #firstAfter(order) {
    let [low, high] = [0, this.#shown.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (/** @type {Message} */ (this.#shown[middle]).order <= order) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** @param {string} peer */
  #chat(peer) {
    const chat = this.#chats.get(peer) ?? { peer, name: '', unread: 0, byId: new Map() };
    this.#chats.set(peer, chat);
    return chat;
  }

  /** @param {Message} message */
  #index(message) {
    this.#chat(message.chat).byId.set(message.id, message);
    this.#shown.push(message);
  }

  /** @param {Message} message */
  #save(message) {
    this.#store.put(this.#key(message), message);
  }

  /** @param {Chat} chat */
  #saveChat({ peer, name, unread }) {
    this.#store.put(`chat/${this.#number}/${peer}`, { peer, name, unread });
  }

  /** @param {Message} message */
  #key({ order }) {
    return `shown/${this.#number}/${String(order).padStart(12, '0')}`;
  }
}

/** As the control API gives it. @param {Message} message */
export function present({ via: _, media, ...message }) {
  return { ...message, chat: e164(message.chat), from: e164(message.from), ...(media ? { media: { mimetype: media.mimetype } } : {}) };
}
