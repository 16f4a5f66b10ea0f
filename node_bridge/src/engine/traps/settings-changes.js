import { getBinaryNodeChild } from 'baileys';
import { intercept } from './intercept.js';

const OF_THE_NAME = 'critical_block';
const MOST_ROUNDS = 5;
const UNANSWERED_MS = 19_000; // a question waits for 20 s
const IN_A_ROW_MS = 25_000;

/**
 * A notification that the phone has changed its settings: a chat was opened, archived or pinned, a contact saved. Baileys asks for them under
 * the account's lock, for which what customers write waits, and writes the whole collection anew. Nothing here wants them but the number's own
 * name; the others are acked and left.
 * @param {any} sock
 */
export function leaveSettings(sock) {
  intercept(sock.ws, 'CB:notification', (node, next) => {
    const { type } = node.attrs;
    if (type !== 'server_sync' || getBinaryNodeChild(node, 'collection')?.attrs.name === OF_THE_NAME) return next();
    sock.sendMessageAck(node).catch(() => {});
  });
}

/**
 * Baileys asks for the phone's settings again and again while the answers do not name the collection that was asked for, or do not come, under the
 * account's lock, for which sends wait. Each round looks into the store for the version it knows, as long as there is none: an error ends it, and Baileys goes
 * on without; on this connection it is not asked for again.
 */
export class Rounds {
  /** @type {Map<string, {count: number, at: number}>} */ #of = new Map();
  /** @type {Set<string>} */ #givenUp = new Set();

  /** @param {string} name - a collection without a version on record, which is being looked for @param {number} [now] - in ms @throws {Error} it is given up */
  count(name, now = performance.now()) {
    const before = this.#of.get(name);
    const sinceMs = before ? now - before.at : Infinity;
    const count = before && sinceMs < IN_A_ROW_MS ? before.count + 1 : 1;
    this.#of.set(name, { count, at: now });
    if (count > MOST_ROUNDS || (count > 1 && sinceMs > UNANSWERED_MS)) this.#givenUp.add(name);
    if (this.#givenUp.has(name)) throw new Error(`WhatsApp does not answer what was asked of "${name}"`);
  }
}
