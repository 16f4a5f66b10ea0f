import { QueryError } from '../../errors.js';
import { signatureIsGood, typedKey } from '../../wire/crypto.js';
import { bigEndian, bytes, child, children, childrenOf, el, uint } from '../../wire/nodes.js';

/** @typedef {import('baileys').BinaryNode} Node */

const KEY_TYPE = Buffer.from([5]);

/** Key bundles: counted, uploaded, rotated, checked, handed out. @type {import('./index.js').Handler} */
export function encrypt(query) {
  const { net, conn, iq, what } = query;
  if (iq.attrs.type === 'set') return what.tag === 'rotate' ? rotate(query) : upload(query);
  switch (what.tag) {
    case 'count':
      return [el('count', { value: String(net.bundles.left(conn.device)) })];
    case 'digest':
      return [digest(conn.device)];
    case 'key':
      return [el('list', {}, childrenOf(what, 'user').map((user) => bundleOf(query, user)))];
    default:
      throw new QueryError(400, 'bad-request');
  }
}

/** @param {import('./index.js').Query} query */
function rotate({ net, conn, what }) {
  conn.device.signedPreKey = signedPreKey(net, conn.device, child(what, 'skey'));
  net.registry.saveDevice(conn.device);
  return [];
}

/** @param {import('./index.js').Query} query */
function upload({ net, conn, iq }) {
  const { device } = conn;
  const identity = bytes(child(iq, 'identity'));
  if (!identity?.equals(device.identity)) throw new QueryError(406, 'not-acceptable');
  const signed = signedPreKey(net, device, child(iq, 'skey'));
  const keys = children(child(iq, 'list')).map((key) => ({ id: uint(child(key, 'id')) ?? 0, value: bytes(child(key, 'value')) ?? Buffer.alloc(0) }));
  if (keys.some(({ value }) => value.length !== 32)) throw new QueryError(406, 'not-acceptable');
  device.signedPreKey = signed;
  net.registry.setPreKeys(device, [...device.preKeys.slice(device.taken), ...keys]);
  return [];
}

/** @param {import('../../network.js').Network} net @param {import('../../registry.js').Device} device @param {Node | undefined} skey */
function signedPreKey(net, device, skey) {
  const [id, value, signature] = [uint(child(skey, 'id')), bytes(child(skey, 'value')), bytes(child(skey, 'signature'))];
  const known = device.signedPreKey;
  if (value && signature && known.value.equals(value) && known.signature.equals(signature)) return known;
  if (id === undefined || !value || !signature || !signatureIsGood(device.identity, typedKey(value), signature)) {
    net.badSignature('signed-pre-key', device.number);
    throw new QueryError(406, 'not-acceptable');
  }
  return { id, value: Buffer.from(value), signature: Buffer.from(signature) };
}

/** @param {import('../../registry.js').Device} device */
function digest({ registrationId, identity, signedPreKey: signed }) {
  return el('digest', {}, [
    el('registration', {}, bigEndian(registrationId, 4)),
    el('type', {}, KEY_TYPE),
    el('identity', {}, identity),
    el('skey', {}, [el('id', {}, bigEndian(signed.id, 3)), el('value', {}, signed.value), el('signature', {}, signed.signature)]),
  ]);
}

/** @param {import('./index.js').Query} query @param {Node} user */
function bundleOf({ net, conn }, user) {
  const { jid } = user.attrs;
  const owner = net.registry.resolve(jid);
  const deed = owner && net.faults.strike({ on: 'bundle', account: conn.device.number, to: owner.account.number, device: owner.device });
  const bundle = owner && !deed && net.bundles.take(owner.account.number, owner.device);
  if (!bundle) return el('user', { jid }, [el('error', { code: String(deed?.code ?? 404), text: deed?.text ?? 'item-not-found' })]);
  const { registrationId, identity, signedPreKey: signed, preKey, signedIdentity } = bundle;
  return el('user', { jid }, [
    el('registration', {}, bigEndian(registrationId, 4)),
    el('type', {}, KEY_TYPE),
    el('identity', {}, identity),
    el('skey', {}, [el('id', {}, bigEndian(signed.id, 3)), el('value', {}, signed.value), el('signature', {}, signed.signature)]),
    ...(preKey ? [el('key', {}, [el('id', {}, bigEndian(preKey.id, 3)), el('value', {}, preKey.value)])] : []),
    ...(signedIdentity ? [el('device-identity', {}, signedIdentity)] : []),
  ]);
}
