import { VERSION } from '../client-versions.js';

/** JSON schemas of the control API. What is not named is refused. */

/** @param {Record<string, object>} properties @param {string[]} [required] */
export const object = (properties, required = []) => ({ type: 'object', additionalProperties: false, required, properties });

export const text = { type: 'string', maxLength: 4096 };
export const number = { type: 'string', maxLength: 32 };

const milliseconds = { type: 'integer', minimum: 0, maximum: 3_600_000 };
const code = { anyOf: [{ type: 'string' }, { type: 'integer' }] };
export const boolean = { type: 'boolean' };
const tags = { type: 'array', minItems: 1, items: text };
const time = { anyOf: [{ type: 'string', format: 'date-time' }, { type: 'null' }] };

export const phoneSettings = object({
  online: boolean,
  delivery_receipts: boolean,
  read_receipts: { enum: ['manual', 'auto', 'off'] },
  read_delay_ms: milliseconds,
  addressing: { enum: ['pn', 'lid'] },
});

export const fault = object({
  account: text,
  on: { enum: ['connect', 'login', 'message', 'ack', 'query', 'bundle', 'receipt', 'notification', 'backlog'] },
  times: { type: 'integer', minimum: 0 },
  match: object({ to: text, device: { type: 'integer', minimum: 0 }, xmlns: text, asks: tags, id: text }),
  do: object({
    action: {
      enum: ['ack_error', 'drop', 'delay', 'terminate', 'stream_error', 'failure', 'iq_error', 'leave_out', 'bundle_error', 'downgrade', 'ask_passkey'],
    },
    code, ms: milliseconds, text, reason: text, tags,
    moment: { enum: ['before', 'after'] },
    attrs: { type: 'object', additionalProperties: { type: 'string' } },
  }, ['action']),
}, ['on', 'do']);

export const restrictions = object({
  timelock: object({ active: boolean, until: time, type: text, enforce: boolean }, ['active']),
  cap: object({
    status: { enum: ['none', 'first_warning', 'second_warning', 'capped'] },
    total: { type: 'integer', minimum: 0 },
    used: { type: 'integer', minimum: 0 },
    cycle_ends_at: time,
  }, ['status', 'total', 'used']),
  push: boolean,
});

const version = { type: 'string', pattern: VERSION.source };
export const clientVersions = object({ current: version, oldest: { anyOf: [version, { type: 'null' }] } });

export const status = object({ ack_within_ms: milliseconds });

export const disconnect = object({ code, reason: text });
