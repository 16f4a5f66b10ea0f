import { api } from './api.js';
import { attempt, h, toast } from './dom.js';

// The usual mishaps, ready to order. Everything else: POST /api/faults.
const RECIPES = {
  'The server refuses the next message (463: no new chats)': { on: 'message', do: { action: 'ack_error', code: '463' } },
  'The next message is lost without an answer': { on: 'message', do: { action: 'drop' } },
  'The next message is taken, its answer is lost': { on: 'ack', do: { action: 'drop' } },
  'The connection breaks before the next answer': { on: 'ack', do: { action: 'terminate', moment: 'before' } },
  'The connection breaks after the next answer': { on: 'ack', do: { action: 'terminate', moment: 'after' } },
  'The next answer takes five seconds': { on: 'ack', do: { action: 'delay', ms: 5000 } },
  'The next question is refused: too many (429)': { on: 'query', do: { action: 'iq_error', code: '429', text: 'rate-overlimit' } },
  'The next log-in is refused: banned (403)': { on: 'login', do: { action: 'failure', code: '403' } },
  'The next log-in is refused: logged out (401)': { on: 'login', do: { action: 'failure', code: '401' } },
};

export function faultsPanel() {
  const list = h('ul', { class: 'faults' });
  const kind = h('select', { 'aria-label': 'Fault' }, Object.keys(RECIPES).map((words) => h('option', {}, words)));
  const account = h('input', { type: 'tel', placeholder: 'Every account', 'aria-label': 'Account (number of the restaurant)' });
  const times = h('input', { type: 'number', min: 0, value: '1', 'aria-label': 'How many times; 0 is for ever', title: '0: for ever' });
  const order = (event) => {
    event.preventDefault();
    attempt(async () => {
      const number = account.value.replace(/\D/g, '');
      await api.addFault({ ...RECIPES[kind.value], account: number ? `+${number}` : '*', times: Number(times.value) });
      toast('Ordered. It strikes at the next occasion.');
      await refresh(list);
    });
  };
  const cut = () => attempt(async () => {
    const { disconnected } = await api.disconnect(`+${account.value.replace(/\D/g, '')}`, {});
    toast(`${disconnected} connection(s) cut.`);
  });
  attempt(() => refresh(list));
  return h('div', {}, h('form', { class: 'stack', onsubmit: order }, kind,
    h('div', { class: 'row' }, account, h('label', { class: 'times' }, times, '×')),
    h('div', { class: 'row' }, h('button', { class: 'primary' }, 'Order'), h('button', { type: 'button', onclick: cut }, 'Cut this account’s connections'))),
  h('h3', {}, 'Ordered'), h('button', { type: 'button', onclick: () => attempt(() => refresh(list)) }, 'Look again'), list);
}

async function refresh(list) {
  const faults = await api.faults();
  const rows = faults.map((fault) => h('li', {},
    h('span', { class: 'entry-text' },
      h('b', {}, `${fault.do.action} ${fault.do.code ?? ''} on ${fault.on}`),
      h('small', {},
        `${fault.account === '*' ? 'every account' : fault.account} · `
        + `${fault.times === 0 ? 'for ever' : `${fault.times}×`} · struck ${fault.struck ?? 0}×`)),
    h('button', { type: 'button', onclick: () => attempt(async () => {
      await api.deleteFault(fault.id);
      await refresh(list);
    }) }, 'Remove')));
  list.replaceChildren(...(rows.length ? rows : [h('li', { class: 'hint' }, 'None: the network behaves.')]));
}
