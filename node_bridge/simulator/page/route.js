// The address says which phone and which chat are open, so that Back works and a link can be shared: #/+4915…/+4917…
import { changed, loadChats, loadMessages, lookAtChat, state } from './store.js';
import { attempt, $ } from './dom.js';

/** @param {string | null} number @param {string | null} [peer] */
export function go(number, peer = null) {
  const parts = [number, peer].filter(Boolean).map((part) => encodeURIComponent(String(part)));
  location.hash = parts.length ? `/${parts.join('/')}` : '';
}

async function follow() {
  const [number = null, peer = null] = location.hash.replace(/^#\/?/, '').split('/').filter(Boolean).map(decodeURIComponent);
  Object.assign(state, { number, peer, messages: [], typing: false }, number === state.number ? {} : { chats: [] });
  $('app').dataset.view = peer ? 'chat' : number ? 'chats' : 'phones';
  changed('chosen');
  await attempt(async () => {
    await Promise.all([loadChats(), loadMessages()]);
    await lookAtChat();
  });
}

export function startRouting() {
  addEventListener('hashchange', follow);
  return follow();
}
