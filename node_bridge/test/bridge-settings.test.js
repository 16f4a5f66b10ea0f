import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { leaveSettings } from '../src/engine/traps/settings-changes.js';
import { linked, soon, startSimulator } from './simulator-kit.js';

const NUMBER = '+4915100000001';

describe("the phone's settings", () => {
  it('are given up where WhatsApp does not tell what is newer than what is on record, and hold up nothing', async () => {
    const sim = await startSimulator();
    after(() => sim.stop());
    await sim.phone(NUMBER);
    const { client } = await linked(sim, NUMBER);
    after(() => client.end());
    await client.until('the first look at the settings', () => client.auth.creds.accountSyncCounter);
    leaveSettings(client.sock);
    const state = { version: 7, hash: Buffer.alloc(128), indexValueMap: {} };
    await client.auth.keys.set({ 'app-state-sync-version': { critical_block: state } });
    const order = { on: 'query', match: { xmlns: 'w:sync:app:state' }, times: 0, do: { action: 'leave_out', tags: ['sync'] } };
    await sim.api('POST', '/api/faults', order);
    const asked = async () => (await sim.api('GET', '/api/stats')).accounts[NUMBER].asked['w:sync:app:state'] ?? 0;
    const before = await asked();
    await assert.rejects(soon(client.sock.resyncAppState(['critical_block'], false), 'an end of it', 10_000), /does not answer/);
    assert.equal((await asked()) - before, 5);
    const { keys, creds } = client.sock.authState;
    assert.equal(await soon(keys.transaction(async () => 'free', String(creds.me?.id)), "the account's lock"), 'free');
  });
});
