import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { before, describe, it } from 'node:test';
import { SECRET } from './support/bridge.js';
import { messageId, Stage, text } from './support/stage.js';

describe('many sends in one request', () => {
  const stage = new Stage();
  /** @type {{id: string, number: string}[]} */ let sessions;
  before(async () => (sessions = await Promise.all([stage.linked(), stage.linked()])));

  /** @param {object[]} sends @param {AbortSignal} [signal] */
  const post = (sends, signal) =>
    fetch(`${stage.bridge.url}/messages`, {
      method: 'POST',
      headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
      body: JSON.stringify({ sends }),
      ...(signal ? { signal } : {}),
    });

  /** The answers as they came. @param {object[]} sends @returns {Promise<any[]>} */
  async function send(sends) {
    const { body } = await post(sends);
    const lines = [];
    for await (const line of createInterface({ input: Readable.fromWeb(/** @type {any} */ (body)) })) lines.push(JSON.parse(line));
    return lines;
  }

  /** @param {number} which @param {any} message */
  const of = (which, message) => ({ session: sessions[which]?.id, ...message });

  it('answers each when it is known, not when all are', async () => {
    const [slow, quick] = [await stage.phone(), await stage.phone()];
    const sends = [of(0, text(slow, 'slow', { typing_ms: 1_000 })), of(1, text(quick, 'quick'))];
    const answers = await send(sends);
    assert.deepEqual(answers.map(({ session, id, outcome }) => [session, id, outcome]), [sends[1], sends[0]].map(({ session, id }) => [session, id, 'acked']));
    assert.ok(answers.every(({ address, at }) => address.endsWith('@lid') && Date.parse(at)));
    const shown = await Promise.all([slow, quick].map((phone) => stage.network.shown(phone)));
    assert.deepEqual(shown.map(([one]) => [one.text, one.copies]), [['slow', 1], ['quick', 1]]);
  });

  it('keeps the order of what one session sends', async () => {
    const customer = await stage.phone();
    const texts = Array.from({ length: 30 }, (_, at) => `message ${at}`);
    const answers = await send(texts.map((one) => of(0, text(customer, one))));
    assert.ok(answers.every(({ outcome }) => outcome === 'acked'));
    assert.deepEqual((await stage.network.shown(customer)).map((one) => one.text), texts);
  });

  it('refuses one without the others', async () => {
    const customer = await stage.phone();
    const good = of(0, text(customer, 'good'));
    const unknown = { ...good, session: '00000000-0000-4000-8000-000000000000', id: messageId() };
    const answers = await send([
      of(0, { ...text(customer, ''), more: 1 }), unknown, of(0, text(customer, 'stale', { term: 0 })), /** @type {any} */ ('nonsense'), good,
    ]);
    const codes = new Map(answers.map(({ id, error, outcome }) => [id, error?.code ?? outcome]));
    assert.deepEqual([codes.get(unknown.id), codes.get(undefined), codes.get(good.id)], ['not_found', 'invalid_request', 'acked']);
    assert.deepEqual([...codes.values()].sort(), ['acked', 'invalid_request', 'invalid_request', 'not_found', 'stale_term']);
    const { error } = answers.find(({ error }) => error?.detail?.length > 1);
    assert.deepEqual(error.detail.map((/** @type {any} */ one) => one.field).sort(), ['send.content.text', 'send.more']);
    assert.deepEqual((await stage.network.shown(customer)).map((one) => one.text), ['good']);
  });

  it('goes on with what was asked for when nobody listens any more', async () => {
    const customer = await stage.phone();
    const gone = new AbortController();
    await post([of(0, text(customer, 'first')), of(0, text(customer, 'second', { typing_ms: 500 }))], gone.signal); // the first is answered
    gone.abort();
    await stage.network.until(async () => (await stage.network.shown(customer)).length === 2);
    assert.equal((await send([of(1, text(customer, 'third'))]))[0].outcome, 'acked');
  });

  it('takes a hundred of the longest texts, and no more', async () => {
    const most = Array.from({ length: 100 }, () => of(0, text('+4915112345678', '\u{1F354}'.repeat(2_000), { term: 7 })));
    assert.ok((await send(most)).every(({ error }) => error.code === 'not_found'));
    for (const sends of [[...most, most[0]], []]) {
      const answer = await post(/** @type {object[]} */ (sends));
      assert.deepEqual([answer.status, (/** @type {any} */ (await answer.json())).error.code], [400, 'invalid_request']);
    }
  });
});
