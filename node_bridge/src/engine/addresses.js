import { isJidBroadcast, isJidGroup, isJidNewsletter, isLidUser, isPnUser, jidDecode, jidEncode, jidNormalizedUser } from 'baileys';

/** `+4915112345678` as WhatsApp writes it. @param {string} phone - E.164 @returns {string} */
export function phoneAddress(phone) {
  return `${phone.replace('+', '')}@s.whatsapp.net`;
}

/** @param {string | null | undefined} address @returns {string | undefined} E.164, when the address is a phone number's */
export function phoneOf(address) {
  return address && isPnUser(address) ? `+${jidDecode(address)?.user}` : undefined;
}

/** @param {string | null | undefined} address @returns {string | undefined} `123@lid`, when the address is a LID */
export function lidOf(address) {
  return address && isLidUser(address) ? jidNormalizedUser(address) : undefined;
}

/** @param {string} lid - with or without `@lid` */
export function lidAddress(lid) {
  return lid.includes('@') ? lid : `${lid}@lid`;
}

/** @param {string} address @returns {string} */
export function userOf(address) {
  return jidDecode(address)?.user ?? '';
}

/** Whether a user is this account itself, by number or by LID. @param {{id: string, lid?: string} | undefined} me @param {string} user */
export function isOwnUser(me, user) {
  return [me?.id, me?.lid].some((own) => own && userOf(own) === user);
}

/** A LID that names no device, with the one that the number names. @param {string | undefined} lid @param {string | undefined} number - as an address */
export function ofDevice(lid, number) {
  const [named, device] = [jidDecode(lid), jidDecode(number)?.device];
  return named && device && !named.device ? jidEncode(named.user, 'lid', device) : lid;
}

/** Chats this product has no business in: groups, status, newsletters. @param {string} jid */
export function isForeign(jid) {
  return Boolean(isJidGroup(jid) || isJidBroadcast(jid) || isJidNewsletter(jid));
}
