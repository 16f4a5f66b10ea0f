import { h } from './dom.js';
import { clock } from './format.js';

const KEPT = 300;
const list = h('ol', { class: 'log', 'aria-label': 'What happens in the network, newest first' });
let paused = false;

/** @param {any} event */
export function addToLog(event) {
  if (paused) return;
  const { at, type } = event;
  list.prepend(h('li', { class: kindOf(type), title: JSON.stringify(event) }, h('time', {}, clock(at)), h('b', {}, type), h('span', {}, words(event))));
  while (list.childElementCount > KEPT) list.lastElementChild?.remove();
}

export function logPanel() {
  const pause = h('button', {
    type: 'button',
    onclick: () => {
      paused = !paused;
      pause.textContent = paused ? 'Go on' : 'Pause';
    },
  }, 'Pause');
  const clear = h('button', { type: 'button', onclick: () => list.replaceChildren() }, 'Clear');
  return h('div', {}, h('div', { class: 'row' }, pause, clear), list);
}

function words({ n: _, at: __, type, message, account, id, ...rest }) {
  if (message) return `${account ?? ''} “${message.text}”`;
  if (type === 'message.status') return `${account}: ${rest.status} by ${rest.chat}`;
  return [account, ...Object.entries(rest).map(([key, value]) => `${key} ${plain(value)}`), id && `id …${String(id).slice(-6)}`].filter(Boolean).join(' · ');
}

const plain = (value) => (typeof value === 'object' ? JSON.stringify(value) : String(value));

function kindOf(type) {
  if (/failed|bad_|undecrypt|nacked|unlinked|closed/.test(type)) return 'bad';
  return /fault|copy|retry/.test(type) ? 'warn' : '';
}
