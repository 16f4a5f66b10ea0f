import { SessionCipher } from 'libsignal';

const RECEIVING = 2; // of libsignal's chain types
const KEPT = 5; // as Signal's own libraries

/**
 * Two things that libsignal does with its sessions, for all of the process:
 * - A message is tried on one after the other, in place: in each that does not fit the ratchet turns all the same, and all are put on record
 *   when one fits. Where the open one was among them, as when a customer's message crosses a new session, our next message cannot be read.
 *   Here each is tried as a copy.
 * - Each turn of a chat leaves a closed chain for good, which is read, sealed and written with every message: hundreds of kilobytes in a long
 *   chat. Here the last few stay.
 */
export function keepSessionsWhole() {
  const cipher = /** @type {any} */ (SessionCipher.prototype);
  const { decryptWithSessions, maybeStepRatchet } = cipher;
  cipher.decryptWithSessions = function (/** @type {Buffer} */ data, /** @type {any[]} */ sessions) {
    const tryOne = (/** @type {any} */ session) => decryptWithSessions.call(this, data, [session]);
    return sessions.length < 2 ? decryptWithSessions.call(this, data, sessions) : firstThatFits(sessions, tryOne);
  };
  cipher.maybeStepRatchet = function (/** @type {any} */ session, /** @type {unknown[]} */ ...turn) {
    maybeStepRatchet.call(this, session, ...turn);
    dropOldChains(session);
  };
}

/** @param {any[]} sessions @param {(session: any) => Promise<{plaintext: Buffer}>} tryOne */
async function firstThatFits(sessions, tryOne) {
  let refusal;
  for (const session of sessions) {
    const tried = session.constructor.deserialize(session.serialize());
    try {
      const { plaintext } = await tryOne(tried);
      delete session.pendingPreKey; // the copy has none any more
      return { session: Object.assign(session, tried), plaintext };
    } catch (error) {
      refusal = error;
    }
  }
  throw refusal;
}

/** @param {any} session */
function dropOldChains(session) {
  const closed = [...session.chains()].filter(([, { chainType, chainKey }]) => chainType === RECEIVING && chainKey.key === undefined);
  for (const [key] of closed.slice(0, -KEPT)) session.deleteChain(key);
}
