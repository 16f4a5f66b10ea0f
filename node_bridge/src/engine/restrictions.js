import { notSentBecause } from './outcomes.js';
import { isoOf } from './times.js';

/** @typedef {import('../log.js').Log} Log */
/** @typedef {(type: 'number.restricted' | 'number.chat_cap', data: Record<string, unknown>) => void} Tell */

const ASK_AGAIN_MS = 60_000;

/** Asks and listens for what WhatsApp forbids a number for now. */
export class Restrictions {
  #askedAt = -Infinity;
  #sock;
  #ended;
  #tell;
  #log;

  /** @param {{sock: any, ended: AbortSignal, tell: Tell, log: Log}} options */
  constructor({ sock, ended, tell, log }) {
    this.#sock = sock;
    this.#ended = ended;
    this.#tell = tell;
    this.#log = log;
    // Pushed and fetched alike; Baileys gives an unknown kind a wrong name, so only `isActive` counts.
    sock.ev.on('connection.update', (/** @type {any} */ { reachoutTimeLock }) => reachoutTimeLock && tell('number.restricted', restricted(reachoutTimeLock)));
    sock.ev.on('message-capping.update', (/** @type {any} */ cap) => tell('number.chat_cap', capped(cap)));
  }

  /** A message was refused: at most once a minute, so that a burst of them asks once. Baileys' own branch for this is never reached. */
  async refused() {
    if (performance.now() - this.#askedAt < ASK_AGAIN_MS) return;
    this.#askedAt = performance.now();
    await this.ask();
  }

  /** Does not throw; an answer that fails hides no other. */
  async ask() {
    const timeLock = this.#sock.fetchAccountReachoutTimelock(); // told through connection.update
    const cap = this.#sock.fetchNewChatMessageCap().then((/** @type {any} */ said) => this.#tell('number.chat_cap', capped(said)));
    await Promise.all([timeLock.catch(this.#unknown('time-lock')), cap.catch(this.#unknown('new-chat cap'))]);
  }

  /** @param {string} what @returns {(err: unknown) => void} */
  #unknown(what) {
    return (err) => {
      if (notSentBecause(err, this.#ended.aborted).reason === 'not_connected') return;
      this.#log.warn({ err, what }, 'WhatsApp does not say how the number is restricted');
    };
  }
}

/** @param {{isActive: boolean, timeEnforcementEnds?: Date, enforcementType?: string}} lock */
function restricted({ isActive, timeEnforcementEnds, enforcementType }) {
  return { active: isActive, kind: (enforcementType ?? 'DEFAULT').toLowerCase(), until: isActive ? isoOf(Number(timeEnforcementEnds) / 1000) : undefined };
}

/** @param {any} cap - timestamps in seconds */
function capped(cap) {
  return {
    status: String(cap?.capping_status ?? 'NONE').toLowerCase(),
    used: Number(cap?.used_quota ?? 0),
    total: Number(cap?.total_quota ?? 0),
    cycle_ends_at: isoOf(cap?.cycle_end_timestamp),
  };
}
