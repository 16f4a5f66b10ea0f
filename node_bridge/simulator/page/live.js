// What happens in the network, as it happens. After a break everything is asked for again, so nothing is missed.
import { changed, loadChats, loadMessages, loadPhones, lookAtChat, refreshPhone, state } from './store.js';
import { addToLog } from './log.js';
import { attempt, $ } from './dom.js';

const QUIET_MS = 120; // several events of one moment cause one reload
const TYPING_MS = 4_000;
const pending = new Set();
let timer = 0;
let typingTimer = 0;
let broken = false;

export function startLive() {
  const source = new EventSource('/api/events');
  source.onopen = () => {
    say('live', 'good');
    if (broken) attempt(async () => Promise.all([loadPhones(), loadChats(), loadMessages()]));
    broken = false;
  };
  source.onerror = () => {
    broken = true;
    say('connection lost, trying again…', 'bad');
  };
  source.onmessage = ({ data }) => take(JSON.parse(data));
}

function say(text, tone) {
  $('live').textContent = text;
  $('live').className = `live ${tone}`;
}

/** @param {any} event */
function take(event) {
  addToLog(event);
  const { type, account } = event;
  if (type === 'typing') return typing(event);
  if (type === 'message.shown') return shown(event);
  if (['message.status', 'message.copy', 'message.edited'].includes(type)) return soon(account === state.number && 'messages');
  if (type.startsWith('phone.') || type.startsWith('device.') || type === 'login' || type === 'socket.closed') soon(account && `phone ${account}`);
}

function shown({ account, message }) {
  if (!message.from_me) state.unread.set(account, (state.unread.get(account) ?? 0) + 1);
  changed('phones');
  if (account !== state.number) return;
  state.typing = false;
  soon('chats');
  if (message.chat === state.peer) soon('messages');
}

function typing({ account, to, state: doing }) {
  if (to !== state.number || account !== state.peer) return;
  clearTimeout(typingTimer);
  state.typing = doing !== 'paused';
  typingTimer = setTimeout(() => {
    state.typing = false;
    changed('messages');
  }, TYPING_MS);
  changed('messages');
}

/** @param {string | false | undefined} what */
function soon(what) {
  if (!what) return;
  pending.add(what);
  timer ||= setTimeout(flush, QUIET_MS);
}

async function flush() {
  timer = 0;
  const wanted = [...pending];
  pending.clear();
  await attempt(async () => {
    await Promise.all(wanted.map((what) => (what === 'chats' ? loadChats() : what === 'messages' ? loadMessages() : refreshPhone(what.slice(6)))));
    await lookAtChat();
  });
}
