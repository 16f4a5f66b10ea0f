import { Curve, hmacSign, proto, WA_ADV_ACCOUNT_SIG_PREFIX, WA_ADV_DEVICE_SIG_PREFIX } from 'baileys';
import { signatureIsGood } from '../wire/crypto.js';

/** How a phone vouches for a device it links ("ADV"), and how anybody checks that. */

/** What the phone signs, wrapped so that only the one who showed the QR takes it.
 * @param {{phone: import('baileys').KeyPair, companionIdentity: Buffer, advSecret: Buffer, keyIndex: number, rawId: number}} link
 */
export function vouch({ phone, companionIdentity, advSecret, keyIndex, rawId }) {
  const timestamp = Math.floor(Date.now() / 1000);
  const details = proto.ADVDeviceIdentity.encode({ rawId, timestamp, keyIndex }).finish();
  const accountSignature = Curve.sign(phone.private, Buffer.concat([WA_ADV_ACCOUNT_SIG_PREFIX, details, companionIdentity]));
  const signed = proto.ADVSignedDeviceIdentity.encode({ details, accountSignatureKey: phone.public, accountSignature }).finish();
  const hmac = hmacSign(signed, advSecret);
  return Buffer.from(proto.ADVSignedDeviceIdentityHMAC.encode({ details: signed, hmac }).finish());
}

/** Whether both the account and the device signed this identity.
 * @param {Buffer | undefined} signedIdentity
 * @param {{accountKey: Uint8Array, companionIdentity: Uint8Array}} who 32 bytes each
 */
export function identityIsGood(signedIdentity, { accountKey, companionIdentity }) {
  const identity = signedIdentity && decoded(signedIdentity);
  if (!identity) return false;
  const details = identity.details ?? Buffer.alloc(0);
  const byAccount = Buffer.concat([WA_ADV_ACCOUNT_SIG_PREFIX, details, companionIdentity]);
  const byDevice = Buffer.concat([WA_ADV_DEVICE_SIG_PREFIX, details, companionIdentity, accountKey]);
  return signatureIsGood(accountKey, byAccount, identity.accountSignature)
    && signatureIsGood(Buffer.from(companionIdentity), byDevice, identity.deviceSignature);
}


/** @param {Buffer} signedIdentity @returns {proto.ADVSignedDeviceIdentity | undefined} */
function decoded(signedIdentity) {
  try {
    return proto.ADVSignedDeviceIdentity.decode(signedIdentity);
  } catch {
    return undefined;
  }
}
