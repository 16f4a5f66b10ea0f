import { api } from './api.js';
import { $, attempt, h } from './dom.js';
import { called, clock, pretty } from './format.js';
import { deviceSection } from './devices.js';
import { avatar } from './phones.js';
import { go } from './route.js';
import { current, on, refreshPhone, state } from './store.js';

const READS = [['manual', 'when a chat is opened'], ['auto', 'by itself, a moment after'], ['off', 'never tells']];

export function startChats() {
  on('chosen', draw);
  on('chats', draw);
  on('phones', draw);
}

function draw() {
  const phone = current();
  const pane = $('chats');
  if (pane.contains(document.activeElement) && document.activeElement?.matches('input')) return drawList(pane);
  if (!phone) return pane.replaceChildren(state.number ? unknown() : empty());
  const list = h('ul', { class: 'list', 'data-list': true });
  pane.replaceChildren(head(phone), settings(phone), deviceSection(phone), h('h3', {}, 'Chats'), newChat(phone), list);
  return drawList(pane);
}

function drawList(pane) {
  const rows = state.chats.map(row);
  pane.querySelector('[data-list]')?.replaceChildren(...(rows.length ? rows : [h('li', { class: 'hint' }, 'No message has come or gone yet.')]));
}

const empty = () => h('p', { class: 'blank' }, 'Choose a phone on the left.');
const unknown = () => h('p', { class: 'blank' }, 'There is no such phone.');

function head(phone) {
  return h('div', { class: 'pane-head' },
    h('button', { type: 'button', class: 'back', 'aria-label': 'Back to the phones', onclick: () => go(null) }, '‹'),
    avatar(called(phone), phone.online),
    h('span', { class: 'entry-text' }, h('b', {}, called(phone)), h('small', {}, pretty(phone.number))));
}

function settings(phone) {
  const change = (part) => attempt(async () => {
    await api.changePhone(phone.number, { settings: part });
    await refreshPhone(phone.number);
  });
  const toggle = (label, key) => h('label', { class: 'toggle' },
    h('input', { type: 'checkbox', role: 'switch', checked: phone.settings[key], onchange: (event) => change({ [key]: event.target.checked }) }), label);
  const reads = h('select', { onchange: (event) => change({ read_receipts: event.target.value }) },
    READS.map(([value, words]) => h('option', { value, selected: phone.settings.read_receipts === value }, words)));
  return h('div', { class: 'settings' }, toggle('Online', 'online'), toggle('Tells when a message has arrived', 'delivery_receipts'),
    h('label', {}, 'Tells when it is read: ', reads));
}

function newChat(phone) {
  const to = h('input', { type: 'tel', placeholder: 'Write to +49…', 'aria-label': 'Number to write to', required: true });
  const submit = (event) => {
    event.preventDefault();
    go(phone.number, `+${to.value.replace(/\D/g, '')}`);
    to.blur();
  };
  return h('form', { class: 'row', onsubmit: submit }, to, h('button', {}, 'Open'));
}

function row(chat) {
  const last = chat.last;
  return h('li', {},
    h('button', { type: 'button', class: 'entry', 'aria-current': chat.peer === state.peer && 'true', onclick: () => go(state.number, chat.peer) },
      avatar(called(chat)),
      h('span', { class: 'entry-text' }, h('b', {}, called(chat)), h('small', {}, last ? `${last.from_me ? 'You: ' : ''}${last.text || last.kind}` : '')),
      h('span', { class: 'entry-side' },
        last && h('time', {}, clock(last.at).slice(0, 5)),
        chat.unread > 0 && h('span', { class: 'count' }, String(chat.unread)))));
}
