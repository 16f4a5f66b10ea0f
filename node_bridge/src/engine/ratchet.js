import { notSentBecause } from './outcomes.js';

/** @typedef {import('../store/vault.js').Vault} Vault */
/** @typedef {import('./directory.js').Directory} Directory */

/**
 * Skips one key of each device that the last message went to. A process that was killed, or a database that was away, may have left that message
 * on the wire and its keys unrecorded; any other message under the same keys is lost on the phone, silently. A resend of that message
 * would do as well, but none comes when a receipt has settled it meanwhile, or when the restaurant resends nothing. Phones allow for keys that are skipped.
 * @param {{sock: any, vault: Vault, directory: Directory}} parts @returns {Promise<void>} @throws what `notSentBecause` explains
 */
export async function skipUsedKeys({ sock, vault, directory }) {
  const address = await vault.lastAddress();
  if (!address) return;
  const devices = await directory.devicesOf(address).catch((error) => firstDevices(error, address));
  const { signalRepository, authState } = sock;
  await authState.keys.transaction(async () => {
    for (const { jid } of devices) {
      if ((await signalRepository.validateSession(jid)).exists) await signalRepository.encryptMessage({ jid, data: Buffer.of(0) });
    }
  }, authState.creds.me.id);
}

/**
 * One customer for whom WhatsApp has no list must not hold up all the others. @param {unknown} error @param {string} address
 * @returns {{jid: string}[]} the phone's own device @throws what else may be wrong
 */
function firstDevices(error, address) {
  if (notSentBecause(error, false).reason !== 'lookup_failed') throw error;
  return [{ jid: address }];
}
