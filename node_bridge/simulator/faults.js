import { setTimeout as sleep } from 'node:timers/promises';
import { ControlError } from './errors.js';
import { digits } from './wire/jids.js';
import { el, seconds, SERVER } from './wire/nodes.js';

/** @typedef {'connect' | 'login' | 'message' | 'ack' | 'query' | 'bundle' | 'receipt' | 'notification' | 'backlog'} Moment */
/** @typedef {object} Deed
 * @property {string} action
 * @property {string | number} [code]
 * @property {string} [reason]
 * @property {number} [ms]
 * @property {Record<string, string>} [attrs]
 * @property {string} [text]
 * @property {string[]} [tags]
 * @property {'before' | 'after'} [moment]
 */
/** @typedef {{to?: string, device?: number, xmlns?: string, asks?: string[], id?: string}} Match */
/** @typedef {{id: string, account: string, on: Moment, times: number, match: Match, do: Deed, struck: number}} Fault */
/**
 * @typedef {{account?: string | undefined, on: Moment, to?: string | undefined, device?: number, xmlns?: string | undefined, asks?: string[],
 *   id?: string | undefined}} Occasion
 */

const PASSKEY_OPTIONS = Buffer.from(JSON.stringify({ challenge: 'c2ltdWxhdGVk', rpId: 'web.whatsapp.com', timeout: 60_000, userVerification: 'required' }));
const ANYWHERE = ['drop', 'delay', 'terminate', 'stream_error'];
/** @type {Record<Moment, string[]>} */
const ACTIONS = {
  connect: [...ANYWHERE, 'failure', 'ask_passkey'],
  login: [...ANYWHERE, 'failure', 'downgrade'],
  message: [...ANYWHERE, 'ack_error'],
  ack: [...ANYWHERE, 'ack_error'],
  query: [...ANYWHERE, 'iq_error', 'leave_out'],
  bundle: ['bundle_error'],
  receipt: ANYWHERE,
  notification: ANYWHERE,
  backlog: ANYWHERE,
};

/** The faults that were ordered, and whom they strike next. */
export class Faults {
  #last = 0;
  /** @type {Map<string, Fault>} */
  #faults = new Map();
  #journal;

  /** @param {import('./events.js').Journal} journal */
  constructor(journal) {
    this.#journal = journal;
  }

  /** @param {any} order as the control API takes it @returns {Fault} */
  add(order) {
    const actions = ACTIONS[/** @type {Moment} */ (order.on)];
    if (!actions.includes(order.do.action)) {
      const allowed = actions.join(', ');
      throw new ControlError(400, 'invalid_fault', `on "${order.on}" the action must be one of ${allowed}`);
    }
    const { account = '*', times = 1, match = {} } = order;
    const fault = { id: String(++this.#last), account, on: order.on, times, match, do: order.do, struck: 0 };
    this.#faults.set(fault.id, fault);
    return fault;
  }

  list() {
    return [...this.#faults.values()];
  }

  /** @param {string} [id] all of them when left out */
  remove(id) {
    if (id === undefined) this.#faults.clear();
    else if (!this.#faults.delete(id)) throw new ControlError(404, 'not_found', `there is no fault ${id}`);
  }

  /** The first fault that fits, used up by one.
   * @param {Occasion} occasion
   */
  strike(occasion) {
    if (!this.#faults.size) return undefined;
    const fault = this.list().find((each) => fits(each, occasion));
    if (!fault) return undefined;
    fault.struck++;
    if (fault.times && fault.struck >= fault.times) this.#faults.delete(fault.id);
    this.#journal.count('faults', occasion.account);
    this.#journal.tell('fault.struck', { fault: fault.id, on: fault.on, action: fault.do.action, account: occasion.account, id: occasion.id });
    return fault.do;
  }
}

/** @param {Fault} fault @param {Occasion} occasion */
function fits(fault, { account, on, to, device, xmlns, asks = [], id }) {
  const { match } = fault;
  return fault.on === on
    && (fault.account === '*' || digits(fault.account) === account)
    && (!match.to || digits(match.to) === to)
    && (match.device === undefined || match.device === device)
    && (!match.xmlns || match.xmlns === xmlns)
    && (!match.asks || match.asks.every((tag) => asks.includes(tag)))
    && (!match.id || match.id === id);
}

/** Does to a socket what the fault says. `go` means: carry on as if nothing had been ordered (after a delay, perhaps).
 * @param {import('./wire/connection.js').Connection} conn
 * @param {Deed | undefined} deed
 * @returns {Promise<'go' | 'stop'>}
 */
export async function interfere(conn, deed) {
  switch (deed?.action) {
    case 'drop':
      return 'stop';
    case 'delay':
      await sleep(deed.ms ?? 0, undefined, { ref: false });
      return 'go';
    case 'terminate':
      conn.terminate();
      return 'stop';
    case 'stream_error':
      conn.streamError(deed.code, streamReason(deed.reason));
      return 'stop';
    case 'failure':
      conn.fail({ reason: String(deed.code ?? 403), ...deed.attrs });
      return 'stop';
    case 'downgrade':
      conn.send(el('ib', {}, [el('downgrade_webclient')]));
      return 'stop';
    case 'ask_passkey':
      conn.send(passkeyRequest(conn.id));
      return 'go';
    default:
      return 'go';
  }
}

/** @param {number} socket */
function passkeyRequest(socket) {
  const attrs = { from: SERVER, type: 'passkey_prologue_request', id: `passkey-${socket}`, t: seconds() };
  return el('notification', attrs, [el('passkey_request_options', {}, PASSKEY_OPTIONS)]);
}

/** @param {string | undefined} reason */
export function streamReason(reason) {
  if (!reason) return undefined;
  return ['replaced', 'device_removed'].includes(reason) ? [el('conflict', { type: reason })] : [el(reason)];
}
