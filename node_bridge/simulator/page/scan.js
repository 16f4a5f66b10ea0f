// Scanning a QR code: arrived with the address (?scan=…) from a link page, or pasted as text. The person chooses who scans.
import { api } from './api.js';
import { $, attempt, h, toast } from './dom.js';
import { called, pretty } from './format.js';
import { addPhone, avatar } from './phones.js';
import { go } from './route.js';
import { refreshPhone, state } from './store.js';

export function startScan() {
  $('scan').addEventListener('click', () => openScan(''));
  const asked = new URLSearchParams(location.search).get('scan');
  if (!asked) return;
  // The code is good for a minute: a reload should not offer it again.
  history.replaceState(null, '', location.pathname + location.hash);
  openScan(asked);
}

/** @param {string} qr the text of the code, when it is known already @param {string} [number] the phone that scans */
export function openScan(qr, number) {
  const dialog = h('dialog', { class: 'scan', 'aria-label': 'Scan a QR code' });
  const text = h('textarea', {
    rows: 3, placeholder: 'https://wa.me/settings/linked_devices#…', 'aria-label': 'Text of the QR code', value: qr, spellcheck: 'false',
  });
  const trouble = h('p', { class: 'trouble', role: 'alert', hidden: true });
  const scan = (who, button) => scanWith(dialog, who, text.value.trim(), trouble, button);
  const known = number ? [state.phones.get(number)] : candidates();
  dialog.append(
    h('h2', {}, qr ? 'A QR code is in front of the camera' : 'Scan a QR code'),
    h('p', {}, qr ? 'Which phone scans it? That phone’s number is linked.' : 'Paste the text of the code, then choose the phone that scans it.'),
    h('details', { open: !qr }, h('summary', {}, 'Text of the code'), text),
    trouble,
    h('ul', { class: 'list choices' }, known.filter(Boolean).map((phone) => choice(phone, scan))),
    ...(number ? [] : [newPhone(scan)]),
    h('div', { class: 'row end' }, h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel')));
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  if (qr) dialog.querySelector('.choices button')?.focus();
}

/** Those without a linked device first: they are the likely ones. */
function candidates() {
  return [...state.phones.values()]
    .sort((one, other) => one.devices.length - other.devices.length || Number(!one.name) - Number(!other.name) || called(one).localeCompare(called(other)))
    .slice(0, 100);
}

function choice(phone, scan) {
  const linked = phone.devices.length;
  const button = h('button', { type: 'button', class: linked ? '' : 'primary', onclick: () => scan(phone.number, button) }, 'Scan');
  return h('li', { class: 'entry' }, avatar(called(phone), phone.online),
    h('span', { class: 'entry-text' },
      h('b', {}, called(phone)),
      h('small', {}, `${pretty(phone.number)}${linked ? ` · ${linked} device${linked > 1 ? 's' : ''} already` : ''}`)),
    button);
}

function newPhone(scan) {
  const number = h('input', { type: 'tel', placeholder: '+49 151 12345678', 'aria-label': 'Number of a new phone', required: true });
  const button = h('button', {}, 'Add and scan');
  const submit = (event) => {
    event.preventDefault();
    attempt(async () => scan((await addPhone(number.value, '')).number, button));
  };
  return h('form', { class: 'row', onsubmit: submit }, number, button);
}

async function scanWith(dialog, number, qr, trouble, button) {
  trouble.hidden = true;
  button.disabled = true;
  try {
    if (!qr) throw new Error('Paste the text of the QR code first.');
    await api.scan(number, qr);
    dialog.close();
    done(number);
  } catch (error) {
    trouble.textContent = error.message;
    trouble.hidden = false;
  } finally {
    button.disabled = false;
  }
}

function done(number) {
  const phone = state.phones.get(number) ?? { number };
  toast(`${called(phone)} has scanned the code. The number is linked; the link page says so in a moment.`);
  refreshPhone(number);
  go(number);
}
