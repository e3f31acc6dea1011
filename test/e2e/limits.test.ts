/** Limits on connections, handshakes and messages, through real sockets on both engines. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../src/base/manual-clock.js';
import { systemDeps } from '../../src/base/system.js';
import type { ConfigInput } from '../../src/config/schema.js';
import type { AccessRecord } from '../../src/observe/record.js';
import { createProxy } from '../../src/server/proxy.js';
import { Inbox } from '../fixtures/inbox.js';
import { connectWs, startWsServer } from '../fixtures/peers/ws.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { headOf, upgradeHead } from '../fixtures/rfc6455.js';
import { RawServer } from '../fixtures/raw-server.js';
import { running } from '../fixtures/running.js';

async function start(config: Omit<ConfigInput, 'listeners'> & Partial<ConfigInput>, clock?: ManualClock) {
  const deps = clock === undefined ? systemDeps : { ...systemDeps, clock };
  const proxy = createProxy({ listeners: ['127.0.0.1:0'], ...config }, { deps });
  const records = new Inbox<AccessRecord>('the access records');
  proxy.on('session.closed', (record) => records.push(record));
  proxy.on('request.finished', (record) => records.push(record));
  await proxy.start();
  onTestFinished(() => proxy.stop({ timeoutMs: 0 }));
  const ports = proxy.listeners.map(({ port }) => port);
  return { proxy, records, ports, port: ports[0]!, url: `ws://127.0.0.1:${ports[0]}/chat` };
}

/** The answer to a handshake that is refused: its lines, the body among them. */
async function refusal(port: number, more: string[] = []): Promise<string[]> {
  const client = await RawPeer.connect(port);
  client.write(upgradeHead('x', more));
  const answer = (await client.rest()).toString('latin1');
  client.end();
  return answer.split(/\r?\n/);
}

describe.each(['stream', 'auto'] as const)('relay: %s', (relay) => {
  test('a message that is too large: 1009 to its sender, 1001 to the other side', async () => {
    const backend = await running(startWsServer());
    const routes = [{ to: backend.url, websocket: { maxMessageBytes: '1KiB' } }];
    const { records, url } = await start({ routes, relay });
    const client = await running(connectWs(url));
    client.socket.send('x'.repeat(1024));
    expect(await client.messages.next()).toHaveLength(1024);
    const server = await backend.ends.next();
    client.socket.send('x'.repeat(1025));
    expect(await client.closed).toEqual({ code: 1009, reason: 'message too big' });
    expect(await server.closed).toEqual({ code: 1001, reason: '' });
    expect(await records.next()).toMatchObject({
      outcome: 'limit',
      closedBy: 'proxy',
      detail: 'a message from the client is larger than maxMessageBytes',
    });
    expect(server.messages.all).toHaveLength(1);
  });

  test('what the server sends is only limited where it is said', async () => {
    const backend = await running(startWsServer());
    const maxMessageBytes = { client: '64KiB', upstream: '1KiB' };
    const { records, url } = await start({
      routes: [{ to: backend.url, websocket: { maxMessageBytes } }],
      relay,
    });
    const client = await running(connectWs(url));
    client.socket.send('x'.repeat(2000));
    const server = await backend.ends.next();
    expect(await client.closed).toEqual({ code: 1001, reason: '' });
    expect(await server.closed).toEqual({ code: 1009, reason: 'message too big' });
    expect(await records.next()).toMatchObject({ outcome: 'limit', messagesFromClient: 1 });
  });

  test('too many messages: 1008', async () => {
    const backend = await running(startWsServer());
    const routes = [{ to: backend.url, websocket: { maxMessagesPerSecond: 3 } }];
    const { records, url } = await start({ routes, relay });
    const client = await running(connectWs(url));
    for (let i = 0; i < 10; i++) client.socket.send(String(i));
    expect(await client.closed).toEqual({ code: 1008, reason: 'too many messages' });
    expect(await records.next()).toMatchObject({
      outcome: 'limit',
      detail: 'more messages from the client than maxMessagesPerSecond',
    });
  });

  test('too many bytes a second: read slower, nothing lost', async () => {
    const backend = await running(startWsServer());
    const routes = [{ to: backend.url, websocket: { maxBytesPerSecond: '100KiB' } }];
    const { url } = await start({ routes, relay });
    const client = await running(connectWs(url));
    const startedAt = performance.now();
    client.socket.send(Buffer.alloc(200 * 1024, 'a'));
    expect(await client.messages.next()).toHaveLength(200 * 1024);
    // One second’s worth at once, and as much again in a second.
    expect(performance.now() - startedAt).toBeGreaterThan(800);
  });

  test.each(['all', 'listener', 'route'] as const)(
    'connections, %s: 503 until one has gone',
    async (scope) => {
      const backend = await running(startWsServer());
      const limits = { connections: 2 };
      const { proxy, records, port, url } = await start({
        listeners: [{ address: '127.0.0.1:0', ...(scope === 'listener' && { limits }) }],
        routes: [{ to: backend.url, ...(scope === 'route' && { limits }) }],
        ...(scope === 'all' && { limits }),
        relay,
      });
      const one = await running(connectWs(url));
      await running(connectWs(url));
      for (let i = 0; i < 3; i++) {
        const lines = await refusal(port);
        expect(lines[0]).toBe('HTTP/1.1 503 Service Unavailable');
        expect(lines).toContain('Retry-After: 5');
        expect(lines).toContain('503 CONNECTIONS_EXCEEDED');
        expect(await records.next()).toMatchObject({
          status: 503,
          generation: 'rfc6455',
          outcome: 'failed(CONNECTIONS_EXCEEDED)',
          detail: expect.stringMatching(
            /^2 connections (in all|on listener \S+|on route \S+) are open already$/,
          ) as string,
        });
      }
      one.socket.close();
      await one.closed;
      await eventually(() => proxy.sessions.length === 1, 'one has gone');
      await running(connectWs(url));
      expect((await refusal(port))[0]).toBe('HTTP/1.1 503 Service Unavailable');
    },
  );

  test('connections for each address, as trusted proxies name them', async () => {
    const backend = await running(startWsServer());
    const { records, port, url } = await start({
      listeners: [{ address: '127.0.0.1:0', trustedProxies: '127.0.0.1' }],
      routes: [{ to: backend.url, limits: { connectionsPerAddress: 1 } }],
      relay,
    });
    const as = (address: string) => ({ headers: { 'X-Forwarded-For': address } });
    await running(connectWs(url, [], as('192.0.2.1')));
    await running(connectWs(url, [], as('192.0.2.2')));
    await running(connectWs(url, [], as('2001:db8::1')));
    const again = await refusal(port, ['X-Forwarded-For: 192.0.2.1']);
    expect(again[0]).toBe('HTTP/1.1 429 Too Many Requests');
    expect(again).toContain('429 CONNECTIONS_PER_ADDRESS_EXCEEDED');
    expect(await records.next()).toMatchObject({ client: '192.0.2.1', status: 429 });
    // A neighbour in the same network of 64 bits.
    expect((await refusal(port, ['X-Forwarded-For: 2001:db8::2']))[0]).toBe('HTTP/1.1 429 Too Many Requests');
    await running(connectWs(url, [], as('2001:db8:0:1::2')));
  });

  test('handshakes each second: 429 with the time to wait, each counted once', async () => {
    const backend = await running(startWsServer());
    const clock = new ManualClock();
    const limits = { handshakesPerSecondPerAddress: 2 };
    const { records, port, url } = await start({ routes: [{ to: backend.url }], limits, relay }, clock);
    await running(connectWs(url));
    await running(connectWs(url));
    const lines = await refusal(port);
    expect(lines[0]).toBe('HTTP/1.1 429 Too Many Requests');
    expect(lines).toContain('Retry-After: 1');
    expect(await records.next()).toMatchObject({ outcome: 'failed(HANDSHAKE_RATE_EXCEEDED)' });
    clock.advance(500);
    await running(connectWs(url));
    expect((await refusal(port))[0]).toBe('HTTP/1.1 429 Too Many Requests');
    clock.advance(1000);
    await running(connectWs(url));
    await running(connectWs(url));
    expect((await refusal(port))[0]).toBe('HTTP/1.1 429 Too Many Requests');
  });

  test('a handshake that fails, or is answered with plain HTTP, gives its place back', async () => {
    const backend = await RawServer.listen();
    const { records, port } = await start({
      routes: [{ to: backend.url, limits: { connections: 1 } }],
      relay,
    });
    for (const answer of [
      headOf('HTTP/1.1 403 Forbidden', 'Content-Length: 0'),
      headOf('HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade'),
      'nonsense\r\n\r\n',
    ]) {
      const answered = refusal(port);
      const server = await backend.accept();
      await server.head();
      server.write(answer);
      server.end();
      expect((await answered)[0]).toMatch(/^HTTP\/1\.1 (403|502) /);
      expect(await records.next()).toMatchObject({ status: expect.toSatisfy((s) => s !== 503) as number });
    }
    // And a client that goes away in the middle of it.
    const gone = await RawPeer.connect(port);
    gone.write(upgradeHead('x'));
    await (await backend.accept()).head();
    gone.reset();
    expect(await records.next()).toMatchObject({ outcome: 'failed(CLIENT_GONE)' });
    const last = await RawPeer.connect(port);
    last.write(upgradeHead('x'));
    await (await backend.accept()).head();
    expect((await refusal(port))[0]).toBe('HTTP/1.1 503 Service Unavailable');
  });
});
