import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';

/** @typedef {{key: string, cert: string}} Certificate both PEM */

const DAY_MS = 24 * 3600 * 1000;
const ECDSA_SHA256 = sequence(oid('2a8648ce3d040302'));

/** A certificate for a host that signs itself. Clients upload media over TLS only, and must be given this one to trust.
 * @param {string} host @returns {Certificate}
 */
export function selfSigned(host) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = sequence(der(0x31, sequence(oid('550403'), der(0x0c, Buffer.from('Simulated WhatsApp media host')))));
  const serial = Buffer.concat([Buffer.from([1]), randomBytes(15)]);
  const body = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    ECDSA_SHA256,
    name,
    sequence(time(Date.now() - DAY_MS), time(Date.now() + 3650 * DAY_MS)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(alternativeNames(host), authority())),
  );
  const signature = der(0x03, Buffer.concat([Buffer.from([0]), sign('sha256', body, privateKey)]));
  const cert = pem('CERTIFICATE', sequence(body, ECDSA_SHA256, signature));
  return { cert, key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })) };
}

/** @param {string} host */
function alternativeNames(host) {
  const addresses = [...new Set(['127.0.0.1', host].filter((each) => isIP(each) === 4))];
  const names = [...new Set(['localhost', host].filter((each) => !isIP(each)))];
  return extension('551d11', sequence(
    ...addresses.map((address) => der(0x87, Buffer.from(address.split('.').map(Number)))),
    ...names.map((each) => der(0x82, Buffer.from(each))),
  ));
}

const authority = () => extension('551d13', sequence(der(0x01, Buffer.from([0xff]))));

/** @param {string} id hex @param {Buffer} value */
function extension(id, value) {
  return sequence(oid(id), der(0x04, value));
}

/** @param {number} tag @param {Buffer} value */
function der(tag, value) {
  const { length } = value;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), value]);
}

/** @param {Buffer[]} parts */
function sequence(...parts) {
  return der(0x30, Buffer.concat(parts));
}

/** @param {string} hex */
function oid(hex) {
  return der(0x06, Buffer.from(hex, 'hex'));
}

/** @param {Buffer} value big-endian, positive */
const integer = (value) => der(0x02, value);

/** @param {number} at */
const time = (at) => der(0x18, Buffer.from(new Date(at).toISOString().replace(/[-:T]|\.\d+/g, '')));

/** @param {string} label @param {Buffer} content */
const pem = (label, content) => `-----BEGIN ${label}-----\n${content.toString('base64').replace(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`;

