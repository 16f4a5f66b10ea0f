import { QueryIds } from 'baileys';
import { QueryError } from '../../errors.js';
import { el } from '../../wire/nodes.js';

/** The restriction queries. @type {import('./index.js').Handler} */
export function mex({ net, conn, what }) {
  const { number } = conn.device;
  switch (what.attrs.query_id) {
    case QueryIds.REACHOUT_TIMELOCK:
      return [json({ xwa2_fetch_account_reachout_timelock: net.restrictions.timelock(number) })];
    case QueryIds.MESSAGE_CAPPING_INFO:
      return [json({ xwa2_message_capping_info: net.restrictions.cap(number) })];
    default:
      throw new QueryError(501, 'feature-not-implemented');
  }
}

/** @param {object} data */
const json = (data) => el('result', {}, Buffer.from(JSON.stringify({ data })));
