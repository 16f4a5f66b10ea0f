/**
 * Loaded into a bridge by NODE_OPTIONS, it does damage inside it the moment a certain number has logged in. The name of a file is given in the
 * query of this module's address; it holds `{"<user of the LID>": "<what to do>"}` and is read anew at each login.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';

const orders = new URL(import.meta.url).searchParams.get('orders') ?? '';
const outside = AsyncLocalStorage.snapshot();
const emit = EventEmitter.prototype.emit;
/** @type {WeakSet<EventEmitter>} */
const poisoned = new WeakSet();

const fail = () => {
  throw new Error('the poison of +4915112345678\nand its second line');
};

/** @type {Record<string, (client: EventEmitter) => void>} */
const DAMAGE = {
  'throw in a timer': () => void setTimeout(fail, 1),
  'throw in a listener': (client) => void poisoned.add(client),
  'throw outside': () => void outside(() => setTimeout(fail, 1)),
  allocate: () => {
    const hoard = [];
    for (;;) hoard.push(Array.from({ length: 1_000 }, (_, at) => ({ at })));
  },
  block: () => {
    for (;;);
  },
  kill: () => void process.kill(process.pid, 'SIGKILL'),
};

/** @this {EventEmitter} @param {string | symbol} event @param {any[]} args */
EventEmitter.prototype.emit = function (event, ...args) {
  if (event === 'message' && poisoned.has(this)) fail();
  if (event === 'CB:success') DAMAGE[orderFor(args[0]?.attrs?.lid)]?.(this);
  return emit.call(this, event, ...args);
};

/** @param {string | undefined} lid @returns {string} */
function orderFor(lid) {
  try {
    return JSON.parse(readFileSync(orders, 'utf8'))[lid?.split(/[:@]/)[0] ?? ''] ?? '';
  } catch {
    return ''; // nobody is poisoned yet
  }
}
