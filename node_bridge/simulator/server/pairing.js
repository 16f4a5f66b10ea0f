import { proto } from 'baileys';
import { randomBytes, randomInt } from 'node:crypto';
import { ControlError } from '../errors.js';
import { interfere } from '../faults.js';
import { identityIsGood, vouch } from '../phones/adv.js';
import { signatureIsGood, typedKey } from '../wire/crypto.js';
import { jidOf, masked } from '../wire/jids.js';
import { bytes, child, el, SERVER } from '../wire/nodes.js';

/** @typedef {import('../wire/connection.js').Connection} Connection */
/** A device that waits to be linked.
 * @typedef {object} Candidate
 * @property {Connection} conn
 * @property {Buffer} noisePublic
 * @property {Buffer} identity
 * @property {number} registrationId
 * @property {{id: number, value: Buffer, signature: Buffer}} signedPreKey
 * @property {string} platform
 */

const REFS = 6;
const SPENT_REFS_KEPT = 10_000;
const CONFIRM_TIMEOUT_MS = 15_000;

/** Links devices to phones: shows refs to whoever wants to be linked, and takes the phone's word for it. */
export class Pairing {
  #net;
  /** @type {Map<string, Candidate>} */
  #byRef = new Map();
  /** @type {Set<string>} */
  #spent = new Set();

  /** @param {import('../network.js').Network} net */
  constructor(net) {
    this.#net = net;
  }

  /** @param {Connection} conn @param {proto.ClientPayload.IDevicePairingRegistrationData} data @param {Buffer} noisePublic */
  async begin(conn, data, noisePublic) {
    if ((await interfere(conn, this.#net.faults.strike({ on: 'connect' }))) === 'stop') return;
    const candidate = readCandidate(conn, data, noisePublic);
    const { identity, signedPreKey: signed } = candidate;
    if (!signatureIsGood(identity, typedKey(signed.value), signed.signature)) {
      this.#net.badSignature('signed-pre-key', undefined);
      return conn.fail({ reason: '400', location: 'sim' });
    }
    const refs = Array.from({ length: REFS }, () => `2@${randomBytes(48).toString('base64')}`);
    for (const ref of refs) this.#byRef.set(ref, candidate);
    this.#net.linkCodes.offer(candidate);
    this.#net.onClosed(conn, () => this.#spend(refs));
    this.#net.journal.count('qr_shown', undefined);
    this.#net.journal.tell('qr.shown', { socket: conn.id, refs: refs.length });
    conn.send(el('iq', { from: SERVER, type: 'set', xmlns: 'md', id: `pair-${conn.id}` }, [
      el('pair-device', {}, refs.map((ref) => el('ref', {}, Buffer.from(ref)))),
    ]));
  }

  /** A phone has scanned this text. @param {import('../phones/phone.js').Phone} phone @param {string} qr @throws {ControlError} */
  async scan(phone, qr) {
    const [ref = '', noiseKey = '', identityKey = '', secret = ''] = qr.trim().replace(/^.*#/, '').split(',');
    const candidate = this.#byRef.get(ref);
    if (!candidate && this.#spent.has(ref)) throw new ControlError(409, 'qr_expired', 'this QR code has expired');
    const same = candidate?.noisePublic.toString('base64') === noiseKey && candidate.identity.toString('base64') === identityKey;
    if (!candidate || !same) throw new ControlError(409, 'qr_unknown', 'no device shows this QR code');
    return this.link(phone, candidate, Buffer.from(secret, 'base64'));
  }

  /** @param {import('../phones/phone.js').Phone} phone @param {Candidate} candidate @param {Buffer} advSecret
   * @returns {Promise<import('../registry.js').Device>}
   */
  async link(phone, candidate, advSecret) {
    if (!phone.online) throw new ControlError(409, 'offline', 'the phone is offline');
    const { registry, store, journal } = this.#net;
    const { account } = phone;
    const device = registry.nextDevice(account);
    const keyIndex = device;
    const wrapped = vouch({ phone: phone.keys.identity, companionIdentity: candidate.identity, advSecret, keyIndex, rawId: randomInt(1, 2 ** 31) });
    phone.keys.save();
    await store.flush();
    const signedIdentity = await this.#confirm(candidate, account, device, wrapped);
    this.#check(candidate, phone, signedIdentity);
    const { noisePublic, identity, registrationId, signedPreKey, platform } = candidate;
    const linked = {
      number: account.number, device, noisePublic, identity, registrationId, signedPreKey, platform, keyIndex, signedIdentity,
      preKeys: [], taken: 0, linkedAt: new Date().toISOString(), historySent: false,
    };
    registry.addDevice(linked);
    await store.flush();
    journal.count('pairings', account.number);
    journal.tell('device.linked', { account: account.number, device, platform });
    this.#net.log.info({ account: masked(account.number), device }, 'linked');
    this.#net.announceDevices(account, 'add', device);
    candidate.conn.streamError(515);
    return linked;
  }

  /**
   * @param {Candidate} candidate
   * @param {import('../registry.js').Account} account
   * @param {number} device
   * @param {Buffer} wrapped
   * @returns {Promise<Buffer>}
   */
  async #confirm({ conn }, account, device, wrapped) {
    const reply = await conn.request(el('iq', { from: SERVER, type: 'set', xmlns: 'md' }, [
      el('pair-success', {}, [
        el('device-identity', {}, wrapped),
        el('device', { jid: jidOf(account, 'pn', device), lid: jidOf(account, 'lid', device) }),
        el('platform', { name: 'smba' }),
      ]),
    ]), CONFIRM_TIMEOUT_MS);
    const identity = bytes(child(child(reply, 'pair-device-sign'), 'device-identity'));
    if (!identity) throw new ControlError(409, 'link_failed', 'the device did not confirm');
    return identity;
  }

  /** @param {Candidate} candidate @param {import('../phones/phone.js').Phone} phone @param {Buffer} signedIdentity @throws {ControlError} */
  #check(candidate, phone, signedIdentity) {
    const who = { accountKey: phone.keys.identity.public, companionIdentity: candidate.identity };
    if (identityIsGood(signedIdentity, who)) return;
    this.#net.badSignature('device-identity', phone.number);
    candidate.conn.fail({ reason: '401', location: 'sim' });
    throw new ControlError(409, 'link_failed', 'the device signed its identity wrongly');
  }

  /** @param {string[]} refs */
  #spend(refs) {
    for (const ref of refs) {
      this.#byRef.delete(ref);
      this.#spent.add(ref);
    }
    for (const ref of this.#spent) {
      if (this.#spent.size <= SPENT_REFS_KEPT) break;
      this.#spent.delete(ref);
    }
  }
}

/** @param {Connection} conn @param {proto.ClientPayload.IDevicePairingRegistrationData} data @param {Buffer} noisePublic @returns {Candidate} */
function readCandidate(conn, data, noisePublic) {
  const [identity, regId, keyId, value, signature] = [data.eIdent, data.eRegid, data.eSkeyId, data.eSkeyVal, data.eSkeySig]
    .map((field) => Buffer.from(field ?? []));
  const number = (/** @type {Buffer | undefined} */ field) => (field?.length ? field.readUIntBE(0, Math.min(field.length, 6)) : 0);
  return {
    conn, noisePublic,
    identity: identity ?? Buffer.alloc(0),
    registrationId: number(regId),
    signedPreKey: { id: number(keyId), value: value ?? Buffer.alloc(0), signature: signature ?? Buffer.alloc(0) },
    platform: platformOf(data.deviceProps),
  };
}

/** @param {Uint8Array | null | undefined} props */
function platformOf(props) {
  if (!props) return 'unknown';
  const { os, platformType } = proto.DeviceProps.decode(props);
  return `${proto.DeviceProps.PlatformType[platformType ?? 0]?.toLowerCase() ?? 'unknown'} (${os})`;
}

