import { api } from './api.js';
import { $, attempt, h, toast } from './dom.js';
import { called, face, pretty } from './format.js';
import { go } from './route.js';
import { loadPhones, on, state } from './store.js';

const SHOWN = 200;
let filter = '';
const list = h('ul', { class: 'list' });

export function startPhones() {
  const search = h('input', {
    type: 'search', placeholder: 'Find a phone', 'aria-label': 'Find a phone',
    oninput: (event) => {
      filter = event.target.value.trim().toLowerCase();
      draw();
    },
  });
  $('phones').append(h('div', { class: 'pane-head' }, h('h2', {}, 'Phones'), addButton()), search, list);
  on('phones', draw);
  on('chosen', draw);
}

function draw() {
  const found = [...state.phones.values()].filter((phone) => `${phone.name} ${phone.number}`.toLowerCase().includes(filter));
  const rows = found.slice(0, SHOWN).map(row);
  const more = found.length > SHOWN ? [h('li', { class: 'hint' }, `and ${found.length - SHOWN} more`)] : [];
  const none = state.phones.size === 0 ? [h('li', { class: 'hint' }, 'No phone yet. Add one, as the restaurant’s or as a customer’s.')] : [];
  list.replaceChildren(...rows, ...more, ...none);
}

/** @param {import('./store.js').Phone} phone */
function row(phone) {
  const unread = state.unread.get(phone.number) ?? 0;
  const linked = phone.devices.length > 0;
  return h('li', {}, h('button', { type: 'button', class: 'entry', 'aria-current': phone.number === state.number && 'true', onclick: () => go(phone.number) },
    avatar(called(phone), phone.online),
    h('span', { class: 'entry-text' }, h('b', {}, called(phone)), h('small', {}, linked ? `${pretty(phone.number)} · linked` : pretty(phone.number))),
    unread > 0 && h('span', { class: 'count', 'aria-label': `${unread} unread` }, String(unread))));
}

/** @param {string} name @param {boolean} [online] */
export function avatar(name, online) {
  const { letters, hue } = face(name);
  const element = h('span', { class: 'avatar', 'aria-hidden': 'true' }, letters);
  element.style.setProperty('--hue', String(hue));
  if (online !== undefined) element.append(h('i', { class: online ? 'dot on' : 'dot' }));
  return element;
}

function addButton() {
  return h('button', { type: 'button', onclick: openForm }, 'Add phone');
}

function openForm() {
  const number = h('input', { name: 'number', required: true, type: 'tel', placeholder: '+49 151 12345678', autocomplete: 'off' });
  const name = h('input', { name: 'name', placeholder: 'Ana', autocomplete: 'off', maxlength: 60 });
  const dialog = h('dialog', {}, h('form', { method: 'dialog' },
    h('h2', {}, 'Add a phone'),
    h('label', {}, 'Number, with country code', number),
    h('label', {}, 'Name of its owner', name),
    h('div', { class: 'row' }, h('button', { class: 'primary', value: 'add' }, 'Add'), h('button', { value: '', formnovalidate: true }, 'Cancel'))));
  dialog.addEventListener('close', () => {
    dialog.remove();
    if (dialog.returnValue === 'add') attempt(() => addPhone(number.value, name.value.trim()));
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** @param {string} written @param {string} name */
export async function addPhone(written, name) {
  const number = `+${written.replace(/\D/g, '')}`;
  const phone = await api.addPhone(name ? { number, name } : { number });
  await loadPhones();
  toast(`${called(phone)} is there.`);
  go(phone.number);
  return phone;
}
