import { api } from './api.js';
import { attempt, h, toast } from './dom.js';
import { go } from './route.js';
import { loadPhones, refreshPhone } from './store.js';
import { openScan } from './scan.js';

/** Linked devices of a phone: the restaurant's side of linking. */
export function deviceSection(phone) {
  const open = phone.devices.length > 0;
  return h('details', { class: 'devices', open }, h('summary', {}, `Linked devices (${phone.devices.length})`),
    h('ul', {}, phone.devices.map((device) => deviceRow(phone, device))),
    h('div', { class: 'row' }, h('button', { type: 'button', onclick: () => openScan('', phone.number) }, 'Scan a QR code'), removeButton(phone)),
    codeForm(phone));
}

function deviceRow(phone, { device, platform, connected, linked_at: since }) {
  const logOut = () => attempt(async () => {
    await api.unlink(phone.number, device);
    toast('The device is logged out.');
    await refreshPhone(phone.number);
  });
  return h('li', {}, h('i', { class: connected ? 'dot on' : 'dot' }),
    h('span', { class: 'entry-text' },
      h('b', {}, platform || `Device ${device}`),
      h('small', {}, `${connected ? 'connected' : 'not connected'} · since ${new Date(since).toLocaleDateString()}`)),
    h('button', { type: 'button', class: 'danger', onclick: logOut }, 'Log out'));
}

function codeForm(phone) {
  const code = h('input', {
    placeholder: 'XXXX-XXXX', 'aria-label': 'Pairing code', maxlength: 9, autocomplete: 'off', autocapitalize: 'characters', required: true, class: 'code',
  });
  const enter = (event) => {
    event.preventDefault();
    const typed = code.value.replace(/[^0-9a-z]/gi, '').toUpperCase();
    code.blur();
    attempt(async () => {
      await api.enterCode(phone.number, typed);
      toast('Linked with the pairing code.');
      await refreshPhone(phone.number);
    });
  };
  return h('form', { class: 'row', onsubmit: enter }, code, h('button', {}, 'Enter pairing code'));
}

function removeButton(phone) {
  const remove = () => {
    if (!confirm(`Remove ${phone.name || phone.number} with all its chats?`)) return;
    attempt(async () => {
      await api.deletePhone(phone.number);
      await loadPhones();
      go(null);
    });
  };
  return h('button', { type: 'button', class: 'danger', onclick: remove }, 'Remove phone');
}
