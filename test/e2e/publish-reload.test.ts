/** Who may publish, before and behind a reload. */
import { expect, it } from 'vitest';
import type { ConfigInput } from '../../src/config/schema.js';
import { createProxy, type Proxy } from '../../src/server/proxy.js';
import { running } from '../fixtures/running.js';

const OLD = 'the-token-of-yesterday';
const NEW = 'the-token-of-tomorrow';

const config = (publish: ConfigInput['publish']): ConfigInput => ({
  routes: [{ gateway: { to: 'http://127.0.0.1:9' } }],
  publish,
});

async function start(publish: ConfigInput['publish']): Promise<Proxy> {
  const proxy = createProxy(config(publish));
  await proxy.start();
  await running({ stop: () => proxy.stop({ timeoutMs: 0 }) });
  return proxy;
}

async function publishTo(proxy: Proxy, token: string, content = 'x'): Promise<number> {
  const { port } = proxy.publish as { port: number };
  const item = { channel: 'room', formats: { 'ws-message': { content } } };
  const answer = await fetch(`http://127.0.0.1:${port}/publish/`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}` },
    body: JSON.stringify({ items: [item] }),
  });
  await answer.text();
  return answer.status;
}

it('a token that is taken out of the configuration is refused from then on, a new one let in', async () => {
  const address = '127.0.0.1:0';
  const proxy = await start({ address, auth: { tokens: OLD } });
  expect([await publishTo(proxy, OLD), await publishTo(proxy, NEW)]).toEqual([200, 401]);
  const both = await proxy.reload(config({ address, auth: { tokens: [OLD, NEW] } }));
  expect(both).toEqual({ changes: ['publish changed'], warnings: [] });
  expect([await publishTo(proxy, OLD), await publishTo(proxy, NEW)]).toEqual([200, 200]);
  await proxy.reload(config({ address, auth: { tokens: NEW }, maxBodyBytes: '1KiB' }));
  expect([await publishTo(proxy, OLD), await publishTo(proxy, NEW)]).toEqual([401, 200]);
  expect(await publishTo(proxy, NEW, 'x'.repeat(2000))).toBe(413);
});

it('where it is done, and whether at all, takes a restart, which a reload says', async () => {
  const proxy = await start({ address: '127.0.0.1:0', auth: { tokens: OLD } });
  const restart = { changes: [], warnings: [expect.stringMatching(/^publish has changed, which takes/)] };
  const other = { address: '127.0.0.1:0', auth: { tokens: OLD }, idleTimeout: '1s' };
  expect(await proxy.reload(config(other))).toEqual(restart);
  expect(await proxy.reload(config(undefined))).toEqual(restart);
  expect(await publishTo(proxy, OLD)).toBe(200);
});
