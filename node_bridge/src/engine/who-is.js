import { getBinaryNodeChild, USyncDeviceProtocol, USyncQuery, USyncUser } from 'baileys';

/** @typedef {{id: string, lid?: string, devices?: {deviceList: object[]}}} Person - somebody on WhatsApp; `id` is the address by number */

/** What is wrong with somebody's devices says nothing of whether the number is on WhatsApp; Baileys' own parser would fail the whole answer. */
class Devices extends USyncDeviceProtocol {
  /** @override @param {import('baileys').BinaryNode} node @returns {any} */
  parser(node) {
    return getBinaryNodeChild(node, 'error') ? null : super.parser(node);
  }
}

/**
 * Those of these numbers that are on WhatsApp, with their LIDs, in one question: Baileys' `onWhatsApp`, `getLIDForPN` and
 * `getUSyncDevices` ask one each. What is missing from the answer is asked for by them as before.
 * @param {any} sock @param {string[]} phones - E.164 @param {{devices: boolean}} also @returns {Promise<Person[] | undefined>} undefined when no answer came in time
 */
export async function whoIs(sock, phones, { devices }) {
  const query = new USyncQuery().withContactProtocol().withLIDProtocol();
  if (devices) query.protocols.push(new Devices());
  for (const phone of phones) query.withUser(new USyncUser().withPhone(phone));
  const answer = await sock.executeUSyncQuery(query);
  return answer?.list.filter((/** @type {any} */ { contact }) => contact);
}
