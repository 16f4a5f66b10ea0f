const TIMEOUT_MS = 15_000;

const WORDS = {
  qr_unknown: 'This is no code of this network, or its linking was stopped. Go back to the link page and use the one shown now.',
  qr_expired: 'This code has run out. Go back to the link page: a new one is shown there.',
  code_unknown: 'This pairing code is not valid (any more). Look at the link page for the one shown now.',
};

/** @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<any>} @throws {Error} in plain words */
async function call(method, path, body) {
  const answer = await fetch(`/api${path}`, {
    method,
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch(() => {
    throw new Error('The simulated network does not answer. Is it running?');
  });
  const data = answer.status === 204 ? undefined : await answer.json().catch(() => undefined);
  if (!answer.ok) throw Object.assign(new Error(explain(data?.error, answer.status)), { code: data?.error?.code, status: answer.status });
  return data;
}

function explain(error, status) {
  return WORDS[error?.code] ?? error?.message ?? `The simulated network answered ${status}.`;
}

const phone = (/** @type {string} */ number) => `/phones/${encodeURIComponent(number)}`;

export const api = {
  phones: async () => (await call('GET', '/phones')).phones,
  phone: (number) => call('GET', phone(number)),
  addPhone: (body) => call('POST', '/phones', body),
  changePhone: (number, body) => call('PATCH', phone(number), body),
  deletePhone: (number) => call('DELETE', phone(number)),
  scan: (number, qr) => call('POST', `${phone(number)}/scan`, { qr }),
  enterCode: (number, code) => call('POST', `${phone(number)}/enter-code`, { code }),
  unlink: (number, device) => call('DELETE', `${phone(number)}/devices/${device}`),
  chats: async (number) => (await call('GET', `${phone(number)}/chats`)).chats,
  chat: async (number, peer) => (await call('GET', `${phone(number)}/chats/${encodeURIComponent(peer)}`)).messages,
  type: (number, to, text) => call('POST', `${phone(number)}/messages`, { to, text }),
  read: (number, peer) => call('POST', `${phone(number)}/read`, { peer }),
  faults: async () => (await call('GET', '/faults')).faults,
  addFault: (body) => call('POST', '/faults', body),
  deleteFault: (id) => call('DELETE', `/faults/${encodeURIComponent(id)}`),
  disconnect: (number, body) => call('POST', `/accounts/${encodeURIComponent(number)}/disconnect`, body),
};
