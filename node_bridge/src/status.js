/** @typedef {{code: number, reason: string, detail: unknown}} Close */
/** @typedef {{mode: 'qr'} | {mode: 'code', phone: string}} Link */
/**
 * @typedef {object} Status
 * @property {string} id
 * @property {number} term
 * @property {'linking' | 'connecting' | 'connected' | 'closed'} state
 * @property {string | null} phone
 * @property {string | null} lid
 * @property {string | null} name
 * @property {string} since
 * @property {string | null} last_stanza_at
 * @property {number | null} ping_ms - round trip of the last ping; there is none while there is traffic
 * @property {import('./engine/linking.js').Qr | null} qr
 * @property {import('./engine/linking.js').PairingCode | null} pairing_code
 * @property {Close | null} close
 */

export {};
