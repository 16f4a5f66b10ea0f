import { generateParticipantHashV2 } from 'baileys';
import { setTimeout as sleep } from 'node:timers/promises';
import { interfere } from '../faults.js';
import { jidOf } from '../wire/jids.js';
import { bytes, child, childrenOf, el, seconds } from '../wire/nodes.js';

/** @typedef {import('baileys').BinaryNode} Node */
/** @typedef {import('../wire/connection.js').Connection & {device: import('../registry.js').Device}} LoggedIn */
/** @typedef {{number: string, device: number, node: Node}} Parcel */

const ADDRESSING = '400';
const MALFORMED = '479';
const RESTRICTED = '463';

/** A linked device sends a message: take it for every device it was encrypted for, put it on disk, ack, hand over. */
export class Messages {
  #net;

  /** @param {import('../network.js').Network} net */
  constructor(net) {
    this.#net = net;
  }

  /** @param {LoggedIn} conn @param {Node} node */
  async take(conn, node) {
    const occasion = this.#occasion(conn, node);
    const deed = this.#net.faults.strike({ on: 'message', ...occasion });
    if (deed?.action === 'ack_error') return this.#refuse(conn, node, deed);
    if ((await interfere(conn, deed)) === 'stop') return;

    const error = this.#problem(conn, node);
    const parcels = error ? [] : this.#parcels(conn, node);
    for (const { number, device, node: stanza } of parcels) this.#net.switchboard.put(number, device, stanza);
    await this.#net.store.flush();
    if (!error) this.#tell(conn, node);
    void this.#answer(conn, node, error);
    for (const { number, device } of parcels) this.#net.switchboard.handOver(number, device);
  }

  /** @param {LoggedIn} conn @param {Node} node */
  #occasion(conn, node) {
    const to = this.#net.registry.resolve(node.attrs.to)?.account.number;
    return { account: conn.device.number, to, id: node.attrs.id };
  }

  /** @param {LoggedIn} conn @param {Node} node @param {string | undefined} error */
  async #answer(conn, node, error) {
    const deed = this.#net.faults.strike({ on: 'ack', ...this.#occasion(conn, node) });
    if (deed?.action === 'ack_error') return this.#refuse(conn, node, deed);
    if (deed?.action === 'terminate' && deed.moment === 'after') {
      this.#ack(conn, node, error);
      // A terminated socket drops what it has not written yet; one turn lets the ack out.
      setImmediate(() => conn.terminate());
      return;
    }
    if ((await interfere(conn, deed)) === 'go') this.#ack(conn, node, error);
  }

  /** @param {LoggedIn} conn @param {Node} node @param {import('../faults.js').Deed} deed */
  async #refuse(conn, node, { code, ms }) {
    if (ms) await sleep(ms, undefined, { ref: false });
    this.#ack(conn, node, String(code));
  }

  /** @param {LoggedIn} conn @param {Node} node @param {string | undefined} error */
  #ack(conn, node, error) {
    const phash = error ? undefined : this.#deviceHash(conn, node);
    const refreshLid = this.#net.registry.successor(node.attrs.to) && 'true';
    const attrs = { class: 'message', id: node.attrs.id, from: node.attrs.to, t: seconds(), error, phash, refresh_lid: refreshLid };
    const sent = conn.send(el('ack', attrs));
    if (!sent) return;
    this.#net.journal.count('acks', conn.device.number);
    this.#net.journal.tell('message.acked', { account: conn.device.number, id: node.attrs.id, ...(error ? { error } : {}) });
  }

  /** Of all devices that the message is for, as the server knows them. @param {LoggedIn} conn @param {Node} node */
  #deviceHash({ device: sender }, node) {
    const { registry } = this.#net;
    const to = registry.resolve(node.attrs.to);
    if (!to) return undefined;
    const accounts = [to.account, registry.account(sender.number)].flatMap((account) => account ?? []);
    const devices = accounts.flatMap((account) => [{ account, device: 0 }, ...registry.devicesOf(account.number).map(({ device }) => ({ account, device }))]);
    return generateParticipantHashV2(devices.map(({ account, device }) => jidOf(account, to.mode, device)));
  }

  /** @param {LoggedIn} conn @param {Node} node */
  #tell(conn, node) {
    const { account, to, id } = this.#occasion(conn, node);
    this.#net.journal.count('messages', account);
    this.#net.journal.tell('message.taken', { account, to, id, device: conn.device.device });
  }

  /** @param {LoggedIn} conn @param {Node} node @returns {string | undefined} the error code of a message the server refuses */
  #problem(conn, node) {
    const direct = child(node, 'enc');
    const fanned = childrenOf(child(node, 'participants'), 'to');
    // Both at once is what the real server calls malformed.
    if (!node.attrs.id || (direct ? fanned.length : !fanned.length)) return MALFORMED;
    const receiver = this.#net.registry.resolve(node.attrs.to)?.account;
    if (!receiver) return this.#net.registry.successor(node.attrs.to) ? undefined : ADDRESSING;
    return this.#isAllowed(conn.device.number, node, receiver) ? undefined : RESTRICTED;
  }

  /** @param {string} number @param {Node} node @param {import('../registry.js').Account} receiver */
  #isAllowed(number, node, receiver) {
    if (receiver.number === number || !this.#net.restrictions.forbidStrangers(number)) return true;
    const sender = this.#net.registry.account(number);
    return !!sender && this.#net.tokens.allow(node, sender, receiver);
  }

  /** @param {LoggedIn} conn @param {Node} node @returns {Parcel[]} one for each device that exists */
  #parcels(conn, node) {
    const direct = child(node, 'enc');
    const targets = direct ? [{ jid: node.attrs.to, enc: direct }]
      : childrenOf(child(node, 'participants'), 'to').map((to) => ({ jid: to.attrs.jid, enc: child(to, 'enc') }));
    return targets.flatMap(({ jid, enc }) => {
      const target = this.#net.registry.resolve(jid);
      if (!target || !enc || !bytes(enc) || !this.#net.registry.has(target.account.number, target.device)) return [];
      return [{ number: target.account.number, device: target.device, node: this.#stanza(conn, node, target, enc) }];
    });
  }

  /** The message as the receiving device gets it.
   * @param {LoggedIn} conn @param {Node} node
   * @param {{account: import('../registry.js').Account, device: number, mode: import('../wire/jids.js').Mode}} target
   * @param {Node} enc
   */
  #stanza(conn, node, target, enc) {
    const { registry } = this.#net;
    const sender = /** @type {import('../registry.js').Account} */ (registry.account(conn.device.number));
    const { id, type, category, edit, recipient } = node.attrs;
    const own = target.account.number === sender.number && category !== 'peer';
    const chat = own ? recipient ?? node.attrs.to : undefined;
    const identity = child(node, 'device-identity');
    return el('message', {
      id, type, category, edit,
      from: jidOf(sender, target.mode, conn.device.device),
      recipient: chat,
      t: seconds(),
      notify: sender.name || undefined,
      ...addresses({ sender, mode: target.mode, chat: registry.resolve(chat)?.account }),
    }, identity && enc.attrs.type === 'pkmsg' ? [enc, identity] : [enc]);
  }
}

/** The other name of whom the stanza is about, so that clients can learn it.
 * @param {{sender: import('../registry.js').Account, mode: import('../wire/jids.js').Mode, chat: import('../registry.js').Account | undefined}} who
 */
export function addresses({ sender, mode, chat }) {
  const other = mode === 'lid' ? 'pn' : 'lid';
  return chat ? { [`peer_recipient_${other}`]: jidOf(chat, other) } : { [`sender_${other}`]: jidOf(sender, other) };
}
