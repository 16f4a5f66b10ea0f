import { randomInt } from 'node:crypto';
import { ControlError } from './errors.js';
import { digits, parseJid } from './wire/jids.js';

/** One linked device as the server knows it.
 * @typedef {object} Device
 * @property {string} number
 * @property {number} device its id: 1 and up; 0 is the phone, which is no Device
 * @property {Buffer} noisePublic
 * @property {Buffer} identity 32 bytes
 * @property {number} registrationId
 * @property {{id: number, value: Buffer, signature: Buffer}} signedPreKey
 * @property {{id: number, value: Buffer}[]} preKeys
 * @property {number} taken how many of preKeys were handed out
 * @property {number} keyIndex
 * @property {Buffer} signedIdentity what the phone signed, with the device's own signature
 * @property {string} linkedAt
 * @property {string} platform
 * @property {boolean} historySent
 */

/** @typedef {{number: string, lid: string, name: string, registeredAt: string, lastDevice: number}} Account */

/** Who is on this WhatsApp, under which addresses, with which devices. */
export class Registry {
  #store;
  /** @type {Map<string, Account>} */
  #accounts = new Map();
  /** @type {Map<string, string>} lid → number */
  #lids = new Map();
  /** @type {Map<string, string>} lid of an account that is gone → number */
  #former = new Map();
  /** @type {Map<string, Map<number, Device>>} */
  #devices = new Map();

  /** @param {import('./persistence.js').Store} store */
  constructor(store) {
    this.#store = store;
    for (const [, account] of store.all('account/')) this.#index(account);
    for (const [key, number] of store.all('former/')) this.#former.set(String(key.split('/')[1]), number);
    for (const [, device] of store.all('device/')) this.#devices.get(device.number)?.set(device.device, { ...device, preKeys: [] });
    for (const [key, preKeys] of store.all('prekeys/')) {
      const [, number, device] = key.split('/');
      const owner = this.device(String(number), Number(device));
      if (owner) owner.preKeys = preKeys;
    }
  }

  /** @param {{number: string, name: string, lid?: string | undefined}} wanted */
  add({ number, name, lid = this.#freeLid() }) {
    if (this.#lids.has(lid)) throw new ControlError(409, 'lid_taken', `another phone has the lid ${lid}`);
    const account = { number, lid, name, registeredAt: new Date().toISOString(), lastDevice: 0 };
    this.#index(account);
    this.save(account);
    return account;
  }

  /** @param {Account} account */
  save(account) {
    this.#store.put(`account/${account.number}`, account);
  }

  /** @param {string} number */
  remove(number) {
    for (const device of this.devicesOf(number)) this.removeDevice(device);
    const account = this.#accounts.get(number);
    if (account) this.#leave(account);
    this.#accounts.delete(number);
    this.#devices.delete(number);
    this.#store.delete(`account/${number}`);
  }

  /** @param {string} number */
  account(number) {
    return this.#accounts.get(number);
  }

  accounts() {
    return [...this.#accounts.values()];
  }

  /** @param {string | undefined} jid @returns {{account: Account, device: number, mode: import('./wire/jids.js').Mode} | undefined} */
  resolve(jid) {
    const parsed = parseJid(jid);
    if (!parsed) return undefined;
    const number = parsed.mode === 'lid' ? this.#lids.get(parsed.user) : parsed.user;
    const account = number === undefined ? undefined : this.#accounts.get(number);
    return account && { account, device: parsed.device, mode: parsed.mode };
  }

  /** Who has the number by now, if the account with this LID is gone. @param {string | undefined} jid @returns {Account | undefined} */
  successor(jid) {
    const parsed = parseJid(jid);
    return parsed?.mode === 'lid' ? this.#accounts.get(this.#former.get(parsed.user) ?? '') : undefined;
  }

  /** @param {string} number @returns {Device[]} the linked ones */
  devicesOf(number) {
    return [...(this.#devices.get(number)?.values() ?? [])];
  }

  /** @param {string} number @param {number} device */
  device(number, device) {
    return this.#devices.get(number)?.get(device);
  }

  /** @param {string} number @param {number} device */
  has(number, device) {
    return device === 0 ? this.#accounts.has(number) : this.#devices.get(number)?.has(device) ?? false;
  }

  /** The next free device id; never one that was used last, so that a relinked device is a new one to everybody.
   * @param {Account} account
   */
  nextDevice(account) {
    do account.lastDevice = account.lastDevice >= 250 ? 1 : account.lastDevice + 1;
    // 99 is reserved for hosted devices, clients refuse it.
    while (account.lastDevice === 99 || this.has(account.number, account.lastDevice));
    this.save(account);
    return account.lastDevice;
  }

  /** @param {Device} device */
  addDevice(device) {
    this.#devices.get(device.number)?.set(device.device, device);
    this.saveDevice(device);
  }

  /** @param {Device} device */
  saveDevice(device) {
    const { preKeys: _, ...rest } = device;
    this.#store.put(`device/${device.number}/${device.device}`, rest);
  }

  /** @param {Device} device @param {{id: number, value: Buffer}[]} preKeys replaces what is left */
  setPreKeys(device, preKeys) {
    device.preKeys = preKeys;
    device.taken = 0;
    this.#store.put(`prekeys/${device.number}/${device.device}`, preKeys);
    this.saveDevice(device);
  }

  /** @param {Device} device */
  takePreKey(device) {
    const key = device.preKeys[device.taken];
    if (key) device.taken++;
    this.saveDevice(device);
    return key;
  }

  /** @param {Device} device */
  removeDevice(device) {
    this.#devices.get(device.number)?.delete(device.device);
    this.#store.delete(`device/${device.number}/${device.device}`);
    this.#store.delete(`prekeys/${device.number}/${device.device}`);
  }

  /** @param {Account} account */
  #leave({ lid, number }) {
    this.#lids.delete(lid);
    this.#former.set(lid, number);
    this.#store.put(`former/${lid}`, number);
  }

  /** @param {Account} account */
  #index(account) {
    this.#accounts.set(account.number, account);
    this.#lids.set(account.lid, account.number);
    this.#devices.set(account.number, new Map());
  }

  #freeLid() {
    for (;;) {
      const lid = `1${randomInt(1e7, 1e8 - 1)}${randomInt(1e5, 1e6 - 1)}`;
      if (!this.#lids.has(lid)) return lid;
    }
  }
}

/** @param {unknown} phone @returns {string} digits @throws {ControlError} */
export function wantNumber(phone) {
  const number = digits(phone);
  if (!/^[1-9]\d{5,14}$/.test(number)) throw new ControlError(400, 'invalid_number', 'a number is E.164, as in +4915112345678');
  return number;
}
