import { getBinaryNodeChild, isLidUser, isPnUser, jidNormalizedUser } from 'baileys';
import { isoOf } from './times.js';

/** @type {Record<string, 'delivered' | 'read'>} - `inactive`: delivered to a device nobody looks at */
const STATUS = { '': 'delivered', delivery: 'delivered', inactive: 'delivered', read: 'read', played: 'read' };

/**
 * What a customer's receipt says about our own messages; nothing when it is about something else (retries, history), or says that the message
 * has not arrived.
 * @param {any} node @returns {{id: string, address: string, status: 'delivered' | 'read', at?: string}[]}
 */
export function readReceipt(node) {
  const { attrs, content } = node;
  const status = STATUS[attrs.type ?? ''];
  if (!status || !(isLidUser(attrs.from) || isPnUser(attrs.from)) || (status === 'delivered' && isRefusal(node))) return [];
  const address = jidNormalizedUser(attrs.from);
  const at = timeOf(attrs);
  return [attrs.id, ...listed(content)].filter(Boolean).map((id) => ({ id, address, status, ...(at ? { at } : {}) }));
}

/** The customer's device cannot take what goes to a LID. @param {any} node */
function isRefusal(node) {
  const { reason, type } = getBinaryNodeChild(node, 'error')?.attrs ?? {};
  return reason === 'lid' && type === 'feature-incapable';
}

/**
 * When a receipt was given that has waited for us: the end of WhatsApp's second. One that comes at once is timed by our own clock, as is the
 * ack before it.
 * @param {Record<string, string>} attrs
 */
function timeOf({ offline, t }) {
  const by = Number(t) + 1;
  return offline && by * 1000 < Date.now() ? isoOf(by) : undefined;
}

/** @param {any} content @returns {string[]} */
function listed(content) {
  const items = Array.isArray(content) && Array.isArray(content[0]?.content) ? content[0].content : [];
  return items.filter((/** @type {any} */ item) => item.tag === 'item').map((/** @type {any} */ item) => item.attrs.id);
}
