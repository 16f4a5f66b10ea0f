import { SessionCipher } from 'libsignal';

const RECEIVING = 2; // of libsignal's chain types
const KEPT = 5; // as Signal's own libraries

/** The name of libsignal's error. */
export const USED = 'MessageCounterError';

/**
 * Three things that libsignal does with its sessions, for all of the process:
 * - A message is tried on one after the other, in place: in each that does not fit the ratchet turns all the same, and all are put on record
 *   when one fits. Where the open one was among them, as when a customer's message crosses a new session, our next message cannot be read.
 *   Here each is tried as a copy.
 * - A message whose key was used is like one that fits no session. Here it is told apart: the chain of its key is in one session alone.
 * - Each turn of a chat leaves a closed chain for good, which is read, sealed and written with every message: hundreds of kilobytes in a long
 *   chat. Here the last few stay.
 */
export function keepSessionsWhole() {
  const cipher = /** @type {any} */ (SessionCipher.prototype);
  const { decryptWithSessions, maybeStepRatchet } = cipher;
  cipher.decryptWithSessions = function (/** @type {Buffer} */ data, /** @type {any[]} */ sessions) {
    const tryOne = (/** @type {any} */ session) => this.doDecryptWhisperMessage(data, session);
    return sessions.length === 0 ? decryptWithSessions.call(this, data, sessions) : firstThatFits(sessions, tryOne);
  };
  cipher.maybeStepRatchet = function (/** @type {any} */ session, /** @type {unknown[]} */ ...turn) {
    maybeStepRatchet.call(this, session, ...turn);
    dropOldChains(session);
  };
}

/** @param {any[]} sessions @param {(session: any) => Promise<Buffer>} tryOne @throws {Error} `USED`, or that none fits */
async function firstThatFits(sessions, tryOne) {
  let used;
  for (const session of sessions) {
    const tried = sessions.length > 1 ? session.constructor.deserialize(session.serialize()) : session;
    try {
      const plaintext = await tryOne(tried);
      tried.indexInfo.used = Date.now();
      delete session.pendingPreKey; // the copy has none any more
      return { session: Object.assign(session, tried), plaintext };
    } catch (error) {
      if (/** @type {Error} */ (error).name === USED) used = error;
    }
  }
  throw used ?? new Error('No matching sessions found for message');
}

/** @param {any} session */
function dropOldChains(session) {
  const closed = [...session.chains()].filter(([, { chainType, chainKey }]) => chainType === RECEIVING && chainKey.key === undefined);
  for (const [key] of closed.slice(0, -KEPT)) session.deleteChain(key);
}
