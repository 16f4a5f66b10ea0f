import { el, seconds, SERVER } from './wire/nodes.js';

/** `enforce`: messages to people who gave no token are refused with 463 while it lasts.
 * @typedef {{active: boolean, until?: string | null, type?: string, enforce?: boolean}} Timelock
 */
/** @typedef {{status: string, total: number, used: number, cycle_ends_at?: string | null}} Cap */
/** @typedef {{timelock: Timelock, cap: Cap}} Restriction */

const CYCLE_S = 30 * 24 * 3600;

/** @returns {Restriction} */
const none = () => ({ timelock: { active: false }, cap: { status: 'none', total: 0, used: 0 } });

/** @param {string | null | undefined} time ISO 8601 */
const unix = (time) => Math.floor(Date.parse(String(time)) / 1000);

/** What the network says of an account's standing, when it is asked and when it changes. */
export class Restrictions {
  #net;
  /** @type {Map<string, Restriction>} */
  #all = new Map();

  /** @param {import('./network.js').Network} net */
  constructor(net) {
    this.#net = net;
    for (const [key, restriction] of net.store.all('restriction/')) this.#all.set(String(key.split('/')[1]), restriction);
  }

  /** @param {string} number @returns {Restriction} */
  of(number) {
    return this.#all.get(number) ?? none();
  }

  /** @param {string} number @param {{timelock?: Timelock, cap?: Cap, push?: boolean}} change */
  async set(number, { timelock, cap, push }) {
    const now = { ...this.of(number), ...(timelock && { timelock }), ...(cap && { cap }) };
    this.#all.set(number, now);
    this.#net.store.put(`restriction/${number}`, now);
    await this.#net.store.flush();
    this.#net.journal.tell('restriction.changed', { account: number, ...now });
    if (push && timelock) await this.#push(number, 'NotificationUserReachoutTimelockUpdate', { xwa2_notify_account_reachout_timelock: this.timelock(number) });
    if (push && cap) await this.#push(number, 'MessageCappingInfoNotification', { xwa2_notify_new_chat_messages_capping_info_update: this.cap(number) });
    return now;
  }

  /** @param {string} number @param {number} [now] */
  forbidStrangers(number, now = Date.now()) {
    const { active, enforce, until } = this.of(number).timelock;
    return !!active && !!enforce && !(until && Date.parse(until) <= now);
  }

  /** As the wire has it. @param {string} number */
  timelock(number) {
    const { active, until, type } = this.of(number).timelock;
    return {
      is_active: active,
      time_enforcement_ends: active && until ? String(unix(until)) : null,
      enforcement_type: active ? type ?? 'BIZ_QUALITY' : 'DEFAULT',
    };
  }

  /** As the wire has it. @param {string} number */
  cap(number) {
    const { status, total, used, cycle_ends_at: endsAt } = this.of(number).cap;
    const end = endsAt ? unix(endsAt) : Math.floor(Date.now() / 1000) + CYCLE_S;
    return {
      total_quota: total,
      used_quota: used,
      cycle_start_timestamp: String(end - CYCLE_S),
      cycle_end_timestamp: String(end),
      server_sent_timestamp: seconds(),
      ote_status: 'NOT_ELIGIBLE',
      mv_status: 'NOT_ELIGIBLE',
      capping_status: status.toUpperCase(),
    };
  }

  /** Only who is connected is told: the real network keeps no old news of this kind. @param {string} number @param {string} operation @param {object} data */
  async #push(number, operation, data) {
    const update = el('update', { op_name: operation }, Buffer.from(JSON.stringify({ data })));
    const id = `mex-${Date.now()}`;
    for (const { device } of this.#net.registry.devicesOf(number)) {
      this.#net.sockets.of(number, device)?.send(el('notification', { from: SERVER, type: 'mex', id, t: seconds() }, [update]));
    }
  }

  /** @param {string} number */
  forget(number) {
    this.#all.delete(number);
    this.#net.store.delete(`restriction/${number}`);
  }
}
