/**
 * Baileys holds `messages.upsert` back while it buffers: at login until the offline queue is done, after linking for up to 20 s; but the
 * receipt for the message has gone out already, and the server will not send it again. So messages are taken where they enter
 * the buffer.
 * @param {any} ev - the socket's event buffer @param {(upsert: {messages: any[], type: string}) => void} taken
 */
export function takeMessagesEarly(ev, taken) {
  const emit = ev.emit.bind(ev);
  ev.emit = (/** @type {string} */ event, /** @type {any} */ data) => {
    if (event === 'messages.upsert') taken(data);
    return emit(event, data);
  };
}
