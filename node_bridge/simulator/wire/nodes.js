/** @typedef {import('baileys').BinaryNode} Node */

/** A jid without a user: the server itself. */
export const SERVER = '@s.whatsapp.net';

/** Attributes that are undefined are left out on the wire.
 * @param {string} tag
 * @param {Record<string, string | undefined>} [attrs]
 * @param {Node['content']} [content]
 * @returns {Node}
 */
export function el(tag, attrs = {}, content = undefined) {
  const given = Object.entries(attrs).filter(([, value]) => value !== undefined);
  const node = { tag, attrs: /** @type {Record<string, string>} */ (Object.fromEntries(given)) };
  return content === undefined ? node : { ...node, content };
}

/** @param {Node | undefined} node @returns {Node[]} */
export const children = (node) => (Array.isArray(node?.content) ? node.content : []);

/** @param {Node | undefined} node @param {string} tag */
export const child = (node, tag) => children(node).find((each) => each.tag === tag);

/** @param {Node | undefined} node @param {string} tag */
export const childrenOf = (node, tag) => children(node).filter((each) => each.tag === tag);

/** @param {Node | undefined} node @returns {Buffer | undefined} */
export function bytes(node) {
  const content = node?.content;
  if (typeof content === 'string') return Buffer.from(content);
  return content instanceof Uint8Array ? Buffer.from(content.buffer, content.byteOffset, content.length) : undefined;
}

/** @param {Node | undefined} node */
export const text = (node) => bytes(node)?.toString('utf8');

/** @param {Node | undefined} node */
export function uint(node) {
  const content = bytes(node);
  return content?.length ? content.readUIntBE(0, Math.min(content.length, 6)) : undefined;
}

/** @param {number} value @param {number} length bytes */
export function bigEndian(value, length) {
  const buffer = Buffer.alloc(length);
  buffer.writeUIntBE(value, 0, length);
  return buffer;
}

export const seconds = (now = Date.now()) => Math.floor(now / 1000).toString();
