/** Reloads under live traffic, through real sockets, on both engines. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { connect } from 'node:net';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ReloadResult, Status } from '../../src/admin/target.js';
import { ConfigError } from '../../src/config/issues.js';
import type { ConfigInput } from '../../src/config/schema.js';
import { Cli, runCli } from '../fixtures/cli.js';
import { connectWs, startWsServer, type WsServer } from '../fixtures/peers/ws.js';
import { startProxy } from '../fixtures/proxy.js';
import { eventually } from '../fixtures/raw-peer.js';
import { running } from '../fixtures/running.js';

const root = mkdtempSync(join(tmpdir(), 'tidegate-reload-'));
let backends: readonly [WsServer, WsServer];
beforeAll(async () => {
  backends = [await startWsServer(), await startWsServer()];
});
afterAll(async () => {
  rmSync(root, { recursive: true });
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
    const port = await freePort();
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
    const port = await freePort();
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

describe('the command line', () => {
  const config = (more: string) => `listeners: [127.0.0.1:0]
admin: 127.0.0.1:0
upstreams:
  chat:
    servers: ["${backends[0].url}", http://127.0.0.1:1]
    health: { type: tcp, interval: 100ms, fall: 1 }
${more}`;
  const ROUTE = 'routes: [{ name: chat, to: chat }]\n';

  test('SIGHUP, tidegate reload: errors with their place; health, counters and tunnels survive', async () => {
    const cwd = folder();
    const file = join(cwd, 'tidegate.config.yaml');
    writeFileSync(file, config(ROUTE));
    const cli = await running(new Cli(['serve'], { cwd }));
    const url = await cli.url();
    const admin = (await cli.stderr.next((line) => line.includes('admin API on'))).split(' ').at(-1)!;
    const api = (...args: string[]) => runCli([...args, '--admin', admin], { cwd });
    const status = async () => JSON.parse((await api('status', '--json')).stdout) as Status;
    await cli.stderr.next((line) => line.includes('http://127.0.0.1:1 is down'));
    const peer = await connectWs(`${url}/x`);
    const before = await status();

    writeFileSync(file, `${config('routes: [{ name: chat, to: chta }]\n')}limit: {}\n`);
    const where =
      /tidegate\.config\.yaml:7:24: routes\[0\]\.to: no upstream named "chta"; did you mean "chat"\?/;
    cli.signal('SIGHUP');
    await cli.stderr.next((line) => line.includes('SIGHUP, but it cannot be used; nothing was changed'));
    expect(await cli.stderr.next((line) => line.includes('error:   '))).toMatch(where);
    expect(await cli.stderr.next((line) => line.includes('error:   '))).toContain('config.yaml:8:1: limit');
    const refused = await api('reload');
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(where);

    writeFileSync(file, config(`${ROUTE}log: { level: debug }\nrelay: stream\nlimits: { connections: 5 }\n`));
    cli.signal('SIGHUP');
    const line = await cli.stderr.next((line) => line.includes('info: reloaded'));
    expect(line).toContain('reloaded tidegate.config.yaml: limits changed; log changed');
    await cli.stderr.next((line) => line.includes('warn: relay has changed, which takes a restart'));
    const again = await api('reload', '--json');
    expect((JSON.parse(again.stdout) as ReloadResult).changes).toEqual([]);
    await connectWs(`${url}/x`);
    await cli.stderr.next((line) => line.includes('debug: session'));

    const after = await status();
    const [up, down] = after.upstreams[0]!.servers;
    expect(down).toEqual(before.upstreams[0]!.servers[1]);
    expect(up).toMatchObject({ state: 'up', active: 2, since: before.upstreams[0]!.servers[0]!.since });
    expect(after.routes[0]!.sessions).toEqual({ open: 2, total: 2, outcomes: {} });
    expect(after.listeners).toEqual(before.listeners);
    peer.socket.send('still here');
    expect(await peer.messages.next()).toBe('still here');

    peer.socket.pause();
    cli.signal('SIGTERM');
    await cli.stderr.next((line) => line.includes('SIGTERM: taking no new work'));
    cli.signal('SIGHUP');
    await cli.stderr.next((line) => line.includes('SIGHUP: a proxy that drains takes no other'));
    const late = await api('reload');
    expect(late).toMatchObject({ code: 1, stderr: expect.stringContaining('a proxy that drains') as string });
  });

  test('watch: a file written in place, replaced by another, and behind a link that is turned', async () => {
    const cwd = folder();
    const text = (name: string) => config(`routes: [{ name: ${name}, to: chat }]\nreload: { watch: true }\n`);
    const put = (dir: string, name: string) => {
      mkdirSync(join(cwd, dir));
      writeFileSync(join(cwd, dir, 'tidegate.config.yaml'), text(name));
    };
    put('..1', 'one');
    symlinkSync('..1', join(cwd, '..data'));
    const file = join(cwd, 'tidegate.config.yaml');
    symlinkSync('..data/tidegate.config.yaml', file);
    const cli = await running(new Cli(['serve'], { cwd }));
    await cli.url();
    const reloaded = (name: string) => cli.stderr.next((line) => line.includes(`route ${name} added`));

    put('..2', 'two');
    symlinkSync('..2', join(cwd, '..next'));
    renameSync(join(cwd, '..next'), join(cwd, '..data'));
    await reloaded('two');
    writeFileSync(join(cwd, 'new.yaml'), text('three'));
    renameSync(join(cwd, 'new.yaml'), file);
    await reloaded('three');
    writeFileSync(file, text('four'));
    await reloaded('four');
    writeFileSync(file, 'routes: [');
    await cli.stderr.next((line) =>
      line.includes('the configuration file has changed, but it cannot be used'),
    );
    writeFileSync(file, text('five'));
    await reloaded('five');
    cli.signal('SIGTERM');
    expect(await cli.exited).toBe(0);
  });

  test('a configuration in JavaScript is run again', async () => {
    const cwd = folder();
    const file = join(cwd, 'tidegate.config.mjs');
    const text = (name: string) =>
      `export default { listeners: ['127.0.0.1:0'], routes: [{ name: '${name}', to: '${backends[0].url}' }] };\n`;
    writeFileSync(file, text('one'));
    const cli = await running(new Cli(['serve'], { cwd }));
    await cli.url();
    writeFileSync(file, text('two'));
    cli.signal('SIGHUP');
    await cli.stderr.next((line) => line.includes('route two added; route one removed'));
    writeFileSync(file, 'export default {\n  routes: nothing\n};\n');
    cli.signal('SIGHUP');
    await cli.stderr.next((line) => /tidegate\.config\.mjs:2:\d+: ReferenceError/.test(line));
  });

  test('without a file there is nothing to reload', async () => {
    const args = ['proxy', '--listen', '127.0.0.1:0', '--to', backends[0].url, '--admin', '127.0.0.1:0'];
    const cli = await running(new Cli(args));
    await cli.url();
    const admin = (await cli.stderr.next((line) => line.includes('admin API on'))).split(' ').at(-1)!;
    cli.signal('SIGHUP');
    await cli.stderr.next((line) =>
      line.includes('info: SIGHUP: there is no configuration file to read again'),
    );
    expect(await runCli(['reload', '--admin', admin])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('there is no configuration file to read again') as string,
    });
  });
});

let folders = 0;
function folder(): string {
  const path = join(root, String(++folders));
  mkdirSync(path);
  return path;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Message number n of a client, masked with zeros, and of a server: all of one length, all different. */
const CLIENT_BYTES = 14;
const SERVER_BYTES = 10;
function clientMessage(n: number): Buffer {
  const frame = Buffer.from([0x82, 0x88, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  frame.writeUInt32BE(n, 6);
  frame.writeUInt32BE(~n >>> 0, 10);
  return frame;
}
function serverMessage(n: number): Buffer {
  const frame = Buffer.from([0x82, 0x08, 0, 0, 0, 0, 0, 0, 0, 0]);
  frame.writeUInt32BE(~n >>> 0, 2);
  frame.writeUInt32BE(n, 6);
  return frame;
}

/** Cuts what arrives into messages of one length and calls for each. */
function messages(bytes: number, take: (message: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (; rest.length >= bytes; rest = rest.subarray(bytes)) take(rest.subarray(0, bytes));
  };
}

interface Counter {
  readonly url: string;
  readonly received: number;
  readonly problems: string[];
  stop(): Promise<void>;
}

/** A WebSocket server that checks the numbers of each client, and answers with its own. */
async function startCounter(): Promise<Counter> {
  const sockets = new Set<Socket>();
  const problems: string[] = [];
  let received = 0;
  let isStopping = false;
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.setNoDelay();
    socket.on('error', (error) => isStopping || problems.push(error.message));
    let head = '';
    let next = 0;
    const onMessage = messages(CLIENT_BYTES, (message) => {
      if (!message.equals(clientMessage(next)))
        problems.push(`message ${next} was ${message.toString('hex')}`);
      received++;
      socket.write(serverMessage(next++));
    });
    const onHead = (chunk: Buffer) => {
      head += chunk.toString('latin1');
      if (!head.includes('\r\n\r\n')) return;
      socket.off('data', onHead).on('data', onMessage);
      const key = /sec-websocket-key: (\S+)/i.exec(head)![1]!;
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(key)}\r\n\r\n`,
      );
    };
    socket.on('data', onHead);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', 2000, resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}`,
    get received() {
      return received;
    },
    problems,
    async stop() {
      isStopping = true;
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

/** A client that sends its next number when it is told to, and checks those of its server. */
class Talker {
  readonly socket: Socket;
  sent = 0;
  received = 0;
  problem: string | undefined;
  onAnswer: () => void = () => {};

  constructor(socket: Socket) {
    this.socket = socket;
    const note = (problem: string) => void (this.problem ??= problem);
    socket.on('error', (error) => note(error.message)).on('end', () => note('ended'));
    const onMessage = messages(SERVER_BYTES, (message) => {
      const expected = serverMessage(this.received++);
      if (!message.equals(expected)) note(`got ${message.toString('hex')}, not ${expected.toString('hex')}`);
      this.onAnswer();
    });
    socket.on('data', onMessage);
  }

  get isIdle(): boolean {
    return this.received === this.sent || this.problem !== undefined;
  }

  speak(): void {
    this.socket.write(clientMessage(this.sent++));
  }
}

async function openTalker(port: number, path: string): Promise<Talker> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  );
  await new Promise<void>((resolve, reject) => {
    let head = '';
    socket.once('error', reject);
    socket.on('data', function onHead(chunk: Buffer) {
      head += chunk.toString('latin1');
      if (!head.endsWith('\r\n\r\n')) return;
      socket.off('data', onHead).off('error', reject);
      if (head.startsWith('HTTP/1.1 101 ')) resolve();
      else reject(new Error(head));
    });
  });
  return new Talker(socket);
}
