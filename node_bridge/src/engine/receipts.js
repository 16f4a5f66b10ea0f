import { isLidUser, isPnUser, jidNormalizedUser } from 'baileys';

/** @type {Record<string, 'delivered' | 'read'>} - `inactive`: delivered to a device nobody looks at */
const STATUS = { '': 'delivered', inactive: 'delivered', read: 'read', played: 'read' };

/**
 * What a receipt says about our own messages; nothing when it is about something else (our own devices, retries, history).
 * @param {any} node @returns {{id: string, address: string, status: 'delivered' | 'read'}[]}
 */
export function readReceipt({ attrs, content }) {
  const status = STATUS[attrs.type ?? ''];
  if (!status || attrs.recipient || !(isLidUser(attrs.from) || isPnUser(attrs.from))) return [];
  const address = jidNormalizedUser(attrs.from);
  return [attrs.id, ...listed(content)].filter(Boolean).map((id) => ({ id, address, status }));
}

/** @param {any} content @returns {string[]} */
function listed(content) {
  const items = Array.isArray(content) && Array.isArray(content[0]?.content) ? content[0].content : [];
  return items.filter((/** @type {any} */ item) => item.tag === 'item').map((/** @type {any} */ item) => item.attrs.id);
}
