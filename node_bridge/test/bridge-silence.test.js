import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Proxy } from './support/proxy.js';
import { Stage } from './support/stage.js';

const LONGER_THAN_THE_TEST_MS = 600_000;

describe('a connection that is dead without having ended', { timeout: 150_000 }, () => {
  const stage = new Stage();

  it('is found by its silence although its socket is open, and closes with its link kept', async () => {
    const { proxy, url } = await Proxy.before(stage.network.socketUrl);
    const bridge = await stage.another({ WA_SOCKET_URL: url });
    const { id } = await stage.linked({ bridge });
    proxy.delayMs = LONGER_THAN_THE_TEST_MS;
    const began = performance.now();
    const { close } = await bridge.status(id, (status) => status.state === 'closed', 90_000);
    assert.ok(['connection_lost', 'timed_out'].includes(close.reason), close.reason);
    assert.ok(performance.now() - began > 20_000, 'a short silence is no death');
    proxy.delayMs = 0;
    bridge.forget();
    await bridge.open(id, { term: 1 });
    await bridge.status(id, (status) => status.state === 'connected');
    proxy.close();
  });
});
