/** Whose turn it is, who waits, who is tried again: several servers behind a real proxy, on both engines. */
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { Inbox } from '../fixtures/inbox.js';
import { listening } from '../fixtures/listening.js';
import { startNamedServer } from '../fixtures/peers/named-server.js';
import { connectWs } from '../fixtures/peers/ws.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { switchHead, upgradeHead } from '../fixtures/rfc6455.js';
import { running } from '../fixtures/running.js';
import { countOf, named, startCluster } from '../fixtures/upstreams.js';
import { quietPort } from '../fixtures/ports.js';

const isSession = ({ status }: { status: number }): boolean => status === 101;

describe.each(['stream', 'auto'])('relay: %s', (relay) => {
  test('least-connections counts live tunnels, whatever was opened and closed before', async () => {
    const servers = await named('a', 'b', 'c');
    const cluster = await startCluster(
      { servers: servers.map(({ url }) => url), balance: 'least-connections' },
      { relay },
    );
    const open = [];
    for (let i = 0; i < 9; i++) open.push(await cluster.open());
    expect(countOf(open.map(({ server }) => server))).toEqual({ a: 3, b: 3, c: 3 });
    const ofB = open.filter(({ server }) => server === 'b');
    for (const { socket } of ofB) socket.close(1000);
    for (const _ of ofB) await cluster.nextRecord(isSession);
    expect((await cluster.status()).servers.map(({ active }) => active)).toEqual([3, 0, 3]);
    const next = [await cluster.open(), await cluster.open(), await cluster.open()];
    expect(next.map(({ server }) => server)).toEqual(['b', 'b', 'b']);
  });

  test('weights; a server of weight 0 gets nobody', async () => {
    const [a, b, c] = await named('a', 'b', 'c');
    const servers = [
      { url: a!.url, weight: 3 },
      { url: b!.url, weight: 1 },
      { url: c!.url, weight: 0 },
    ];
    const cluster = await startCluster({ servers }, { relay });
    const open = [];
    for (let i = 0; i < 8; i++) open.push(await cluster.open());
    expect(countOf(open.map(({ server }) => server))).toEqual({ a: 6, b: 2 });
  });

  test('a server by name takes its turns beside one by address', async () => {
    const [a, b] = await named('a', 'b');
    const servers = [a!.url, `http://localhost:${b!.port}`];
    const cluster = await startCluster({ servers }, { relay });
    const open = [];
    for (let i = 0; i < 6; i++) open.push(await cluster.open());
    expect(countOf(open.map(({ server }) => server))).toEqual({ a: 3, b: 3 });
  });

  test('hash: one key, one server, for WebSockets and plain requests alike', async () => {
    const servers = await named('a', 'b', 'c');
    const cluster = await startCluster(
      { servers: servers.map(({ url }) => url), balance: 'hash', hash: { header: 'X-Room' } },
      { relay },
    );
    const homes = new Set<string>();
    for (let room = 0; room < 100 && homes.size < 3; room++) {
      const headers = { 'X-Room': `room ${room}` };
      const { server } = await cluster.open(headers);
      expect((await cluster.open(headers)).server).toBe(server);
      expect(await (await fetch(cluster.url, { headers })).text()).toBe(server);
      homes.add(server);
    }
    expect(homes.size).toBe(3);
  });

  test('who comes to full servers waits for the next that goes; beyond the queue it is a 503', async () => {
    const [a] = await named('a');
    const cluster = await startCluster(
      { servers: [{ url: a!.url, maxConnections: 1 }], queue: { size: 1, timeout: '1m' } },
      { relay },
    );
    const first = await cluster.open();
    const waiting = cluster.open();
    await eventuallyWaiting(cluster, 1);
    await expect(connectWs(cluster.wsUrl)).rejects.toThrow('503');
    expect(await cluster.nextRecord()).toMatchObject({ outcome: 'failed(UPSTREAM_FULL)' });
    first.socket.close(1000);
    const second = await waiting;
    expect((await cluster.status()).servers[0]).toMatchObject({ active: 1, sessions: { open: 1 } });

    // A plain request waits in the same line, and so does the next WebSocket behind it.
    const request = fetch(cluster.url);
    await eventuallyWaiting(cluster, 1);
    second.socket.close(1000);
    expect(await (await request).text()).toBe('a');
    expect((await cluster.open()).server).toBe('a');
  });

  test('who goes while waiting leaves its place to others, and waiting ends', async () => {
    const [a] = await named('a');
    const cluster = await startCluster(
      { servers: [{ url: a!.url, maxConnections: 1 }], queue: { size: 1, timeout: '200ms' } },
      { relay },
    );
    const first = await cluster.open();
    const impatient = await RawPeer.connect(cluster.port);
    impatient.write(upgradeHead('chat.test'));
    await eventuallyWaiting(cluster, 1);
    impatient.destroy();
    await cluster.nextRecord(({ outcome }) => outcome === 'failed(CLIENT_GONE)');
    expect((await cluster.status()).waiting).toBe(0);
    await expect(connectWs(cluster.wsUrl)).rejects.toThrow('503');
    await cluster.nextRecord(({ outcome }) => outcome === 'failed(UPSTREAM_QUEUE_TIMEOUT)');
    expect((await fetch(cluster.url)).status).toBe(503);
    first.socket.close(1000);
    await cluster.nextRecord(isSession);
    expect((await cluster.open()).server).toBe('a');
  });

  test('the time of the handshake goes on while waiting', async () => {
    const [a] = await named('a');
    const cluster = await startCluster(
      { servers: [{ url: a!.url, maxConnections: 1 }], queue: { size: 1, timeout: '1m' } },
      { relay, route: { websocket: { handshakeTimeout: '200ms' } } },
    );
    await cluster.open();
    await expect(connectWs(cluster.wsUrl)).rejects.toThrow('503');
    const record = await cluster.nextRecord(({ outcome }) => outcome !== undefined);
    expect(record).toMatchObject({ outcome: 'failed(UPSTREAM_QUEUE_TIMEOUT)' });
    expect(record.detail).toContain('of the handshake');
    expect((await cluster.status()).waiting).toBe(0);
  });

  test('a stop ends the waiting, of WebSockets and of requests', async () => {
    const [a] = await named('a');
    const cluster = await startCluster(
      { servers: [{ url: a!.url, maxConnections: 1 }], queue: { size: 9, timeout: '1m' } },
      { relay },
    );
    await cluster.open();
    const webSocket = connectWs(cluster.wsUrl).catch((error: unknown) => (error as Error).message);
    const request = fetch(cluster.url);
    await eventuallyWaiting(cluster, 2);
    await cluster.proxy.stop({ timeoutMs: 0 });
    expect(await webSocket).toContain('503');
    expect((await request).status).toBe(503);
  });

  test('every place comes back, however a handshake or a request ends', async () => {
    const backend = await startUnreliable();
    const cluster = await startCluster(
      { servers: [backend.url, backend.url.replace('127.0.0.1', '127.1.1.1')], passiveHealth: false },
      { relay, route: { websocket: { handshakeTimeout: '100ms' } } },
    );
    const ways = ['/switch', '/refuse', '/reset', '/false-switch', '/silent', '/half', '/interim-and-reset'];
    for (const way of [...ways, ...ways]) {
      const client = await RawPeer.connect(cluster.port);
      client.write(upgradeHead('chat.test').replace('/chat', way));
      if (way === '/switch') {
        await client.head();
        client.reset();
      } else if (way !== '/half') await client.rest();
      else {
        await backend.met.next((path) => path.startsWith('/half'));
        client.reset();
      }
      await fetch(`${cluster.url}${way}`, { signal: AbortSignal.timeout(100) })
        .then((answer) => answer.arrayBuffer())
        .catch(() => {});
    }
    let active = 0;
    for (let i = 0; i < 200; i++) {
      active = (await cluster.status()).servers.reduce((sum, server) => sum + server.active, 0);
      if (active === 0) break;
    }
    expect(active).toBe(0);
    expect(cluster.proxy.sessions).toEqual([]);
  });

  test('a dead server costs its clients nothing, as long as the budget lasts', async () => {
    const [a] = await named('a');
    const dead = `http://127.0.0.1:${await quietPort()}`;
    const servers = [dead, a!.url];
    const paid = await startCluster({ servers, passiveHealth: false }, { relay });
    for (let i = 0; i < 6; i++) expect((await paid.open()).server).toBe('a');
    for (let i = 0; i < 6; i++) expect(await (await fetch(paid.url)).text()).toBe('a');
    const broke = await startCluster(
      { servers, passiveHealth: false, retryBudget: { share: '25%', minPerSecond: 0 } },
      { relay },
    );
    const got: string[] = [];
    for (let i = 0; i < 16; i++) {
      const opened = await broke.open().catch((error: unknown) => error as Error);
      got.push(opened instanceof Error ? opened.message.slice(-3) : opened.server);
    }
    // Every other one meets the dead server, and a quarter of those so far may be tried again: the 5th, 9th and 13th.
    expect(countOf(got)).toEqual({ a: 11, '502': 5 });
  });

  test('a server at which handshakes fail is ejected, which ends by itself', async () => {
    const port = await quietPort();
    const [a] = await named('a');
    const servers = [`http://127.0.0.1:${port}`, a!.url];
    const cluster = await startCluster(
      { servers, retries: 0, passiveHealth: { failures: 2, window: '1m', time: '300ms' } },
      { relay },
    );
    const failures = [];
    while (cluster.changes.all.length === 0) {
      const opened = await cluster.open().catch((error: unknown) => error as Error);
      if (opened instanceof Error) failures.push(opened.message);
    }
    expect(failures).toHaveLength(2);
    expect(await cluster.changes.next()).toMatchObject({
      upstream: 'chat',
      server: servers[0],
      state: 'ejected',
    });
    const { servers: told } = await cluster.status();
    expect(told[0]!.reason).toContain('ECONNREFUSED');
    await running(startNamedServer('b', { port }));
    expect(await cluster.changes.next()).toMatchObject({ state: 'up', reason: 'its ejection is over' });
    const got = [(await cluster.open()).server, (await cluster.open()).server];
    expect(got.sort()).toEqual(['a', 'b']);
  });
});

/** No event tells that somebody waits. */
async function eventuallyWaiting(
  cluster: { status(): Promise<{ waiting: number }> },
  count: number,
): Promise<void> {
  let waiting = 0;
  let asking = false;
  await eventually(
    () => {
      if (waiting === count) return true;
      if (!asking) {
        asking = true;
        void cluster.status().then((status) => {
          waiting = status.waiting;
          asking = false;
        });
      }
      return false;
    },
    () => `${count} waiting (there are ${waiting})`,
  );
}

/** Answers handshakes and requests in the way that their path says. */
async function startUnreliable() {
  const met = new Inbox<string>('paths');
  const http = createServer((req, res) => {
    if (req.url === '/refuse') res.writeHead(403).end('no');
    else if (req.url === '/half') res.writeHead(200, { 'Content-Length': 9 }).write('half');
    else if (req.url !== '/silent') res.destroy();
  });
  http.on('upgrade', (req, socket: Socket) => {
    const way = req.url!.split('?')[0]!;
    socket.on('error', () => {});
    if (way === '/switch') socket.write(switchHead());
    if (way === '/refuse') socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
    if (way === '/false-switch') socket.write(switchHead().replace(/Accept: .*/, 'Accept: x'));
    if (way === '/interim-and-reset') socket.write('HTTP/1.1 103 Early Hints\r\n\r\n');
    if (way.endsWith('reset')) setImmediate(() => socket.resetAndDestroy());
    met.push(way);
  });
  return { ...(await running(listening(http))), met };
}
