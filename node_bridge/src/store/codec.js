const BYTES = '$bytes';

/** JSON in which bytes survive. @param {unknown} value @returns {string} */
export function encode(value) {
  return JSON.stringify(value, pack);
}

/** Most values hold no bytes, and asking at each of their parts is what costs. @param {string} text @returns {any} */
export function decode(text) {
  return text.includes(BYTES) ? JSON.parse(text, unpack) : JSON.parse(text);
}

/**
 * Looks at the holder and not at `value`: a Buffer's own toJSON has already run on that.
 * @this {any} @param {string} key @param {unknown} value
 */
function pack(key, value) {
  const raw = this[key];
  return raw instanceof Uint8Array ? { [BYTES]: Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('base64') } : value;
}

/** @param {string} _key @param {any} value */
function unpack(_key, value) {
  return typeof value?.[BYTES] === 'string' ? Buffer.from(value[BYTES], 'base64') : value;
}
