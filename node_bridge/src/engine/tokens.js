import { isLidUser } from 'baileys';
import { storeTcTokensFromIqResult } from 'baileys/lib/Utils/tc-token-utils.js';

/** @typedef {import('../store/vault.js').Vault} Vault */

const KIND = 'tctoken-issued';
const BUCKET_S = 7 * 24 * 60 * 60;

/**
 * Issues our trusted-contact token to a contact, once a week as WhatsApp's own clients do, outside any transaction. Does not throw.
 * @param {{sock: any, vault: Vault, address: string, now: number}} options - now in ms
 */
export async function issueToken({ sock, vault, address, now }) {
  const bucket = Math.floor(now / 1000 / BUCKET_S);
  try {
    const issued = (await vault.get(KIND, [address]))[address];
    if (issued === bucket) return;
    const { lidMapping } = sock.signalRepository;
    const getLIDForPN = lidMapping.getLIDForPN.bind(lidMapping);
    const recipient = isLidUser(address) ? ((await lidMapping.getPNForLID(address)) ?? address) : address;
    const result = await sock.issuePrivacyTokens([recipient], Math.floor(now / 1000));
    await storeTcTokensFromIqResult({ result, fallbackJid: address, keys: sock.authState.keys, getLIDForPN });
    await vault.set({ [KIND]: { [address]: bucket } });
  } catch {
    // The socket closed, or the server refused: the next message to this contact tries again.
  }
}
