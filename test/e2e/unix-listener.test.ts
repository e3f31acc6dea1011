import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ConfigInput } from '../../src/config/schema.js';
import { createProxy } from '../../src/server/proxy.js';
import { Cli } from '../fixtures/cli.js';
import { startBackend } from '../fixtures/http-backend.js';
import { Inbox } from '../fixtures/inbox.js';
import { watchSessions } from '../fixtures/interop-sessions.js';
import { connectWs, startWsServer } from '../fixtures/peers/ws.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { running } from '../fixtures/running.js';

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'tidegate-unix-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function start(listeners: ConfigInput['listeners'], to: string, relay: 'auto' | 'stream' = 'auto') {
  const config = { listeners, routes: [{ to }], relay } satisfies ConfigInput;
  const proxy = createProxy(config);
  watchSessions(proxy);
  const records = new Inbox<{ client: string; status: number }>('the access records');
  proxy.on('session.closed', (record) => records.push(record));
  proxy.on('request.finished', (record) => records.push(record));
  await proxy.start();
  onTestFinished(() => proxy.stop({ timeoutMs: 0 }));
  return { proxy, records, config };
}

async function get(socketPath: string, headers: Record<string, string> = {}): Promise<string> {
  const asked = request({ socketPath, path: '/', headers: { Host: 'example.com', ...headers } }).end();
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  return await text(answer);
}

const whoAreYou = () =>
  startBackend((req, res) =>
    res.end([req.headers['x-forwarded-for'], req.headers['x-forwarded-proto']].join(' ')),
  );

describe.each(['auto', 'stream'] as const)('relay %s', (relay) => {
  test('WebSockets and plain requests; the client is unix', async () => {
    const path = join(folder(), 'a.sock');
    const app = await running(startWsServer());
    const { records } = await start([`unix:${path}`], app.url, relay);
    const open = await running(connectWs(`ws+unix:${path}:/chat`, [], { headers: { Host: 'example.com' } }));
    open.socket.send('hello');
    expect(await open.messages.next()).toBe('hello');
    open.socket.send(Buffer.alloc(300_000, 1));
    expect(await open.messages.next()).toEqual(Buffer.alloc(300_000, 1));
    open.socket.close(1000);
    expect(await records.next()).toMatchObject({ client: 'unix', status: 101, path: '/chat' });

    const backend = await whoAreYou();
    const other = join(folder(), 'b.sock');
    const { records: more } = await start([`unix:${other}`], backend.url, relay);
    expect(await get(other)).toBe('unix http');
    expect(await more.next()).toMatchObject({ client: 'unix', status: 200 });
  });
});

test('only with trustedProxies: unix is X-Forwarded-* believed', async () => {
  const backend = await whoAreYou();
  const [plain, trusting] = [join(folder(), 'a.sock'), join(folder(), 'b.sock')];
  const { records } = await start(
    [`unix:${plain}`, { address: `unix:${trusting}`, trustedProxies: 'unix' }],
    backend.url,
  );
  const claim = { 'X-Forwarded-For': '192.0.2.7', 'X-Forwarded-Proto': 'https' };
  expect(await get(plain, claim)).toBe('unix http');
  expect(await records.next()).toMatchObject({ client: 'unix' });
  expect(await get(trusting, claim)).toBe('192.0.2.7, unix https');
  expect(await records.next()).toMatchObject({ client: '192.0.2.7' });
});

test('with a PROXY header from whoever comes by it', async () => {
  const backend = await whoAreYou();
  const path = join(folder(), 'a.sock');
  const { records } = await start(
    [{ address: `unix:${path}`, trustedProxies: 'unix', proxyProtocol: true }],
    backend.url,
  );
  const peer = await RawPeer.connect({ path });
  peer.write(
    'PROXY TCP4 192.0.2.7 203.0.113.1 1 2\r\nGET / HTTP/1.1\r\nHost: a.b\r\nConnection: close\r\n\r\n',
  );
  expect((await peer.rest()).toString()).toMatch(/192\.0\.2\.7 http$/);
  expect(await records.next()).toMatchObject({ client: '192.0.2.7' });
  const other = await RawPeer.connect({ path });
  other.write('GET / HTTP/1.1\r\nHost: a.b\r\n\r\n');
  expect(await other.rest()).toHaveLength(0);
  expect(await records.next()).toMatchObject({ client: 'unix', outcome: 'failed(PROXY_HEADER_INVALID)' });
});

describe('the socket', () => {
  test.each([
    [undefined, 0o660],
    ['0600', 0o600],
    ['0666', 0o666],
  ])('mode %s', async (mode, expected) => {
    const path = join(folder(), 'a.sock');
    await start([{ address: `unix:${path}`, ...(mode !== undefined && { mode }) }], 'http://127.0.0.1:1');
    expect(statSync(path).mode & 0o777).toBe(expected);
  });

  test('is gone when the proxy has stopped', async () => {
    const path = join(folder(), 'a.sock');
    const { proxy } = await start([`unix:${path}`], 'http://127.0.0.1:1');
    expect(proxy.listeners).toEqual([{ id: `unix:${path}`, host: '', port: 0, socketPath: path }]);
    expect(existsSync(path)).toBe(true);
    await proxy.stop();
    expect(existsSync(path)).toBe(false);
  });

  test('left behind by a dead process makes way', async () => {
    const path = join(folder(), 'a.sock');
    const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('up'))`;
    const dead: ChildProcess = spawn(process.execPath, ['-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(dead.stdout!, 'data');
    dead.kill('SIGKILL');
    await once(dead, 'exit');
    expect(existsSync(path)).toBe(true);
    const backend = await whoAreYou();
    await start([`unix:${path}`], backend.url);
    expect(await get(path)).toBe('unix http');
  });

  test('of a live process does not', async () => {
    const path = join(folder(), 'a.sock');
    const backend = await whoAreYou();
    await start([`unix:${path}`], backend.url);
    const second = createProxy({ listeners: [`unix:${path}`], routes: [{ to: backend.url }] });
    await expect(second.start()).rejects.toThrow(
      `cannot listen on unix:${path}: another running program does already`,
    );
    expect(await get(path)).toBe('unix http');
  });

  test.each([
    ['a file', (path: string) => writeFileSync(path, 'precious'), 'there is a file that is no socket'],
    [
      'a folder that is not there',
      (path: string) => rmSync(join(path, '..'), { recursive: true }),
      'there is no folder',
    ],
  ])('cannot be made: %s', async (_, prepare, message) => {
    const path = join(folder(), 'a.sock');
    prepare(path);
    const proxy = createProxy({ listeners: [`unix:${path}`], routes: [{ to: 'http://127.0.0.1:1' }] });
    await expect(proxy.start()).rejects.toThrow(message);
  });

  test('nor where its path is too long', async () => {
    const path = join(folder(), `${'x'.repeat(120)}.sock`);
    const proxy = createProxy({ listeners: [`unix:${path}`], routes: [{ to: 'http://127.0.0.1:1' }] });
    await expect(proxy.start()).rejects.toThrow(
      /the path takes \d+ bytes, and that of a socket may take 10[37]/,
    );
  });
});

test('a reload adds, changes and takes away', async () => {
  const [first, second] = [join(folder(), 'a.sock'), join(folder(), 'b.sock')];
  const app = await running(startWsServer());
  const { proxy, config } = await start([`unix:${first}`], app.url);
  const open = await running(connectWs(`ws+unix:${first}:/`));
  const reload = (listeners: ConfigInput['listeners']) => proxy.reload({ ...config, listeners });

  const added = await reload([`unix:${first}`, `unix:${second}`]);
  expect(added.changes).toEqual([`listener unix:${second} added`]);
  const other = await running(connectWs(`ws+unix:${second}:/`));

  await reload([`unix:${first}`, { address: `unix:${second}`, mode: '0600' }]);
  expect(statSync(second).mode & 0o777).toBe(0o600);

  const removed = await reload([`unix:${second}`]);
  expect(removed.changes).toContain(`listener unix:${first} removed`);
  expect(existsSync(first)).toBe(false);
  for (const end of [open, other]) {
    end.socket.send('still here');
    expect(await end.messages.next()).toBe('still here');
  }
  await reload([`unix:${first}`, `unix:${second}`]);
  await running(connectWs(`ws+unix:${first}:/`));

  writeFileSync(join(folder(), 'x'), '');
  const taken = join(folder(), 'taken');
  writeFileSync(taken, '');
  await expect(reload([`unix:${first}`, `unix:${taken}`])).rejects.toThrow(
    `listeners[1]: cannot listen on unix:${taken}: there is a file that is no socket`,
  );
  await running(connectWs(`ws+unix:${second}:/`));
});

test('the command line', async () => {
  const path = join(folder(), 'a.sock');
  const backend = await whoAreYou();
  const cli = await running(new Cli(['proxy', '--listen', `unix:${path}`, '--to', backend.url]));
  expect(await cli.stderr.next((line) => line.includes('listening on'))).toBe(`  listening on unix:${path}`);
  expect(await get(path)).toBe('unix http');
  cli.signal('SIGTERM');
  expect(await cli.exited).toBe(0);
  expect(existsSync(path)).toBe(false);
});
