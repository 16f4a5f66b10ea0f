import { getBinaryNodeChild } from 'baileys';

const NEXT_MS = 100;
const QUIET_MS = 60_000;
const WINDOW = { tag: 'ib', attrs: {}, content: [{ tag: 'offline_batch', attrs: { count: '100' } }] };
const LIVE = new Set(['message', 'receipt']);

/**
 * What has waited for a number comes in windows that are asked for, and nothing new comes before the end of it. Baileys asks for one of 100: of more than that
 * the rest stays with the server, and the connection hears nothing for as long as it lives. Here whatever comes of one window asks for the next, ten times a
 * second at most, as WhatsApp Web does it. The number that is announced is an estimate, so only the server's word ends it.
 * @param {any} sock @param {() => void} onStalled - nothing comes, and the end was not told @param {number} [quietMs]
 */
export function drainBacklog(sock, onStalled, quietMs = QUIET_MS) {
  /** @type {NodeJS.Timeout | undefined} */ let next;
  /** @type {NodeJS.Timeout | undefined} */ let stalled;
  const { ws, ev } = sock;
  const ask = () => {
    next = undefined;
    sock.sendNode(WINDOW).catch(() => {}); // the socket has closed
  };
  const hear = (/** @type {any} */ { tag, attrs }) => {
    if (attrs.offline) next ??= setTimeout(ask, NEXT_MS);
    if (attrs.offline || LIVE.has(tag)) stalled?.refresh();
  };
  const end = () => {
    clearTimeout(next);
    clearTimeout(stalled);
    next = stalled = undefined;
    ws.off('frame', hear);
  };
  const giveUp = () => {
    end();
    onStalled();
  };
  const begin = (/** @type {any} */ node) => {
    const { count } = getBinaryNodeChild(node, 'offline_preview')?.attrs ?? {};
    if (count === '0') return;
    end();
    ws.on('frame', hear);
    if (Number(count) > 0) stalled = setTimeout(giveUp, quietMs); // where nothing is announced, nothing is missed
  };
  ws.on('CB:ib,,offline_preview', begin);
  ws.on('CB:ib,,offline', end);
  ev.on('connection.update', (/** @type {any} */ { connection }) => {
    if (connection !== 'close') return;
    ws.off('CB:ib,,offline_preview', begin); // what is still in the pipe begins nothing
    end();
  });
}
