import { el, seconds, SERVER } from '../wire/nodes.js';

/** Below this a client is told to upload more one-time pre-keys. */
const FEW = 10;

/** Key bundles of all devices, phones included. */
export class Bundles {
  #net;

  /** @param {import('../network.js').Network} net */
  constructor(net) {
    this.#net = net;
  }

  /** Hands out a bundle and uses up one of its one-time pre-keys, if there is one left.
   * @param {string} number @param {number} device
   * @returns {import('../phones/keys.js').Bundle | undefined} undefined when there is no such device
   */
  take(number, device) {
    if (device === 0) return this.#net.phones.get(number)?.keys.takeBundle();
    const owner = this.#net.registry.device(number, device);
    if (!owner) return undefined;
    const { registrationId, identity, signedPreKey, signedIdentity } = owner;
    const preKey = this.#net.registry.takePreKey(owner);
    this.#warn(owner);
    return { registrationId, identity, signedPreKey, preKey, signedIdentity };
  }

  /** @param {import('../registry.js').Device} device */
  left(device) {
    return device.preKeys.length - device.taken;
  }

  /** @param {import('../registry.js').Device} owner */
  #warn(owner) {
    const left = this.left(owner);
    if (left >= FEW) return;
    const { number, device } = owner;
    const id = `low-${device}-${Date.now()}`;
    const notification = el('notification', { from: SERVER, type: 'encrypt', id, t: seconds() }, [el('count', { value: String(left) })]);
    void this.#net.switchboard.deliver(number, device, notification);
  }
}
