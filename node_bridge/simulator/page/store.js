// What the page knows, and who wants to hear when it changes. Filled by the control API, kept true by its events.
import { api } from './api.js';

/** @typedef {{number: string, name: string, online: boolean, settings: any, devices: any[], lid: string}} Phone */

export const state = {
  /** @type {Map<string, Phone>} */ phones: new Map(),
  /** @type {Map<string, number>} */ unread: new Map(),
  /** @type {string | null} */ number: null,
  /** @type {string | null} */ peer: null,
  /** @type {any[]} */ chats: [],
  /** @type {any[]} */ messages: [],
  typing: false,
};

const COUNT_UNREAD_OF = 100;
const bus = new EventTarget();

/** @param {'phones' | 'chats' | 'messages' | 'chosen'} what @param {() => void} listener */
export const on = (what, listener) => bus.addEventListener(what, listener);
/** @param {'phones' | 'chats' | 'messages' | 'chosen'} what */
export const changed = (what) => void bus.dispatchEvent(new Event(what));

export const current = () => (state.number ? state.phones.get(state.number) : undefined);

export async function loadPhones() {
  const phones = await api.phones();
  state.phones = new Map(phones.map((phone) => [phone.number, phone]));
  changed('phones');
  await Promise.all(phones.slice(0, COUNT_UNREAD_OF).map(countUnread));
  changed('phones');
}

async function countUnread({ number }) {
  const chats = await api.chats(number).catch(() => []);
  state.unread.set(number, chats.reduce((sum, chat) => sum + chat.unread, 0));
}

/** @param {string} number */
export async function refreshPhone(number) {
  const phone = await api.phone(number).catch(() => undefined);
  if (phone) state.phones.set(number, phone);
  else state.phones.delete(number);
  changed('phones');
}

export async function loadChats() {
  const number = state.number;
  const chats = number ? await api.chats(number) : [];
  if (number !== state.number) return;
  state.chats = chats.sort((one, other) => String(other.last?.at ?? '').localeCompare(String(one.last?.at ?? '')));
  if (number) state.unread.set(number, chats.reduce((sum, chat) => sum + chat.unread, 0));
  changed('chats');
  changed('phones');
}

export async function loadMessages() {
  const { number, peer } = state;
  const messages = number && peer ? await api.chat(number, peer).catch(ignoreMissing) : [];
  if (number !== state.number || peer !== state.peer) return;
  state.messages = messages;
  changed('messages');
}

/** A chat nobody has written in yet is no error. */
function ignoreMissing(error) {
  if (error.status === 404) return [];
  throw error;
}

/** The person looks at the open chat: the phone tells the sender, if it is set so. */
export async function lookAtChat() {
  const { number, peer } = state;
  const chat = state.chats.find((one) => one.peer === peer);
  if (!number || !peer || document.hidden || !chat?.unread) return;
  await api.read(number, peer);
  await loadChats();
}
