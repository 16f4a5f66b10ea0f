import { extractDeviceJids, jidDecode, USyncQuery, USyncUser } from 'baileys';
import { Lru } from '../lru.js';
import { isOwnUser, lidAddress, lidOf, phoneAddress, phoneOf, userOf } from './addresses.js';
import { NotSent } from './outcomes.js';

/** @typedef {import('../store/vault.js').Vault} Vault */
/** @typedef {import('./devices.js').DeviceCache} DeviceCache */
/** @typedef {import('./who-is.js').Person} Person */
/** @typedef {import('./lookups.js').Lookups} Lookups */
/** @typedef {import('./inquiry.js').Inquiry} Inquiry */
/** @typedef {{phone: string, on_whatsapp: boolean | null, address: string | null, lid: string | null}} Found */
/** @typedef {import('./outcomes.js').NotSentReason} NotSentReason */
/** @typedef {{user: string, jid: string}} Device */

const REMEMBERED = 1_000;
const REFRESH_MS = 60 * 60 * 1000; // WhatsApp may call out of date what it then tells again

/** Who is who on WhatsApp: what is known already is not asked again, and no answer is never taken for a no. */
export class Directory {
  /** @type {Lru<number>} by address */ #refreshedAt = new Lru(REMEMBERED);
  #sock;
  #vault;
  #lookups;
  #moved;
  #inquiry;
  #devices;

  /**
   * @param {{sock: any, vault: Vault, lookups: Lookups, moved: import('../lru.js').Lru<string>, inquiry: Inquiry, devices: DeviceCache}} options
   *   - `moved`: by LID that is its number's no more, the one that is
   */
  constructor({ sock, vault, lookups, moved, inquiry, devices }) {
    this.#sock = sock;
    this.#vault = vault;
    this.#lookups = lookups;
    this.#moved = moved;
    this.#inquiry = inquiry;
    this.#devices = devices;
  }

  /**
   * The address a message to this customer goes to: by LID where there is one, since a message to the number of a known contact may get
   * 463 that is delivered by LID.
   * @param {{phone: string, lid?: string, address?: string}} to @returns {Promise<string>} @throws {NotSent}
   */
  async resolve({ phone, lid, address }) {
    if (address) return address;
    if (lid) return this.#present(lidAddress(lid));
    const known = await this.#mapped(phoneAddress(phone));
    if (known) return known;
    const { results: [found], reason } = await this.find([phone], { devices: true });
    if (reason) throw new NotSent(reason);
    if (found?.on_whatsapp === false) throw new NotSent('not_on_whatsapp');
    return found?.lid ?? found?.address ?? phoneAddress(phone); // where nothing was said, devices tell
  }

  /**
   * WhatsApp says that this LID is its number's no more: another account has the number by now, and who goes on writing to the one before may be
   * banned for it. By number it tells the present one. Does not throw.
   * @param {string} address
   * @param {string} phone
   */
  async refresh(address, phone) {
    if (performance.now() - (this.#refreshedAt.get(address) ?? -Infinity) < REFRESH_MS) return;
    try {
      this.#lookups.forget(phone);
      const { results: [found], reason } = await this.find([phone], { devices: true });
      if (!reason) this.#refreshedAt.set(address, performance.now());
      if (found?.lid && lidOf(address) && found.lid !== address) await this.#move(address, found.lid);
    } catch {
      // No answer, or none now.
    }
  }

  /**
   * What is known costs nothing; of the rest as many are asked for as the limit allows, and `reason` says that this was not all.
   * `devices`: a message is about to follow, and theirs are needed, too.
   * @param {string[]} phones
   * @param {{devices?: boolean}} [also]
   * @returns {Promise<{results: Found[], reason?: NotSentReason}>}
   * @throws what `notSentBecause` explains
   */
  async find(phones, { devices = false } = {}) {
    const now = Date.now();
    const unknown = phones.filter((phone) => this.#lookups.get(phone, now) === undefined);
    const asked = this.#lookups.mayAsk(unknown);
    if (asked.length > 0) await this.#ask(asked, now, devices);
    const results = await Promise.all(phones.map((phone) => this.#describe(phone, this.#lookups.get(phone, now))));
    return asked.length < unknown.length ? { results, reason: 'lookup_throttled' } : { results };
  }

  /**
   * Those that a message to this address is encrypted for, one of the user's among them; fills the device cache.
   * @param {string} address @returns {Promise<Device[]>} @throws {NotSent}
   */
  async requireDevices(address) {
    const devices = await this.devicesOf(address);
    // Asked by LID a server may answer by number.
    if (devices.some(({ user }) => user === userOf(address) || !this.#isOwn(user))) return devices;
    throw new NotSent(await this.#whyNoDevices(address));
  }

  /** Those that a message to this address is encrypted for: the user's and our own. @param {string} address @returns {Promise<Device[]>} */
  async devicesOf(address) {
    const { creds, keys } = this.#sock.authState;
    const own = (address.endsWith('@lid') && creds.me.lid) || creds.me.id;
    const users = [own, address].map((jid) => jid.replace(/:\d+@/, '@'));
    return keys.transaction(() => this.#sock.getUSyncDevices(users, true, false), creds.me.id);
  }

  /**
   * Baileys leaves out whom it has no keys for, without a word where WhatsApp does not answer for them. The customer's phone must not be left
   * out: nobody would see it.
   * @param {string} address @param {Device[]} devices @returns {Promise<void>} @throws {NotSent}
   */
  async requireKeys(address, devices) {
    const phones = devices.filter(({ user, jid }) => !this.#isOwn(user) && !jidDecode(jid)?.device);
    if (phones.length === 0 || (await this.#hasSession(phones))) return;
    await this.#sock.assertSessions(devices.map(({ jid }) => jid));
    if (!(await this.#hasSession(phones))) throw new NotSent('lookup_failed');
  }

  /**
   * Whether there are keys for at least one of the user's devices and, where we have others, for one of ours: else Baileys encrypts nothing.
   * @param {Device[]} devices @returns {Promise<boolean>}
   */
  async haveKeys(devices) {
    const ours = devices.filter(({ user }) => this.#isOwn(user));
    const theirs = devices.filter(({ user }) => !this.#isOwn(user));
    const enough = await Promise.all([ours, theirs].map(async (side) => side.length === 0 || this.#hasSession(side)));
    return enough.every(Boolean);
  }

  /** @param {string} user */
  #isOwn(user) {
    return isOwnUser(this.#sock.authState.creds.me, user);
  }

  /** @param {Device[]} devices */
  async #hasSession(devices) {
    const found = await Promise.all(devices.map(({ jid }) => this.#sock.signalRepository.validateSession(jid)));
    return found.some(({ exists }) => exists);
  }

  /** @param {string} from @param {string} to - addresses by LID */
  async #move(from, to) {
    const user = userOf(from);
    this.#moved.set(from, to);
    this.#moved.delete(to);
    this.#sock.signalRepository.lidMapping.mappingCache.delete(`lid:${user}`);
    await Promise.all([this.#vault.set({ 'lid-mapping': { [`${user}_reverse`]: null } }), this.#devices.del(user)]);
  }

  /** @param {string} lid @returns {string} */
  #present(lid) {
    const next = this.#moved.get(lid);
    return next ? this.#present(next) : lid;
  }

  /** @param {string[]} phones @param {number} now @param {boolean} devices */
  async #ask(phones, now, devices) {
    const answer = await this.#inquiry.ask(this.#sock, phones, devices);
    await this.#note(answer.people);
    this.#learn(phones, answer, now);
  }

  /** No answer is no no, nor is one that leaves the number out. @param {string[]} phones @param {import('./who-is.js').Answer} answer @param {number} now */
  #learn(phones, { people, absent }, now) {
    const respelled = phones.length > 1 && people.some(({ id }) => !phones.includes(phoneOf(id) ?? ''));
    const allSaid = people.length + absent.length >= phones.length;
    for (const phone of phones) {
      const address = match(phone, people, phones.length === 1);
      // Where others came back in another spelling this may be one of them.
      if (address || (allSaid && !respelled)) this.#lookups.set(phone, address, now);
    }
  }

  /** What came with the answer is not asked for again. @param {Person[]} people */
  async #note(people) {
    const { signalRepository, authState, devicesMutex } = this.#sock;
    const known = people.flatMap(({ id, lid, devices }) => (lid ? [{ pn: id, lid, id: lid, devices }] : []));
    if (known.length === 0) return;
    const { id, lid } = authState.creds.me;
    const entries = known.map((one) => ({ key: userOf(one.lid), value: extractDeviceJids(/** @type {any} */ ([one]), id, lid, false) }));
    const told = entries.filter(({ value }) => value.length > 0);
    await Promise.all([signalRepository.lidMapping.storeLIDPNMappings(known), told.length > 0 && devicesMutex.mutex(() => this.#devices.mset(told))]);
  }

  /**
   * A LID that is not on record is not asked for: no token was taken for that.
   * @param {string} phone
   * @param {string | null | undefined} address - undefined: WhatsApp did not say
   * @returns {Promise<Found>}
   */
  async #describe(phone, address) {
    const lid = address ? await this.#mapped(address) : null;
    return { phone, on_whatsapp: address === undefined ? null : Boolean(address), address: address ?? null, lid };
  }

  /** @param {string} address - a phone number's @returns {Promise<string | null>} the LID that is on record */
  async #mapped(address) {
    const user = userOf(address);
    const mapped = (await this.#vault.get('lid-mapping', [user]))[user];
    return typeof mapped === 'string' ? lidAddress(mapped) : null;
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
 * @param {string} phone @param {Person[]} answer @param {boolean} single @returns {string | null}
 */
function match(phone, answer, single) {
  return (answer.find(({ id }) => phoneOf(id) === phone) ?? (single ? answer[0] : undefined))?.id ?? null;
}
