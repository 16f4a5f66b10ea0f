import { Curve, proto, WA_CERT_DETAILS } from 'baileys';

/** @typedef {{keys: import('baileys').KeyPair, certificates: Uint8Array, root: Buffer}} ServerIdentity */

const { Details } = proto.CertChain.NoiseCertificate;

/** @param {import('baileys').KeyPair} signer @param {proto.CertChain.NoiseCertificate.IDetails} fields */
function signed(signer, fields) {
  const details = Details.encode(fields).finish();
  return { details, signature: Curve.sign(signer.private, details) };
}

/** The network's own root, intermediate and leaf, in the shape clients expect of WhatsApp's.
 * `root` is what a client that verifies must trust in place of WhatsApp's own.
 * @returns {ServerIdentity}
 */
export function makeServerIdentity() {
  const [root, intermediate, leaf] = [Curve.generateKeyPair(), Curve.generateKeyPair(), Curve.generateKeyPair()];
  const chain = {
    intermediate: signed(root, { serial: 1, issuerSerial: WA_CERT_DETAILS.SERIAL, key: intermediate.public }),
    leaf: signed(intermediate, { serial: 2, issuerSerial: 1, key: leaf.public }),
  };
  return { keys: leaf, certificates: proto.CertChain.encode(chain).finish(), root: Buffer.from(root.public) };
}
