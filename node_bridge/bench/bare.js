import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { Account } from './account.js';

/**
 * Baileys and nothing else, sending on the simulated network: what `manage.py bench send` compares the whole system with. It links its numbers,
 * then says so, and sends whenever it is told to:
 *
 *     POST / {seconds, first, base, spread, most} → {sent, next}
 *
 * Each account sends one message after the other, each after the ack of the one before; its n-th, counted from `first`, goes to the number
 * `prefix` and five digits, `base + n % spread`. It ends after `seconds`, or `most` messages of each. `next` is the first n that no account has used.
 */
const { values: given } = parseArgs({
  options: {
    network: { type: 'string' }, socket: { type: 'string' }, accounts: { type: 'string' },
    own: { type: 'string' }, prefix: { type: 'string' }, port: { type: 'string' },
  },
});
const { network = '', socket = '', own = '', prefix = '' } = given;
const AT_ONCE = 8;

/** @type {Account[]} */
const accounts = [];

/** @param {number} n */
const digits = (n) => String(n).padStart(5, '0');

async function link() {
  const wanted = Array.from({ length: Number(given.accounts) }, (_, at) => `${own}${digits(at)}`);
  const linkSome = async () => {
    for (let number = wanted.pop(); number; number = wanted.pop()) accounts.push(await Account.link({ number, network, socket }));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, linkSome));
}

/** @param {{seconds: number, first: number, base: number, spread: number, most: number}} order */
async function send({ seconds, first, base, spread, most }) {
  const until = performance.now() + seconds * 1_000;
  let sent = 0;
  let next = first;
  const sendAll = async (/** @type {Account} */ account) => {
    for (let n = first; n < first + most && performance.now() < until; n += 1) {
      await account.send(`${prefix}${digits(base + (n % spread))}`, `order ${n} of session ${account.number.slice(-5)}`);
      sent += performance.now() < until ? 1 : 0;
      next = Math.max(next, n + 1);
    }
  };
  await Promise.all(accounts.map(sendAll));
  return { sent, next };
}

await link();
const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const answer = await send(JSON.parse(Buffer.concat(chunks).toString()));
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
});
server.listen(Number(given.port), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
