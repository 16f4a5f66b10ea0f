import { USyncQuery, USyncUser } from 'baileys';
import { lidAddress, phoneAddress, phoneOf, userOf } from './addresses.js';
import { NotSent } from './outcomes.js';

/** @typedef {import('../store/vault.js').Vault} Vault */
/** @typedef {import('./lookups.js').Lookups} Lookups */
/** @typedef {{phone: string, on_whatsapp: boolean | null, address: string | null, lid: string | null}} Found */
/** @typedef {import('./outcomes.js').NotSentReason} NotSentReason */

/** Who is who on WhatsApp: what is known already is not asked again, and no answer is never taken for a no. */
export class Directory {
  #sock;
  #vault;
  #lookups;

  /** @param {{sock: any, vault: Vault, lookups: Lookups}} options */
  constructor({ sock, vault, lookups }) {
    this.#sock = sock;
    this.#vault = vault;
    this.#lookups = lookups;
  }

  /**
   * The address a message to this customer goes to: by LID where there is one, since a message to the number of a known contact may get
   * 463 that is delivered by LID.
   * @param {{phone: string, lid?: string, address?: string}} to @returns {Promise<string>} @throws {NotSent}
   */
  async resolve({ phone, lid, address }) {
    if (address) return address;
    if (lid) return lidAddress(lid);
    const known = await this.#mapped(phoneAddress(phone));
    if (known) return known;
    const { results: [found], reason } = await this.find([phone]);
    if (reason) throw new NotSent(reason);
    if (!found?.address) throw new NotSent('not_on_whatsapp');
    return found.lid ?? found.address;
  }

  /**
   * What is known costs nothing; of the rest as many are asked for as the limit allows, and `reason` says that this was not all.
   * @param {string[]} phones @returns {Promise<{results: Found[], reason?: NotSentReason}>} @throws what `notSentBecause` explains
   */
  async find(phones) {
    const now = Date.now();
    const unknown = phones.filter((phone) => this.#lookups.get(phone, now) === undefined);
    const asked = this.#lookups.mayAsk(unknown);
    if (asked.length > 0) await this.#ask(asked, now);
    const results = await Promise.all(phones.map((phone) => this.#describe(phone, this.#lookups.get(phone, now))));
    return asked.length < unknown.length ? { results, reason: 'lookup_throttled' } : { results };
  }

  /** Whether a user has a device to send to; fills the device cache. @param {string} address @returns {Promise<void>} @throws {NotSent} */
  async requireDevices(address) {
    const devices = await this.devicesOf(address);
    if (devices.some(({ user }) => user === userOf(address))) return;
    throw new NotSent(await this.#whyNoDevices(address));
  }

  /** Those that a message to this address is encrypted for: the user's and our own. @param {string} address @returns {Promise<{user: string, jid: string}[]>} */
  async devicesOf(address) {
    const { creds, keys } = this.#sock.authState;
    const own = (address.endsWith('@lid') && creds.me.lid) || creds.me.id;
    const users = [own, address].map((jid) => jid.replace(/:\d+@/, '@'));
    return keys.transaction(() => this.#sock.getUSyncDevices(users, true, false), creds.me.id);
  }

  /** @param {string[]} phones @param {number} now */
  async #ask(phones, now) {
    // `undefined` when no answer came in time; a number that is missing from an answer is not on WhatsApp.
    const answer = await this.#sock.onWhatsApp(...phones.map(phoneAddress));
    if (!answer) throw new NotSent('lookup_failed');
    const respelled = phones.length > 1 && answer.some((/** @type {any} */ { jid }) => !phones.includes(phoneOf(jid) ?? ''));
    for (const phone of phones) {
      const address = match(phone, answer, phones.length === 1);
      if (address || !respelled) this.#lookups.set(phone, address, now); // else it may be the one that came back in another spelling
    }
  }

  /** @param {string} phone @param {string | null | undefined} address - undefined: WhatsApp did not say @returns {Promise<Found>} */
  async #describe(phone, address) {
    const lid = address ? ((await this.#mapped(address)) ?? (await this.#askLid(address))) : null;
    return { phone, on_whatsapp: address === undefined ? null : Boolean(address), address: address ?? null, lid };
  }

  /** @param {string} address - a phone number's @returns {Promise<string | null>} the LID that is on record */
  async #mapped(address) {
    const user = userOf(address);
    const mapped = (await this.#vault.get('lid-mapping', [user]))[user];
    return typeof mapped === 'string' ? lidAddress(mapped) : null;
  }

  /** @param {string} address @returns {Promise<string | null>} */
  async #askLid(address) {
    const lid = await this.#sock.signalRepository.lidMapping.getLIDForPN(address);
    return lid ? lid.replace(/:\d+@/, '@') : null;
  }

  /** getUSyncDevices cannot tell an unanswered query from an empty answer. @param {string} address */
  async #whyNoDevices(address) {
    const query = new USyncQuery().withContext('message').withDeviceProtocol().withUser(new USyncUser().withId(address));
    const answer = await this.#sock.executeUSyncQuery(query);
    if (!answer) return 'lookup_failed';
    const found = answer.list.some((/** @type {any} */ { devices }) => devices?.deviceList?.length > 0);
    return found ? 'lookup_failed' : 'no_devices';
  }
}

/**
 * Some countries' numbers come back in another spelling (Brazil's ninth digit): an answer to a single question is taken as it is.
 * @param {string} phone @param {{jid: string, exists: boolean}[]} answer @param {boolean} single @returns {string | null}
 */
function match(phone, answer, single) {
  const found = answer.find(({ jid }) => phoneOf(jid) === phone) ?? (single ? answer[0] : undefined);
  return found?.exists ? found.jid : null;
}
