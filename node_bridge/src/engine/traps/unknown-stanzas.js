import { NACK_REASONS } from 'baileys';

const STATUS = 'status';
// They are acked elsewhere, or need no ack.
const KNOWN = new Set(['message', 'receipt', 'notification', 'call', 'iq', 'ack', 'ib', 'presence', 'chatstate']);

/**
 * WhatsApp delivers what contacts post as a `<status>` of its own by now, and Baileys acks only the four kinds of stanzas that it knows. One that is not
 * acked comes again with each login, holds up what is behind it, and ends the stream after 50 minutes. Nothing here wants them: a status is acked, what
 * nobody knows is refused.
 * @param {any} sock
 */
export function ackUnknown(sock) {
  sock.ws.on('frame', (/** @type {any} */ node) => {
    const { tag, attrs } = node; // neither while hands are shaken: there a frame is bytes
    if (!attrs?.id || !attrs.from || KNOWN.has(tag)) return;
    sock.sendMessageAck(node, tag === STATUS ? undefined : NACK_REASONS.UnrecognizedStanza).catch(() => {}); // the socket has closed
  });
}
