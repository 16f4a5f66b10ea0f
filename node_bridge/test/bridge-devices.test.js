import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Stage, text } from './support/stage.js';

describe('the devices that a message goes to', { timeout: 180_000 }, () => {
  const stage = new Stage();
  const asked = async (/** @type {string} */ from, /** @type {string} */ what) => (await stage.network.call('GET', '/stats')).accounts[from].asked[what] ?? 0;

  it('are looked up anew once the hash that comes with acks changes, and not for its coming', async () => {
    const { id, number } = await stage.linked();
    const customer = await stage.phone();
    await stage.settled(id, stage.bridge);
    await stage.bridge.send(id, text(customer, 'who are they?'));
    const known = await asked(number, 'usync');
    for (const at of [1, 2, 3]) assert.equal((await stage.bridge.send(id, text(customer, `known ${at}`))).body.outcome, 'acked');
    assert.equal(await asked(number, 'usync'), known);

    await stage.network.fault({ account: number, on: 'notification', match: { to: customer }, times: 0, do: { action: 'drop' } });
    const { id: browser } = await stage.linked({ number: customer });
    await stage.bridge.send(id, text(customer, 'nobody told us of the browser'));
    await stage.bridge.send(id, text(customer, 'for the browser, too'));
    await stage.web.event((event) => event.session === browser && event.data.text === 'for the browser, too');
    const all = await asked(number, 'usync');
    await stage.bridge.send(id, text(customer, 'known again'));
    assert.equal(await asked(number, 'usync'), all);
    await stage.network.call('DELETE', '/faults');
  });

  it('are no reason to give a message up when WhatsApp does not answer for their keys', async () => {
    const { id, number } = await stage.linked();
    await stage.settled(id, stage.bridge);
    await stage.network.fault({ account: number, on: 'query', match: { xmlns: 'encrypt' }, do: { action: 'drop' } });
    const message = text(await stage.phone(), 'x');
    assert.deepEqual((await stage.bridge.send(id, message)).body, { outcome: 'not_sent', reason: 'lookup_failed' });
    assert.equal((await stage.bridge.send(id, { ...message, attempt: 2 })).body.outcome, 'acked');
  });
});
