/** What the documents promise of plain requests when servers fail, through the whole proxy. Each failure by itself is in http-failures. */
import { describe, expect, test } from 'vitest';
import { engines, type FaultHouse, startFaultHouse, startFaultyServer } from '../fixtures/faults.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';

describe.each(engines)('relay: %s', (relay) => {
  test('killed in the middle of its body: the client can tell, by its length and a cut', async () => {
    const server = await startFaultyServer();
    const house = await startFaultHouse({ servers: server.url }, { relay });
    const client = await get(house, '/part');
    await client.until('part');
    await server.kill();
    expect((await client.rest()).toString()).toBe('');
    expect(await house.records.next()).toMatchObject({
      status: 200,
      server: server.url,
      bytesFromUpstream: 4,
      outcome: 'failed(UPSTREAM_RESPONSE_ABORTED)',
    });
  });

  test('killed before its head: 502, and no other server is shown a request that it may have seen', async () => {
    const server = await startFaultyServer();
    const other = await RawServer.listen();
    const house = await startFaultHouse({ servers: [server.url, other.url] }, { relay });
    const client = await get(house, '/silent');
    await server.child.lines.next((line) => line === 'asked');
    await server.kill();
    expect((await client.head())[0]).toBe('HTTP/1.1 502 Bad Gateway');
    expect(other.accepted).toHaveLength(0);
    expect(await house.records.next()).toMatchObject({
      status: 502,
      server: server.url,
      outcome: 'failed(UPSTREAM_CLOSED_EARLY)',
    });
  });

  test('killed while its connection is kept, and back again: the next request is answered', async () => {
    const server = await startFaultyServer();
    const house = await startFaultHouse({ servers: server.url }, { relay });
    const client = await get(house, '/');
    await client.until('served');
    await server.kill();
    await startFaultyServer(server.port);
    for (const method of ['GET', 'POST']) {
      client.write(`${method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`);
      expect((await client.head())[0]).toBe('HTTP/1.1 200 OK');
      await client.until('served');
    }
    for (let i = 0; i < 3; i++) expect((await house.records.next()).outcome).toBeUndefined();
  });

  test('hung: 504 after responseTimeout; with a stop, 503 at its deadline', async () => {
    const server = await startFaultyServer();
    const house = await startFaultHouse(
      { servers: server.url, connectTimeout: '1h' },
      { relay, route: { responseTimeout: '5s', idleTimeout: 'never' } },
    );
    server.child.signal('SIGSTOP');
    const client = await get(house, '/');
    await eventually(() => {
      house.clock.advance(1000);
      return client.unread.length > 0;
    });
    expect((await client.head())[0]).toBe('HTTP/1.1 504 Gateway Timeout');
    expect(await house.records.next()).toMatchObject({ outcome: 'failed(UPSTREAM_ANSWER_TIMEOUT)' });

    const second = await get(house, '/');
    await eventually(() => house.proxy.activeRequests === 1, 'the second request');
    const stopped = house.proxy.stop({ timeoutMs: 4000 });
    house.clock.advance(4000);
    await stopped;
    expect((await second.head())[0]).toBe('HTTP/1.1 503 Service Unavailable');
    expect((await house.records.next()).outcome).toBe('failed(PROXY_STOPPING)');
  });
});

async function get(house: FaultHouse, path: string): Promise<RawPeer> {
  const client = await RawPeer.connect(house.port);
  client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  return client;
}
