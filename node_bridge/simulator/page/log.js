import { h } from './dom.js';
import { clock } from './format.js';

const KEPT = 300;
const list = h('ol', { class: 'log', 'aria-label': 'What happens in the network, newest first' });
let paused = false;

/** @param {any} event */
export function addToLog(event) {
  if (paused) return;
  const { n, at, type, message, ...rest } = event;
  const words = message ? `${rest.account ?? ''} “${message.text}”` : Object.entries(rest).map(([key, value]) => `${key} ${plain(value)}`).join(' · ');
  list.prepend(h('li', { class: kindOf(type) }, h('time', {}, clock(at)), h('b', {}, type), h('span', {}, words)));
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

const plain = (value) => (typeof value === 'object' ? JSON.stringify(value) : String(value));

function kindOf(type) {
  if (/failed|bad_|undecrypt|nacked|unlinked|closed/.test(type)) return 'bad';
  return /fault|copy|retry/.test(type) ? 'warn' : '';
}
