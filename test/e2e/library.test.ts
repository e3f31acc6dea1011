/** The library as a program uses it: the examples, run as they stand, and what the examples leave out. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { describe, expect, onTestFinished, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { RawPeer } from '../fixtures/raw-peer.js';
import { systemDeps } from '../../src/base/system.js';
import {
  ConfigError,
  createProxy,
  type AccessRecord,
  type Random,
  type SessionInfo,
} from '../../src/index.js';

const root = new URL('../../', import.meta.url);

describe('examples', () => {
  test('embed: a program with Tidegate inside', async () => {
    const { lines } = run('examples/embed/server.mjs', { LISTEN: '127.0.0.1:0' });
    const url = await lines.next();
    const socket = new WebSocket(url);
    await once(socket, 'open');
    expect(await lines.next()).toMatch(/^opened \S{16} 127\.0\.0\.1 rfc6455$/);
    socket.send('hello');
    expect(String((await once(socket, 'message'))[0])).toBe('hello');
    socket.close(1000);
    expect(await lines.next()).toMatch(/^closed \S{16} client-closed 1 messages, code 1000$/);
  });

  test('attach: a program that has an http.Server already', async () => {
    const backend = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    onTestFinished(() => backend.close());
    await once(backend, 'listening');
    backend.on('connection', (socket) => socket.on('message', (text) => socket.send(text)));
    const { lines } = run('examples/attach/server.mjs', {
      PORT: '0',
      BACKEND: `http://127.0.0.1:${(backend.address() as AddressInfo).port}`,
    });
    const url = await lines.next();
    expect(await (await fetch(url)).text()).toBe('a page of my own\n');
    expect((await fetch(`${url}live`)).status).toBe(426);
    expect((await fetch(`${url}nowhere`)).status).toBe(404);
    const socket = new WebSocket(`${url.replace('http', 'ws')}live`);
    await once(socket, 'open');
    socket.send('ping');
    expect(String((await once(socket, 'message'))[0])).toBe('ping');
    socket.terminate();
  });
});

describe('a proxy in a program', () => {
  test('says what is wrong with its config, all of it at once', () => {
    const wrong = () => createProxy({ listeners: ['nowhere:x'], routes: [{ to: 'chat' }] });
    expect(wrong).toThrow(ConfigError);
    expect(wrong).toThrow(/listeners\[0\][^]*routes\[0\]\.to/);
  });

  test('starts all of its listeners or none', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void taken.close());
    const { port } = taken.address() as AddressInfo;
    const proxy = createProxy({
      listeners: ['127.0.0.1:0', `127.0.0.1:${port}`],
      routes: [{ to: 'http://127.0.0.1:1' }],
    });
    await expect(proxy.start()).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await proxy.stop();
  });

  test('a listener of an event that throws hurts no connection', async () => {
    const { proxy, url } = await echo();
    const faults: Error[] = [];
    proxy.on('fault', (error) => faults.push(error));
    proxy.on('session.opened', () => {
      throw new Error('mine');
    });
    const socket = new WebSocket(url);
    await once(socket, 'open');
    socket.send('still here');
    expect(String((await once(socket, 'message'))[0])).toBe('still here');
    expect(faults.map((error) => error.message)).toEqual(['mine']);
    socket.close();
  });

  test('stop: requests finish, sessions are closed, new clients are turned away', async () => {
    const { proxy, url } = await echo();
    const closed: [AccessRecord, SessionInfo][] = [];
    proxy.on('session.closed', (...args) => closed.push(args));
    const socket = new WebSocket(url);
    await once(socket, 'open');
    const { port } = proxy.listeners[0]!;
    const gone = once(socket, 'close');
    const stopped = proxy.stop({ timeoutMs: 50 });
    await expect(fetch(`http://127.0.0.1:${port}/`)).rejects.toThrow(/fetch failed/);
    await stopped;
    expect((await gone)[0]).toBe(1001);
    expect(proxy.sessions).toEqual([]);
    expect(closed[0]![0]).toMatchObject({ outcome: 'drained', closedBy: 'proxy', generation: 'rfc6455' });
  });

  test('stop: a large answer to a slow client arrives whole, and its connection ends behind it', async () => {
    const body = Buffer.alloc(16 * 2 ** 20, 'b');
    const backend = createServer((_req, res) => res.end(body));
    await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void backend.close());
    const proxy = createProxy({
      listeners: ['127.0.0.1:0'],
      routes: [{ to: `http://127.0.0.1:${(backend.address() as AddressInfo).port}` }],
    });
    await proxy.start();
    const { port } = proxy.listeners[0]!;
    const idle = await RawPeer.connect(port);
    const slow = await RawPeer.connect(port);
    const finished = new Promise<void>((resolve) => proxy.on('request.finished', () => resolve()));
    slow.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await slow.until('\r\n\r\n');
    slow.pause();
    const stopped = proxy.stop({ timeoutMs: 600_000 });
    expect(await idle.ended).toBe('end');
    slow.resume();
    expect((await slow.take(body.length)).equals(body)).toBe(true);
    expect(await slow.ended).toBe('end');
    await finished;
    slow.end();
    idle.end();
    await stopped;
  });

  test('stop: a session that ends by itself is not cut, and the stop does not wait any longer', async () => {
    // The Close of ours comes as late as it may.
    const { proxy, url } = await echo({ float: () => 0.999, id: systemDeps.random.id });
    const records: AccessRecord[] = [];
    proxy.on('session.closed', (record) => records.push(record));
    const socket = new WebSocket(url);
    await once(socket, 'open');
    const stopped = proxy.stop({ timeoutMs: 600_000 });
    socket.close(1000);
    await stopped;
    expect(records[0]).toMatchObject({ outcome: 'client-closed', closeCodeFromClient: 1000 });
  });
});

async function echo(random: Random = systemDeps.random) {
  const backend = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await once(backend, 'listening');
  backend.on('connection', (socket) => socket.on('message', (text, binary) => socket.send(text, { binary })));
  const { port } = backend.address() as AddressInfo;
  const proxy = createProxy(
    { listeners: ['127.0.0.1:0'], routes: [{ to: `http://127.0.0.1:${port}` }] },
    { deps: { random } },
  );
  await proxy.start();
  onTestFinished(async () => {
    await proxy.stop({ timeoutMs: 0 });
    for (const client of backend.clients) client.terminate();
    backend.close();
  });
  return { proxy, url: `ws://127.0.0.1:${proxy.listeners[0]!.port}` };
}

/** Runs an example with the Node of this test; its lines of output one by one. */
function run(
  file: string,
  env: Record<string, string>,
): { lines: { next(): Promise<string> }; child: ChildProcess } {
  const child = spawn(process.execPath, [file], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(async () => {
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    expect((await exited)[0]).toBe(0);
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, lines: { next: async () => String((await lines.next()).value) } };
}
