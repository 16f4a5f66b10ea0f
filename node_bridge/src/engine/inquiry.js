import { phoneOf } from './addresses.js';
import { NotSent, notSentBecause } from './outcomes.js';
import { whoIs } from './who-is.js';

/** @typedef {import('./who-is.js').Answer} Answer */
/** @typedef {import('./who-is.js').Person} Person */
/** @typedef {import('../log.js').Log} Log */

/** From what WhatsApp Web asks at once to what Baileys does. That WhatsApp takes it from a client like this one is proved for the last alone. */
const QUESTIONS = [{ lids: true, devices: true }, { lids: true }, {}];
const WIDEST = 0;
const WITHOUT_DEVICES = 1;
const NARROWEST = 2;

/** How numbers are asked for: as much at once as WhatsApp answers. One for the process: what it does not tell one session it tells none. */
export class Inquiry {
  #apart = false; // devices have to be asked for by themselves
  #log;

  /** @param {{log: Log}} options */
  constructor({ log }) {
    this.#log = log;
  }

  /**
   * @param {any} sock
   * @param {string[]} phones
   * @param {boolean} devices - they are wanted, too
   * @returns {Promise<Answer>}
   * @throws what `notSentBecause` explains
   */
  ask(sock, phones, devices) {
    return this.#from(devices && !this.#apart ? WIDEST : WITHOUT_DEVICES, sock, phones);
  }

  /**
   * Whom an answer leaves out is asked for once more, with a narrower question.
   * @param {number} at
   * @param {any} sock
   * @param {string[]} phones
   * @returns {Promise<Answer>}
   */
  async #from(at, sock, phones) {
    const answer = await this.#answer(at, sock, phones);
    const told = [...answer.people.filter((person) => at !== WIDEST || tellsMore(person)), ...answer.absent];
    if (at === NARROWEST || told.length >= phones.length) return answer; // by their count: some come back in another spelling
    const rest = await this.#from(at + 1, sock, phones.filter((phone) => !told.some(({ id }) => phoneOf(id) === phone)));
    if (at === WIDEST && told.length === 0 && (rest.people.some(tellsMore) || size(rest) > size(answer))) this.#askApart();
    return { people: joined(answer.people, rest.people), absent: joined(answer.absent, rest.absent) };
  }

  /** @param {number} at @param {any} sock @param {string[]} phones @returns {Promise<Answer>} */
  async #answer(at, sock, phones) {
    const answer = await whoIs(sock, phones, QUESTIONS[at] ?? {}).catch((error) => {
      if (at === NARROWEST || notSentBecause(error, false).reason !== 'lookup_failed') throw error;
      return { people: [], absent: [] };
    });
    if (!answer) throw new NotSent('lookup_failed');
    return answer;
  }

  #askApart() {
    if (this.#apart) return;
    this.#apart = true;
    this.#log.warn('WhatsApp does not tell of numbers, LIDs and devices at once: devices are asked for by themselves');
  }
}

/** More than that the number is there. @param {Person} person */
function tellsMore({ lid, devices }) {
  return Boolean(lid || devices?.deviceList.length);
}

/** @param {Answer} answer */
function size({ people, absent }) {
  return people.length + absent.length;
}

/** What was told later of the same person takes the place of the earlier. @param {Person[]} earlier @param {Person[]} later */
function joined(earlier, later) {
  return [...new Map([...earlier, ...later].map((person) => [person.id, person])).values()];
}
