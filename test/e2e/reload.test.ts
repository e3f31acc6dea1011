/** Reloads under live traffic, through real sockets, on both engines. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/config/issues.js';
import type { ConfigInput } from '../../src/config/schema.js';
import { connectWs, startWsServer, type WsServer } from '../fixtures/peers/ws.js';
import { startProxy } from '../fixtures/proxy.js';
import { eventually } from '../fixtures/raw-peer.js';
import { running } from '../fixtures/running.js';
import { openTalker, startCounter, type Talker } from '../fixtures/counting.js';
import { quietPort } from '../fixtures/ports.js';

let backends: readonly [WsServer, WsServer];
beforeAll(async () => {
  backends = [await startWsServer(), await startWsServer()];
});
afterAll(async () => {
  await Promise.all(backends.map((backend) => backend.stop()));
});

describe.each(['stream', 'auto'] as const)('relay: %s', (relay) => {
  test('1,000 tunnels talk through 100 reloads: not one byte lost, none closed', async () => {
    const servers = await Promise.all([1, 2, 3].map(() => running(startCounter())));
    const urls = servers.map(({ url }) => url);
    const config = (turn: number): ConfigInput => {
      const routes = [
        { name: 'chat', match: { path: '/chat/*' }, to: 'chat' },
        { match: { path: '/live/*' }, to: 'live' },
        { name: `extra-${turn}`, match: { path: `/extra-${turn}` }, to: 'chat' },
      ];
      const left = urls.filter((_, i) => i !== turn % urls.length);
      return {
        relay,
        listeners: ['127.0.0.1:0'],
        upstreams: { chat: left, live: [...left].reverse(), [`other-${turn}`]: urls },
        routes: [...routes.slice(turn % 3), ...routes.slice(0, turn % 3)],
        reload: { changedRoutes: 'close' },
      };
    };
    const { port, proxy, records } = await running(startProxy(config(0)));
    const tunnels: Talker[] = [];
    for (let i = 0; i < 1000; i += 100) {
      const some = Array.from({ length: 100 }, (_, k) =>
        openTalker(port, k % 2 === 0 ? '/chat/x' : '/live/x'),
      );
      tunnels.push(...(await Promise.all(some)));
    }
    // A tenth of them always has something on the way; each answer gives the word to the next.
    let said = 0;
    let isOver = false;
    let speaker = 0;
    const speak = () => tunnels[speaker++ % tunnels.length]!.speak();
    for (const tunnel of tunnels) {
      tunnel.onAnswer = () => {
        said++;
        if (!isOver) speak();
      };
    }
    for (let i = 0; i < 100; i++) speak();
    for (let turn = 1; turn <= 100; turn++) {
      const { changes } = await proxy.reload(config(turn));
      expect(changes).toContain('upstream chat changed');
      const enough = said + 100;
      await eventually(() => said >= enough, 'talk between two reloads');
    }
    isOver = true;
    await eventually(() => tunnels.every(({ isIdle }) => isIdle), 'the last answers');

    expect(proxy.sessions).toHaveLength(1000);
    expect(records).toEqual([]);
    expect(tunnels.flatMap(({ problem }) => problem ?? [])).toEqual([]);
    expect(servers.flatMap(({ problems }) => problems)).toEqual([]);
    expect(tunnels.every(({ sent, received }) => received > 0 && received === sent)).toBe(true);
    const counted = servers.reduce((sum, { received }) => sum + received, 0);
    expect(counted).toBe(said);
    for (const { socket } of tunnels) socket.destroy();
  }, 60_000);

  test('listeners come, change and go, and nobody is refused', async () => {
    const port = await quietPort();
    const config = (turn: number): ConfigInput => ({
      relay,
      listeners: [
        { address: `127.0.0.1:${port}`, maxHeaderBytes: turn % 2 === 0 ? '16KiB' : '2KiB' },
        ...(turn % 3 === 0 ? [] : ['127.0.0.1:0']),
      ],
      routes: [{ to: backends[0].url }],
    });
    const { proxy, url } = await running(startProxy(config(0)));
    const over = new AbortController();
    let connected = 0;
    const come = async () => {
      while (!over.signal.aborted) {
        const peer = await connectWs(`${url}/x`);
        peer.socket.send('hello');
        expect(await peer.messages.next()).toBe('hello');
        peer.socket.close();
        await peer.closed;
        connected++;
      }
    };
    const coming = Promise.all(Array.from({ length: 8 }, come));
    const kept: (() => Promise<void>)[] = [];
    for (let turn = 1; turn <= 60; turn++) {
      await proxy.reload(config(turn));
      expect(proxy.listeners).toHaveLength(turn % 3 === 0 ? 1 : 2);
      const enough = connected + 2;
      const added = turn % 3 === 1 ? proxy.listeners[1] : undefined;
      if (added !== undefined && turn % 2 === 1) {
        const peer = await connectWs(`http://127.0.0.1:${added.port}/x`);
        kept.push(async () => {
          peer.socket.send('still here');
          expect(await peer.messages.next()).toBe('still here');
        });
      }
      await eventually(() => connected >= enough, 'clients between two reloads');
    }
    over.abort();
    await coming;
    expect(connected).toBeGreaterThan(100);
    // Those that came in by listeners that have gone.
    expect(kept.length).toBeGreaterThan(5);
    for (const speak of kept) await speak();
  });

  test('a changed listener keeps its socket; new options hold for who comes then', async () => {
    const port = await quietPort();
    const config = (trustedProxies: string[], maxHeaderBytes: string): ConfigInput => ({
      relay,
      listeners: [{ address: `127.0.0.1:${port}`, trustedProxies, maxHeaderBytes }],
      routes: [{ to: backends[0].url }],
    });
    const { proxy, url, nextRecord } = await running(startProxy(config([], '16KiB')));
    const visit = async (options: { headers: Record<string, string> }) => {
      const peer = await connectWs(`${url}/x`, [], options);
      peer.socket.close();
      return (await nextRecord()).client;
    };
    const headers = { 'X-Forwarded-For': '192.0.2.7' };
    expect(await visit({ headers })).toBe('127.0.0.1');
    expect(await proxy.reload(config(['127.0.0.1'], '2KiB'))).toEqual({
      changes: [`listener 127.0.0.1:${port} changed`],
      warnings: [],
    });
    expect(await visit({ headers })).toBe('192.0.2.7');
    const long = await fetch(`${url}/x`, { headers: { 'X-Long': 'x'.repeat(3000) } });
    expect(long.status).toBe(431);
  });

  test('what cannot be used changes nothing', async () => {
    const good: ConfigInput = { relay, listeners: ['127.0.0.1:0'], routes: [{ to: backends[0].url }] };
    const { proxy, url } = await running(startProxy(good));
    const peer = await connectWs(`${url}/x`);
    const taken = new URL(backends[1].url).port;
    const bad = proxy.reload({
      ...good,
      listeners: ['127.0.0.1:0', `127.0.0.1:${taken}`],
      routes: [{ to: backends[1].url }],
    });
    await expect(bad).rejects.toThrow(ConfigError);
    await expect(bad).rejects.toThrow(/^listeners\[1\]: cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE/);
    await expect(proxy.reload({ ...good, routes: [{ to: 'nobody' }] })).rejects.toThrow(
      'routes[0].to: no upstream named "nobody"',
    );
    expect(proxy.listeners).toHaveLength(1);
    expect(proxy.plan.routes[0]!.upstream).toBe(backends[0].url);
    peer.socket.send('still here');
    expect(await peer.messages.next()).toBe('still here');
    await connectWs(`${url}/x`);
    expect(backends[1].ends.all).toHaveLength(0);
  });

  test('limits are taken over, and go on counting; what takes a restart is said', async () => {
    const config = (connections: number, more: ConfigInput | object = {}): ConfigInput => ({
      relay,
      listeners: ['127.0.0.1:0'],
      routes: [{ to: backends[0].url }],
      limits: { connections },
      ...more,
    });
    const { proxy, url } = await running(startProxy(config(2)));
    await connectWs(`${url}/x`);
    await connectWs(`${url}/x`);
    await expect(connectWs(`${url}/x`)).rejects.toThrow('503');
    expect((await proxy.reload(config(3))).changes).toEqual(['limits changed']);
    const third = await connectWs(`${url}/x`);
    await expect(connectWs(`${url}/x`)).rejects.toThrow('503');
    third.socket.close();
    await third.closed;
    await eventually(() => proxy.sessions.length === 2, 'the place is free');
    await connectWs(`${url}/x`);
    const other = { relay: relay === 'auto' ? 'stream' : 'native', relayThreads: 7 } as const;
    const { engine } = proxy;
    const { warnings } = await proxy.reload(config(3, other));
    expect(warnings).toEqual([
      'relay has changed, which takes a restart; it is left as it was',
      'relayThreads has changed, which takes a restart; it is left as it was',
    ]);
    expect(proxy.engine).toBe(engine);
  });

  test.each(['keep', 'drain', 'close'] as const)('tunnels of changed routes: %s', async (changedRoutes) => {
    const config = (idleTimeout: string, extra: readonly object[]): ConfigInput => ({
      relay,
      listeners: ['127.0.0.1:0'],
      routes: [
        ...(extra as ConfigInput['routes']),
        { name: 'changed', match: { path: '/changed' }, to: backends[0].url, websocket: { idleTimeout } },
        { match: { path: '/same' }, to: backends[0].url },
      ],
      drain: { timeout: '10s', spread: '50ms', closeCode: 4001, reason: 'moved' },
      reload: { changedRoutes },
    });
    const gone = { match: { path: '/gone' }, to: backends[0].url };
    const { proxy, url, nextRecord } = await running(startProxy(config('1h', [gone])));
    const [changed, removed, same] = await Promise.all(
      ['changed', 'gone', 'same'].map((path) => connectWs(`${url}/${path}`)),
    );
    const { changes } = await proxy.reload(config('2h', []));
    expect(changes).toEqual(['route changed changed', 'route routes[0] removed']);
    const left = changedRoutes === 'keep' ? [changed!, removed!, same!] : [same!];
    if (changedRoutes !== 'keep') {
      const told =
        changedRoutes === 'drain' ? { code: 4001, reason: 'moved' } : { code: 1012, reason: 'route changed' };
      expect(await Promise.all([changed!.closed, removed!.closed])).toEqual([told, told]);
      for (let i = 0; i < 2; i++)
        expect(await nextRecord()).toMatchObject({ outcome: 'drained', closedBy: 'proxy' });
    }
    for (const peer of left) {
      peer.socket.send('still here');
      expect(await peer.messages.next()).toBe('still here');
    }
    expect(proxy.sessions).toHaveLength(left.length);
    await expect(connectWs(`${url}/gone`)).rejects.toThrow('404');
    await connectWs(`${url}/changed`);
  });

  test.each(['keep', 'drain', 'close'] as const)('tunnels of removed servers: %s', async (removedServers) => {
    const config = (...servers: string[]): ConfigInput => ({
      relay,
      listeners: ['127.0.0.1:0'],
      upstreams: { chat: servers },
      routes: [{ to: 'chat' }],
      drain: { timeout: '10s', spread: '50ms', closeCode: 4001, reason: 'moved' },
      reload: { removedServers },
    });
    const [stays, goes] = [await running(startWsServer()), await running(startWsServer())];
    const { proxy, url, nextRecord } = await running(startProxy(config(stays.url, goes.url)));
    const clients = [await connectWs(`${url}/`), await connectWs(`${url}/`)];
    const servers = proxy.sessions.map(({ server }) => server);
    expect([...servers].sort()).toEqual([stays.url, goes.url].sort());
    const removed = clients[servers.indexOf(goes.url)]!;
    const { changes } = await proxy.reload(config(stays.url));
    expect(changes).toEqual(['upstream chat changed']);
    if (removedServers !== 'keep') {
      const told =
        removedServers === 'drain'
          ? { code: 4001, reason: 'moved' }
          : { code: 1012, reason: 'server removed' };
      expect(await removed.closed).toEqual(told);
      expect(await nextRecord()).toMatchObject({ outcome: 'drained', server: goes.url, closedBy: 'proxy' });
    }
    const left = removedServers === 'keep' ? clients : clients.filter((client) => client !== removed);
    for (const peer of left) {
      peer.socket.send('still here');
      expect(await peer.messages.next()).toBe('still here');
    }
    const again = await connectWs(`${url}/`);
    expect(proxy.sessions.map(({ server }) => server).filter((server) => server === goes.url)).toHaveLength(
      removedServers === 'keep' ? 1 : 0,
    );
    again.socket.close();
  });
});
