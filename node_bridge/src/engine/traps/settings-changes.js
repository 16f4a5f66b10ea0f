import { getBinaryNodeChild } from 'baileys';
import { intercept } from './intercept.js';

const OF_THE_NAME = 'critical_block';
const VERSIONS = 'app-state-sync-version';
const MOST_ROUNDS = 5;
const UNANSWERED_MS = 19_000; // a question waits for 20 s
const IN_A_ROW_MS = 25_000;

/**
 * A notification that the phone has changed its settings: a chat was opened, archived or pinned, a contact saved. Baileys asks for them under
 * the account's lock, for which what customers write waits, and writes the whole collection anew. Nothing here wants them but the number's own
 * name; the others are acked and left, and of none is asked for ever.
 * @param {any} sock
 */
export function leaveSettings(sock) {
  endInVain(sock.authState.keys);
  intercept(sock.ws, 'CB:notification', (node, next) => {
    const { type } = node.attrs;
    if (type !== 'server_sync' || getBinaryNodeChild(node, 'collection')?.attrs.name === OF_THE_NAME) return next();
    sock.sendMessageAck(node).catch(() => {});
  });
}

/**
 * Baileys asks for the phone's settings again and again while the answers do not name the collection that was asked for, or do not come, under the
 * account's lock, for which sends and what customers write wait. Each round begins with a look at the version that is known: an error ends it, and
 * Baileys goes on without; on this connection it is not asked for again.
 * @param {any} keys
 */
function endInVain(keys) {
  const rounds = new Rounds();
  const { get } = keys;
  /** @param {string[]} names */
  const versions = async (names) => {
    const found = await get(VERSIONS, names);
    for (const name of names) rounds.count(name, found[name]?.version ?? 0);
    return found;
  };
  keys.get = (/** @type {string} */ kind, /** @type {string[]} */ names) => (kind === VERSIONS ? versions(names) : get(kind, names));
}

/** Counts those without a new version. */
export class Rounds {
  /** @type {Map<string, {version: number, count: number, at: number}>} */ #of = new Map();
  /** @type {Set<string>} */ #givenUp = new Set();

  /** @param {string} name - a collection that is being asked for @param {number} version @param {number} [now] - in ms @throws {Error} it is given up */
  count(name, version, now = performance.now()) {
    const before = this.#of.get(name);
    const sinceMs = before?.version === version ? now - before.at : Infinity;
    const count = before && sinceMs < IN_A_ROW_MS ? before.count + 1 : 1;
    this.#of.set(name, { version, count, at: now });
    if (count > MOST_ROUNDS || (count > 1 && sinceMs > UNANSWERED_MS)) this.#givenUp.add(name);
    if (this.#givenUp.has(name)) throw new Error(`WhatsApp does not answer what was asked of "${name}"`);
  }
}
