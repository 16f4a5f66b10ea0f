import { $, h } from './dom.js';
import { faultsPanel } from './faults.js';
import { logPanel } from './log.js';

const PANELS = { 'Live log': logPanel, Faults: faultsPanel };

export function startTools() {
  const body = h('div', { class: 'tool', role: 'tabpanel' });
  const tabs = Object.entries(PANELS).map(([name, panel]) => tab(name, () => {
    for (const one of tabs) one.setAttribute('aria-selected', String(one.textContent === name));
    body.replaceChildren(panel());
  }));
  $('tools').append(h('div', { class: 'tabs', role: 'tablist' }, tabs), body);
  tabs[0]?.click();
  const toggle = $('tools-toggle');
  toggle.addEventListener('click', () => show(toggle, document.body.classList.contains('no-tools')));
  show(toggle, matchMedia('(min-width: 75rem)').matches);
}

function tab(name, choose) {
  return h('button', { type: 'button', role: 'tab', onclick: choose }, name);
}

function show(toggle, visible) {
  document.body.classList.toggle('no-tools', !visible);
  toggle.setAttribute('aria-expanded', String(visible));
}
