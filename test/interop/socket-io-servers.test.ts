/** socket.io 4 on three servers: polling first, then the upgrade, which must meet the server that polling met. */
import { describe, expect, test } from 'vitest';
import { connectSocketIo, startSocketIo } from '../fixtures/peers/socket-io.js';
import { running } from '../fixtures/running.js';
import { countOf, startCluster, type Operations } from '../fixtures/upstreams.js';

const CLIENTS = 6;

describe.each(['stream', 'auto'])('relay: %s', (relay) => {
  test.each<[string, Partial<Operations>]>([
    ['a cookie', { sticky: { key: 'a secret of sixteen characters' } }],
    ['a cookie, on busy servers', { sticky: true, balance: 'least-connections' }],
    ['a key that the clients bring', { balance: 'hash', hash: { query: 'user' } }],
  ])('by %s, every client talks to one server', async (_, upstream) => {
    const { cluster, servers } = await start(upstream, relay);
    const clients = await Promise.all(
      Array.from({ length: CLIENTS }, async (__, user) => {
        const query = { user: `user ${user}` };
        return running(connectSocketIo(4, cluster.url, ['polling', 'websocket'], { query, ...browser }));
      }),
    );
    await Promise.all(clients.map(({ upgraded }) => upgraded));
    for (const client of clients) {
      expect(client.transport()).toBe('websocket');
      expect(await client.ask('echo', 'grüße ✓')).toBe('grüße ✓');
    }
    const sessions = cluster.proxy.sessions.map(({ server }) => server);
    expect(sessions).toHaveLength(CLIENTS);
    expect(servers.map(({ sockets }) => sockets.all.length)).toEqual(
      servers.map(({ url }) => countOf(sessions)[url] ?? 0),
    );
    // Each client’s requests, the upgrade among them, met one server alone: no answer of “Session ID unknown”.
    expect(cluster.records.filter(({ status }) => status >= 400)).toEqual([]);
    if (upstream.sticky !== undefined) expect(Object.keys(countOf(sessions))).toHaveLength(3);
  });

  test('without it they do not: the second request meets a server that does not know them', async () => {
    const { cluster } = await start({}, relay);
    await expect(connectSocketIo(4, cluster.url, ['polling', 'websocket'], browser)).rejects.toThrow(
      'xhr post error',
    );
    const record = await cluster.nextRecord(({ status }) => status === 400);
    expect(record).toMatchObject({ path: '/socket.io/', method: 'POST' });
  });
});

/** In Node socket.io keeps cookies only if told to; browsers do. */
const browser = { withCredentials: true };

async function start(upstream: Partial<Operations>, relay: string) {
  const servers = await Promise.all([4, 4, 4].map(async () => running(startSocketIo(4))));
  const cluster = await startCluster({ servers: servers.map(({ url }) => url), ...upstream }, { relay });
  return { cluster, servers };
}
