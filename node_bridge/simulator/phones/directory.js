import { ControlError } from '../errors.js';
import { wantNumber } from '../registry.js';
import { e164 } from '../wire/jids.js';
import { Phone } from './phone.js';

/** All virtual phones, by number. */
export class Phones {
  #net;
  /** @type {Map<string, Phone>} */
  #phones = new Map();

  /** @param {import('../network.js').Network} net */
  constructor(net) {
    this.#net = net;
  }

  /** Those from before the restart. */
  load() {
    for (const account of this.#net.registry.accounts()) this.#phones.set(account.number, new Phone(this.#net, account));
    for (const phone of this.#phones.values()) phone.resume();
  }

  get size() {
    return this.#phones.size;
  }

  all() {
    return [...this.#phones.values()];
  }

  /** @param {string} number digits */
  get(number) {
    return this.#phones.get(number);
  }

  /** @param {unknown} number in any spelling @returns {Phone} @throws {ControlError} */
  want(number) {
    const phone = this.#phones.get(wantNumber(number));
    if (!phone) throw new ControlError(404, 'not_found', `there is no phone with the number ${number}`);
    return phone;
  }

  /** @param {{number: string, name?: string | undefined, lid?: string | undefined, settings?: object | undefined}} wanted
   * @returns {{phone: Phone, made: boolean}}
   */
  make({ number: given, name = '', lid, settings }) {
    const number = wantNumber(given);
    const existing = this.#phones.get(number);
    if (existing) return { phone: existing, made: false };
    const phone = new Phone(this.#net, this.#net.registry.add({ number, name, lid }));
    this.#phones.set(number, phone);
    phone.keys.save();
    phone.change({ settings });
    this.#net.journal.tell('phone.created', { account: number });
    return { phone, made: true };
  }

  /** @param {Phone} phone */
  async remove(phone) {
    for (const device of this.#net.registry.devicesOf(phone.number)) await this.#net.unlink(device, 'the phone is gone');
    phone.erase();
    this.#phones.delete(phone.number);
    this.#net.registry.remove(phone.number);
    this.#net.restrictions.forget(phone.number);
    this.#net.journal.tell('phone.deleted', { account: phone.number });
  }

  /** As the control API gives it. @param {Phone} phone */
  present(phone) {
    const { account, settings } = phone;
    const devices = this.#net.registry.devicesOf(account.number).map((device) => this.presentDevice(device));
    return {
      number: e164(account.number), name: account.name, lid: `${account.lid}@lid`, online: settings.online, settings, devices,
      registered_at: account.registeredAt,
    };
  }

  /** @param {import('../registry.js').Device} linked */
  presentDevice(linked) {
    const { number, device, linkedAt, platform } = linked;
    const { sockets, queues, bundles } = this.#net;
    const holds = { waiting: queues.waiting(number, device).length, pre_keys: bundles.left(linked) };
    return { device, linked_at: linkedAt, connected: !!sockets.of(number, device), platform, ...holds };
  }

  close() {
    for (const phone of this.#phones.values()) phone.close();
  }
}
