import { getBinaryNodeChild, USyncDeviceProtocol, USyncQuery, USyncUser } from 'baileys';

/** @typedef {{id: string, lid?: string, devices?: {deviceList: object[]}}} Person - somebody on WhatsApp; `id` is the address by number */
/** @typedef {{people: Person[], absent: Person[]}} Answer - who is there, and who is said not to be; of the others nothing was said */

/** What is wrong with somebody's devices says nothing of whether the number is on WhatsApp; Baileys' own parser would fail the whole answer. */
class Devices extends USyncDeviceProtocol {
  /** @override @param {import('baileys').BinaryNode} node @returns {any} */
  parser(node) {
    return getBinaryNodeChild(node, 'error') ? null : super.parser(node);
  }
}

/**
 * Which of these numbers are on WhatsApp, with their LIDs and devices if wanted, in one question: Baileys' `onWhatsApp`, `getLIDForPN` and
 * `getUSyncDevices` ask one each.
 * @param {any} sock
 * @param {string[]} phones - E.164
 * @param {{lids?: boolean, devices?: boolean}} also
 * @returns {Promise<Answer | undefined>} undefined when no answer came in time
 */
export async function whoIs(sock, phones, { lids = false, devices = false }) {
  const query = new USyncQuery().withContactProtocol();
  if (lids) query.withLIDProtocol();
  if (devices) query.protocols.push(new Devices());
  for (const phone of phones) query.withUser(new USyncUser().withPhone(phone));
  const answer = await sock.executeUSyncQuery(query);
  const said = (/** @type {boolean} */ there) => answer.list.filter((/** @type {any} */ { contact }) => contact === there);
  return answer && { people: said(true), absent: said(false) };
}
