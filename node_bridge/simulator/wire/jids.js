import { jidDecode, jidEncode } from 'baileys';

/** How a chat is addressed: by phone number or by the hidden id ("LID") that stands for it.
 * @typedef {'pn' | 'lid'} Mode
 */

/** @param {{number: string, lid: string}} account @param {Mode} mode @param {number} [device] 0 is the phone itself */
export function jidOf(account, mode, device = 0) {
  return mode === 'lid' ? jidEncode(account.lid, 'lid', device) : jidEncode(account.number, 's.whatsapp.net', device);
}

/** @param {string | undefined} jid @returns {{user: string, device: number, mode: Mode} | undefined} */
export function parseJid(jid) {
  const decoded = jidDecode(jid);
  if (!decoded?.user || !['s.whatsapp.net', 'c.us', 'lid'].includes(decoded.server)) return undefined;
  return { user: decoded.user, device: decoded.device ?? 0, mode: decoded.server === 'lid' ? 'lid' : 'pn' };
}

/** "+49 151 234" as the network knows it: digits only.
 * @param {unknown} phone
 */
export const digits = (phone) => String(phone ?? '').replace(/\D/g, '');

/** @param {string} number */
export const e164 = (number) => `+${number}`;

/** For logs: +49151*****78. @param {string} number */
export const masked = (number) => `+${number.slice(0, 5)}*****${number.slice(-2)}`;
