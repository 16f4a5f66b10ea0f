import { proto } from 'baileys';
import { randomBytes } from 'node:crypto';
import { deflateSync } from 'node:zlib';
import { jidOf } from '../wire/jids.js';

const { Type } = proto.Message.ProtocolMessage;
const { HistorySyncType } = proto.HistorySync;

/** What a phone sends a device it has just linked: a key for the settings the devices share, and the chats there are,
 * with the hidden ids of their peers.
 * @param {import('../network.js').Network} net @param {import('./phone.js').Phone} phone
 * @returns {proto.IMessage[]}
 */
export function greetings(net, phone) {
  const peers = phone.chats.peers().flatMap((peer) => net.registry.account(peer) ?? []);
  const history = proto.HistorySync.encode({
    syncType: HistorySyncType.INITIAL_BOOTSTRAP,
    conversations: peers.map((peer) => ({ id: jidOf(peer, 'pn'), lidJid: jidOf(peer, 'lid'), name: peer.name })),
    phoneNumberToLidMappings: peers.map((peer) => ({ pnJid: jidOf(peer, 'pn'), lidJid: jidOf(peer, 'lid') })),
    progress: 100,
  }).finish();
  const payload = { syncType: HistorySyncType.INITIAL_BOOTSTRAP, progress: 100, initialHistBootstrapInlinePayload: deflateSync(history) };
  return [
    protocol({ type: Type.APP_STATE_SYNC_KEY_SHARE, appStateSyncKeyShare: { keys: [syncKey()] } }),
    protocol({ type: Type.HISTORY_SYNC_NOTIFICATION, historySyncNotification: /** @type {any} */ (payload) }),
  ];
}

/** @param {proto.Message.IProtocolMessage} protocolMessage */
const protocol = (protocolMessage) => ({ protocolMessage });

const syncKey = () => ({
  keyId: { keyId: randomBytes(6) },
  keyData: { keyData: randomBytes(32), fingerprint: { rawId: 1, currentIndex: 0, deviceIndexes: [0] }, timestamp: Date.now() },
});
