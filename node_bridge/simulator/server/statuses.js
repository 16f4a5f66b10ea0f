import { randomBytes } from 'node:crypto';
import { jidOf } from '../wire/jids.js';
import { el, seconds } from '../wire/nodes.js';

/** @typedef {import('baileys').BinaryNode} Node */
/** @typedef {import('./messages.js').LoggedIn} LoggedIn */

const EVERYBODY = 'status@broadcast';
/** How long the server waits for an ack before it ends the stream. */
const PATIENCE_MS = 3_001_000;

/** What people post for everybody they know. Here it goes to linked devices alone: no virtual phone shows it, and nobody can read it. */
export class Statuses {
  #net;
  /** @type {Map<string, number>} by id, where it is not the usual one */
  #patience = new Map();

  /** @param {import('../network.js').Network} net */
  constructor(net) {
    this.#net = net;
  }

  /** To whoever the phone has a chat with. @param {import('../phones/phone.js').Phone} phone @param {number} [patienceMs] @returns {Promise<string>} its id */
  async post({ account, settings, chats }, patienceMs = PATIENCE_MS) {
    const id = `3A${randomBytes(9).toString('hex').toUpperCase()}`;
    this.#patience.set(id, patienceMs);
    const attrs = { id, from: EVERYBODY, participant: jidOf(account, settings.addressing), type: 'media', t: seconds(), notify: account.name || undefined };
    const status = el('status', attrs, [el('enc', { v: '2', type: 'skmsg', mediatype: 'image' }, randomBytes(64))]);
    const devices = chats.peers().flatMap((number) => this.#net.registry.devicesOf(number));
    await Promise.all(devices.map(({ number, device }) => this.#net.switchboard.deliver(number, device, status)));
    return id;
  }

  /** One was handed over. @param {LoggedIn} conn @param {Node} node */
  expectAck(conn, { tag, attrs: { id, type } }) {
    const { number, device } = conn.device;
    const isOwed = () => this.#net.queues.waiting(number, device).some(({ node }) => node.tag === tag && node.attrs.id === id);
    const end = () => isOwed() && conn.streamError(undefined, [el('ack', { class: tag, id, type })]);
    const timer = setTimeout(end, this.#patience.get(String(id)) ?? PATIENCE_MS);
    this.#net.onClosed(conn, () => clearTimeout(timer));
  }
}
