import { api } from './api.js';
import { $, attempt, h } from './dom.js';
import { called, clock, day, pretty } from './format.js';
import { avatar } from './phones.js';
import { go } from './route.js';
import { loadChats, loadMessages, on, state } from './store.js';

const SHOWN = 300;
const TICKS = { sent: ['✓', 'sent'], delivered: ['✓✓', 'delivered'], read: ['✓✓', 'read'] };
const bubbles = h('ol', { class: 'bubbles', 'aria-label': 'Messages', tabindex: '0' });

export function startChat() {
  on('chosen', draw);
  on('messages', drawMessages);
  on('chats', drawName);
}

function draw() {
  const pane = $('chat');
  if (!state.number || !state.peer) return pane.replaceChildren(h('p', { class: 'blank' }, state.number ? 'Choose a chat, or write to a number.' : ''));
  bubbles.replaceChildren();
  pane.replaceChildren(h('div', { class: 'pane-head', id: 'chat-head' }), bubbles, composer());
  drawName();
  return drawMessages();
}

function drawName() {
  const head = document.getElementById('chat-head');
  if (!head || !state.peer) return;
  const peer = state.chats.find((chat) => chat.peer === state.peer) ?? state.phones.get(state.peer) ?? { peer: state.peer };
  head.replaceChildren(
    h('button', { type: 'button', class: 'back', 'aria-label': 'Back to the chats', onclick: () => go(state.number) }, '‹'),
    avatar(called(peer)),
    h('span', { class: 'entry-text' }, h('b', {}, called(peer)), h('small', { id: 'typing' }, pretty(state.peer))));
}

function drawMessages() {
  const typing = document.getElementById('typing');
  if (typing) typing.textContent = state.typing ? 'typing…' : pretty(state.peer ?? '');
  const atEnd = bubbles.scrollHeight - bubbles.scrollTop - bubbles.clientHeight < 80;
  const fresh = bubbles.childElementCount === 0;
  bubbles.replaceChildren(...withDays(state.messages.slice(-SHOWN)));
  if (atEnd || fresh) bubbles.scrollTop = bubbles.scrollHeight;
}

function withDays(messages) {
  let before = '';
  return messages.flatMap((message) => {
    const today = day(message.at);
    const rule = today === before ? [] : [h('li', { class: 'day' }, today)];
    before = today;
    return [...rule, bubble(message)];
  });
}

function bubble(message) {
  const { from_me: mine, text, kind, at, copies, status } = message;
  const body = text || !message.media ? h('p', { class: 'body' }, text || `(${kind})`) : h('p', { class: 'body' }, `(${kind}: ${message.media.mimetype})`);
  return h('li', { class: mine ? 'bubble mine' : 'bubble', 'data-id': message.id },
    copies > 1 && h('span', { class: 'copies', title: 'The network brought this message more than once; the phone shows it once.' }, `${copies} copies`),
    body,
    h('span', { class: 'meta' },
      h('time', { datetime: at, title: at }, clock(at)),
      mine ? ticks(status) : h('span', { class: 'told' }, status === 'read' ? 'read' : 'unread')));
}

function ticks(status) {
  const [marks, words] = TICKS[status] ?? ['', status];
  return h('span', { class: `ticks ${status}`, 'aria-label': words, title: words }, marks);
}

function composer() {
  const box = h('textarea', { rows: 1, placeholder: 'Write as this phone’s owner', 'aria-label': 'Message', required: true, maxlength: 4096 });
  const send = (event) => {
    event.preventDefault();
    const text = box.value;
    if (!text.trim()) return;
    box.value = '';
    attempt(async () => {
      await api.type(state.number, state.peer, text).catch((error) => {
        box.value = text;
        throw error;
      });
      await Promise.all([loadMessages(), loadChats()]);
    });
  };
  box.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) send(event);
  });
  return h('form', { class: 'composer', onsubmit: send }, box, h('button', { class: 'primary' }, 'Send'));
}
