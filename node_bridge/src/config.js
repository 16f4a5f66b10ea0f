import { KeyRing } from './store/keyring.js';

/**
 * @typedef {object} Config
 * @property {number} port - 0 takes any free one
 * @property {string} secret
 * @property {string} webUrl - without a trailing slash
 * @property {string} databaseUrl
 * @property {number} databaseConnections
 * @property {KeyRing} keyRing
 * @property {string} spoolDir
 * @property {number} spoolMaxBytes
 * @property {string | undefined} socketUrl - undefined: WhatsApp's own
 * @property {string} versionUrl - where the current version of WhatsApp Web is to be had
 * @property {number} ackTimeoutMs
 * @property {import('./engine/lookups.js').LookupLimit} lookupLimit
 * @property {string} logLevel
 * @property {boolean} exitWithParent
 */

/** The environment cannot be worked with; the message is one line and names the variable. */
export class ConfigError extends Error {}

const LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];

/** @param {NodeJS.ProcessEnv} env @returns {Config} */
export function readConfig(env) {
  return {
    port: whole(env, 'WHATSAPP_PORT', 8002, 0, 65535),
    secret: required(env, ['WHATSAPP_SECRET']),
    webUrl: url(env.WEB_URL || env.FASTAPI_URL || 'http://127.0.0.1:8000', 'WEB_URL', ['http:', 'https:']).replace(/\/+$/, ''),
    databaseUrl: url(required(env, ['BRIDGE_DATABASE_URL', 'DATABASE_URL']), 'BRIDGE_DATABASE_URL', ['postgres:', 'postgresql:']),
    databaseConnections: whole(env, 'BRIDGE_DB_CONNECTIONS', 6, 2, 100),
    keyRing: keyRing(required(env, ['WA_ENCRYPTION_KEYS'])),
    spoolDir: required(env, ['BRIDGE_SPOOL_DIR']),
    spoolMaxBytes: whole(env, 'BRIDGE_SPOOL_MAX_MB', 256, 1, 1_000_000) * 1024 * 1024,
    socketUrl: env.WA_SOCKET_URL ? url(env.WA_SOCKET_URL, 'WA_SOCKET_URL', ['ws:', 'wss:']) : undefined,
    versionUrl: versionUrl(env),
    ackTimeoutMs: seconds(env, 'SEND_ACK_TIMEOUT_S', 60),
    lookupLimit: { burst: whole(env, 'WA_LOOKUP_BURST', 10, 1, 10_000), everyMs: whole(env, 'WA_LOOKUP_EVERY_MS', 5_000, 0, 3_600_000) },
    logLevel: level(env.LOG_LEVEL || 'info'),
    exitWithParent: env.BRIDGE_EXIT_WITH_PARENT === '1',
  };
}

/** @param {NodeJS.ProcessEnv} env @param {string[]} names */
function required(env, names) {
  for (const name of names) {
    const value = env[name];
    if (value) return value;
  }
  throw new ConfigError(`${names.join(' or ')} is not set`);
}

/** @param {NodeJS.ProcessEnv} env @param {string} name @param {number} otherwise @param {number} min @param {number} max */
function whole(env, name, otherwise, min, max) {
  const value = env[name] ? Number(env[name]) : otherwise;
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new ConfigError(`${name} must be a whole number from ${min} to ${max}`);
}

/** @param {NodeJS.ProcessEnv} env @param {string} name @param {number} otherwise @returns {number} milliseconds */
function seconds(env, name, otherwise) {
  const value = env[name] ? Number(env[name]) : otherwise;
  if (Number.isFinite(value) && value > 0 && value <= 3600) return Math.ceil(value * 1000);
  throw new ConfigError(`${name} must be a number of seconds above 0 and at most 3600`);
}

/** @param {string} value @param {string} name @param {string[]} protocols */
function url(value, name, protocols) {
  if (URL.canParse(value) && protocols.includes(new URL(value).protocol)) return value;
  throw new ConfigError(`${name} must be a URL that starts with ${protocols.map((p) => `${p}//`).join(' or ')}`);
}

/** A simulated network has a version of its own, and is never asked about WhatsApp's. @param {NodeJS.ProcessEnv} env */
function versionUrl(env) {
  const derived = env.WA_SOCKET_URL ? `${new URL(env.WA_SOCKET_URL).origin.replace(/^ws/, 'http')}/sw.js` : 'https://web.whatsapp.com/sw.js';
  return url(env.WA_VERSION_URL || derived, 'WA_VERSION_URL', ['http:', 'https:']);
}

/** @param {string} value */
function level(value) {
  const name = value.toLowerCase() === 'warning' ? 'warn' : value.toLowerCase() === 'critical' ? 'fatal' : value.toLowerCase();
  if (LEVELS.includes(name)) return name;
  throw new ConfigError(`LOG_LEVEL must be one of ${LEVELS.join(', ')}`);
}

/** @param {string} value */
function keyRing(value) {
  try {
    return KeyRing.parse(value);
  } catch (error) {
    throw new ConfigError(`WA_ENCRYPTION_KEYS: ${/** @type {Error} */ (error).message}`);
  }
}
