import { makeWASocket, proto } from 'baileys';
import { isForeign, ofDevice } from './addresses.js';
import { keyStore } from './auth-state.js';
import { DeviceCache } from './devices.js';
import { engineLog } from './engine-log.js';
import { drainBacklog } from './traps/backlog.js';
import { takeDecrypted } from './traps/decrypted.js';
import { heedDeviceChanges } from './traps/device-changes.js';
import { WHOLE } from './traps/downloads.js';
import { takeMessagesEarly } from './traps/early-messages.js';
import { spareOtherDevices } from './traps/keyless-devices.js';
import { ackMessages } from './traps/message-acks.js';
import { guardNotifications } from './traps/notifications.js';
import { refillPreKeys } from './traps/pre-keys.js';
import { repositoryWith } from './traps/repository.js';
import { answerRetries } from './traps/retry-receipts.js';
import { answerPings } from './traps/server-pings.js';
import { leaveSettings } from './traps/settings-changes.js';
import { ackUnknown } from './traps/unknown-stanzas.js';

/** @typedef {import('../store/vault.js').Vault} Vault */
/** @typedef {import('./client-version.js').Version} Version */
/** @typedef {import('../log.js').Log} Log */

const QUERY_TIMEOUT_MS = 20_000;
const CLOSE_MS = 1_000;
const NEVER_MS = 2 ** 31 - 1; // the longest a timer can wait
const HIDDEN = 2; // the stub of a message that did not decrypt

/**
 * A Baileys socket with every trap defused. Baileys never reconnects, and neither does this.
 * @param {{vault: Vault, creds: any, version: Version, socketUrl: string | undefined, log: Log, onEncrypt: () => void, onPasskey: () => void,
 *   onStalled: () => void, onMessage: (message: any, offline: boolean) => void}} options
 * @returns {{sock: any, devices: DeviceCache}}
 */
export function openSocket({ vault, creds, version, socketUrl, log, onEncrypt, onPasskey, onStalled, onMessage }) {
  const devices = new DeviceCache(vault);
  const findMessage = (/** @type {string} */ id) => findSent(vault, id);
  const sock = makeWASocket({
    version,
    auth: { creds, keys: keyStore(vault) },
    logger: engineLog(log),
    ...(socketUrl ? { waWebSocketUrl: socketUrl } : {}),
    defaultQueryTimeoutMs: QUERY_TIMEOUT_MS,
    // Else a timer and three errors with their stacks for each stanza: a fifth of the bridge's CPU at full speed. `Connection` waits for the server.
    connectTimeoutMs: 0,
    keepAliveIntervalMs: NEVER_MS, // `pulse.js` does better
    emitOwnEvents: false, // own events would be merged with receipts and errors
    markOnlineOnConnect: false, // else the restaurant's phone stops notifying
    syncFullHistory: false, // but not off: LID mappings and trusted-contact tokens come with it
    shouldIgnoreJid: isForeign,
    userDevicesCache: devices,
    options: /** @type {any} */ ({ dispatcher: WHOLE }),
    retryRequestDelayMs: 0, // it is waited for with all that comes in behind: a thousand messages that cannot be decrypted would take four minutes
    transactionOpts: { maxCommitRetries: 1, delayBetweenTriesMs: 0 }, // the store has its own patience
    makeSignalRepository: repositoryWith(onEncrypt),
    getMessage: async ({ id }) => (await findMessage(id ?? ''))?.message,
  });
  // Else Baileys forgets ours where it is not said again, and writes to itself where it comes without our device.
  sock.ws.prependListener('CB:success', (/** @type {any} */ { attrs }) => (attrs.lid = ofDevice(attrs.lid ?? creds.me?.lid, creds.me?.id)));
  devices.sift = spareOtherDevices(sock);
  drainBacklog(sock, onStalled);
  ackUnknown(sock);
  const ackMessage = ackMessages(sock);
  guardNotifications(sock, onPasskey);
  answerRetries(sock, { findMessage, log });
  heedDeviceChanges(sock, devices);
  leaveSettings(sock);
  refillPreKeys(sock);
  answerPings(sock);
  takeDecrypted(sock, onMessage);
  takeMessagesEarly(sock.ev, ({ messages, type }) => {
    for (const message of messages) {
      const decrypted = message.messageStubType !== HIDDEN;
      if (decrypted) onMessage(message, type === 'append');
      ackMessage(message.key, decrypted);
    }
  });
  return { sock, devices };
}

/**
 * Closes without logging out; a server that does not answer is cut off. Baileys leaves queries under way hanging until their time is up,
 * with all they hold: the error ends them.
 * @param {any} sock @returns {Promise<void>}
 */
export async function closeSocket(sock) {
  const cut = cutOff(sock);
  const closed = sock.end(undefined);
  sock.ws.emit('error', new Error('the session is closed'));
  try {
    await closed;
  } finally {
    clearTimeout(cut);
  }
}

/** Cuts the connection unless it has closed in a moment. @param {any} sock */
export function cutOff(sock) {
  return setTimeout(() => sock.ws.socket?.terminate(), CLOSE_MS);
}

/** @param {Vault} vault @param {string} id */
async function findSent(vault, id) {
  const stored = await vault.readSent(id);
  return stored ? { address: stored.address, message: proto.Message.decode(stored.message) } : undefined;
}
