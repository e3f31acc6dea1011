/** The admin API and its commands, before a real proxy with live WebSockets, on both engines. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ConnectionPage, Status } from '../../src/admin/target.js';
import { certificateFile } from '../fixtures/certificates.js';
import { Cli, type CliResult, runCli } from '../fixtures/cli.js';
import { listening } from '../fixtures/listening.js';
import { hixie76Answer, hixie76Head, hixieVectors } from '../fixtures/hixie.js';
import { connectWs, startWsServer, type WsServer } from '../fixtures/peers/ws.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { running } from '../fixtures/running.js';

const root = mkdtempSync(join(tmpdir(), 'tidegate-admin-'));
afterAll(() => rmSync(root, { recursive: true }));
let backend: WsServer;
beforeAll(async () => {
  backend = await startWsServer();
});
afterAll(() => backend.stop());

let folders = 0;
const anyNumber: unknown = expect.any(Number);
const anyString: unknown = expect.any(String);
const like = (pattern: RegExp): unknown => expect.stringMatching(pattern);

describe.each(['stream', 'auto'])('relay: %s', (relay) => {
  test('connections: live counters, filters, pages', async () => {
    const { url, api, json } = await start({ relay });
    expect((await api('connections')).stdout).toBe('no open connections');
    const chat = await Promise.all([1, 2, 3].map(() => connectWs(`${url}/chat`)));
    const live = await connectWs(`${url}/live?secret=1`);
    chat[0]!.socket.send('hello');
    await chat[0]!.messages.next();
    live.socket.send(Buffer.alloc(70_000));
    await live.messages.next();

    const all = await json<ConnectionPage>('connections');
    expect(all.total).toBe(4);
    expect(all.connections.find(({ route }) => route === 'live')).toEqual({
      id: like(/^\w[\w-]{15}$/),
      time: like(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      client: '127.0.0.1',
      host: new URL(url).host,
      path: '/live',
      via: 'h1',
      generation: 'rfc6455',
      route: 'live',
      upstream: 'echo',
      server: backend.url,
      durationMs: anyNumber,
      bytesFromClient: 70_014,
      bytesFromUpstream: 70_010,
      messagesFromClient: 1,
      messagesFromUpstream: 1,
    });
    chat[0]!.socket.send('again');
    await chat[0]!.messages.next();
    const filtered = await json<ConnectionPage>('connections', '--route', 'chat', '--client', '127.0.0.1');
    // The three were opened at once: in which order is theirs to know.
    const counters = filtered.connections.map(
      (each) => `${each.messagesFromClient} in ${each.bytesFromClient}`,
    );
    expect(new Set(counters)).toEqual(new Set(['0 in 0', '2 in 22']));
    expect(counters).toHaveLength(3);
    expect(await json('connections', '--upstream', 'other')).toEqual({ connections: [], total: 0 });

    const page = await json<ConnectionPage>('connections', '--limit', '3');
    expect(page).toMatchObject({ total: 4, next: anyNumber });
    expect(page.connections.map(({ id }) => id)).toEqual(all.connections.slice(0, 3).map(({ id }) => id));

    const text = (await api('connections', '--route', 'live')).stdout.split('\n');
    expect(text[0]).toMatch(/^ID +AGE +CLIENT +GENERATION +ROUTE +SERVER +↑ +↓ +ADDRESS$/);
    expect(text[1]).toMatch(
      /^\S{16} +[\d.]+m?s +127\.0\.0\.1 +rfc6455 +live +http:\S+ +1 msg 68KiB +1 msg 68KiB +127\.0\.0\.1:\d+\/live$/,
    );
    expect((await api('connections', '--limit', '1')).stdout).toContain(
      '… 3 more of 4; --limit 4 shows them all',
    );
    expect(text.join('')).not.toContain('secret');
  });

  test('pages of the API hold every session once, also when one ends in between', async () => {
    const { url, admin } = await start({ relay });
    const ends = [];
    for (let i = 0; i < 5; i++) ends.push(await connectWs(`${url}/chat`));
    const get = async (path: string) => (await (await fetch(`${admin}${path}`)).json()) as ConnectionPage;
    const all = (await get('/v1/connections')).connections.map(({ id }) => id);
    const first = await get('/v1/connections?limit=2');
    await close(admin, first.connections[1]!.id, {});
    const second = await get(`/v1/connections?limit=2&after=${first.next}`);
    const third = await get(`/v1/connections?limit=2&after=${second.next}`);
    expect([first, second, third].flatMap((page) => page.connections.map(({ id }) => id))).toEqual(all);
    expect([first.total, second.total, third.next]).toEqual([5, 4, undefined]);
    expect(ends).toHaveLength(5);
  });

  test('close: the client sees exactly this code and reason, and so does the server', async () => {
    const { url, api, json, cli } = await start({ relay });
    const [client, other] = [await connectWs(`${url}/chat`), await connectWs(`${url}/chat`)];
    const server = backend.ends.all.at(-2)!;
    const [{ id }] = (await json<ConnectionPage>('connections')).connections as unknown as [{ id: string }];
    const closed = await api('close', id, '--code', '4000', '--reason', 'bye');
    expect(closed).toEqual({ code: 0, stdout: `${id} closed`, stderr: '' });
    expect(await client.closed).toEqual({ code: 4000, reason: 'bye' });
    expect(await server.closed).toEqual({ code: 4000, reason: 'bye' });
    const record = JSON.parse(await cli.stdout.next((line) => line.includes('4000'))) as object;
    expect(record).toMatchObject({ closedBy: 'proxy', closeCodeFromClient: 4000, outcome: 'drained' });

    other.socket.send('still here');
    expect(await other.messages.next()).toBe('still here');
    expect(await json('status')).toMatchObject({
      sessions: { open: 1, total: 2, outcomes: { drained: 1 }, messagesDropped: 0 },
      routes: [
        { route: 'chat', sessions: { open: 1, total: 2, outcomes: { drained: 1 }, messagesDropped: 0 } },
        { route: 'live' },
        { route: 'old' },
      ],
    });
    expect(await api('close', id)).toEqual({
      code: 1,
      stdout: '',
      stderr: `tidegate: no open connection has the id ${id}`,
    });
  });

  test('close: a client that does not answer is cut in time', async () => {
    const { url, admin } = await start({ relay });
    const client = await connectWs(`${url}/chat`);
    // It reads nothing any more, so it answers nothing.
    client.socket.pause();
    const [{ id }] = await list(admin);
    expect(await close(admin, id, { timeoutMs: 50 })).toEqual({ id, ended: 'cut' });
    expect(await list(admin)).toEqual([]);
  });

  test('close: a client of 2010 gets its FF 00', async () => {
    const { url, admin, old } = await start({ relay });
    const { host, port } = new URL(url);
    const vector = hixieVectors[0]!;
    const client = await RawPeer.connect(Number(port));
    client.write(Buffer.concat([Buffer.from(hixie76Head(vector, host)), Buffer.from(vector.key3, 'hex')]));
    const server = await old.accept();
    await server.head();
    await server.take(8);
    const head = hixie76Answer(`ws://${host}/socket.io/websocket`);
    server.write(Buffer.concat([Buffer.from(head), Buffer.from(vector.challenge, 'hex')]));
    await client.head();
    expect((await client.take(16)).toString('hex')).toBe(vector.challenge);

    const [{ id }] = await list(admin);
    const closing = close(admin, id, { code: 4000, reason: 'bye' });
    expect(await client.take(2)).toEqual(Buffer.of(0xff, 0));
    client.write(Buffer.of(0xff, 0));
    expect(await server.take(2)).toEqual(Buffer.of(0xff, 0));
    server.end();
    await client.rest();
    client.end();
    expect(await closing).toEqual({ id, ended: 'closed' });
  });
});

test('status: who it is, what is open, what has happened', async () => {
  const { url, api, json } = await start({});
  const client = await connectWs(`${url}/chat`);
  await fetch(`${url}/nowhere`);
  await fetch(`${url}/nowhere`);
  await expect(connectWs(`${url}/nowhere`)).rejects.toThrow('404');
  const found = await json<Status>('status');
  expect(found).toEqual({
    version: like(/^\d+\.\d+\.\d+/),
    state: 'running',
    time: like(/Z$/),
    uptimeMs: anyNumber,
    pid: anyNumber,
    engine: found.engine,
    listeners: [{ id: 'listeners[0]', host: '127.0.0.1', port: Number(new URL(url).port) }],
    routes: [
      { route: 'chat', upstream: 'echo', sessions: { open: 1, total: 1, outcomes: {}, messagesDropped: 0 } },
      { route: 'live', upstream: 'echo', sessions: { open: 0, total: 0, outcomes: {}, messagesDropped: 0 } },
      {
        route: 'old',
        upstream: anyString,
        sessions: { open: 0, total: 0, outcomes: {}, messagesDropped: 0 },
      },
    ],
    upstreams: [
      {
        upstream: 'echo',
        waiting: 0,
        servers: [
          {
            server: backend.url,
            state: 'up',
            since: like(/Z$/),
            reason: 'nothing is known against it',
            active: 1,
            weight: 1,
            share: 1,
            sessions: { open: 1 },
          },
        ],
      },
      { upstream: anyString, waiting: 0, servers: [expect.objectContaining({ sessions: { open: 0 } })] },
    ],
    sessions: { open: 1, total: 1, outcomes: {}, messagesDropped: 0 },
    tls: { failed: 0 },
    handshakes: { refused: { ROUTE_NOT_FOUND: 1 }, answeredAsHttp: 0 },
    requests: { active: 0, statuses: { '4xx': 2 }, failed: { ROUTE_NOT_FOUND: 2 } },
  });
  client.socket.close(1000);
  await client.closed;
  const text = (await api('status')).stdout;
  expect(text).toMatch(/^Tidegate \S+, running, up \S+, process \d+; relay engine: /);
  expect(text).toMatch(/^chat +echo +\d +1$/m);
  expect(text).toMatch(/^echo +http:\S+ +up +1 +\d +\d$/m);
  expect(text).toContain('handshakes  refused: ROUTE_NOT_FOUND 1; 0 answered as plain HTTP');
  expect(text).toContain('requests    0 active; finished: 4xx 2; failed: ROUTE_NOT_FOUND 2');
  // oxlint-disable-next-line no-control-regex -- no colours where no terminal is
  expect(text).not.toMatch(/\x1b/);
});

test('status: TLS handshakes that came to nothing are counted', async () => {
  const cert = certificateFile('chat');
  const secure = { address: '127.0.0.1:0', tls: { certificates: { cert, key: cert } } };
  const { api, json } = await start({ listeners: ['127.0.0.1:0', secure] });
  const { port } = (await json<Status>('status')).listeners[1]!;
  for (let i = 0; i < 2; i++) {
    const lost = await RawPeer.connect(port);
    lost.write('GET / HTTP/1.1\r\n\r\n');
    await lost.rest();
  }
  while ((await json<Status>('status')).tls.failed !== 2);
  expect((await api('status')).stdout).toContain('\ntls         2 handshakes failed\n');
});

test('while it drains it says so, and then the API goes with the proxy', async () => {
  const { url, api, json, cli } = await start({});
  const client = await connectWs(`${url}/chat`);
  // It reads nothing, so it answers nothing.
  client.socket.pause();
  cli.signal('SIGTERM');
  await cli.stderr.next((line) => line.includes('SIGTERM: taking no new work'));
  while ((await json<Status>('status')).drain?.sessions.told !== 1);
  expect(await json('status')).toMatchObject({
    state: 'draining',
    sessions: { open: 1 },
    drain: { state: 'draining', sessions: { open: 1, told: 1, waiting: 0, untold: 0 }, deadline: anyString },
  });
  expect((await api('status')).stdout).toMatch(
    /^drain {7}1 told to close, 0 to be told, 0 without a Close frame; what is left is cut at \S+Z$/m,
  );
  client.socket.resume();
  expect((await client.closed).code).toBe(1001);
  expect(await cli.exited).toBe(0);
});

test('drain: the clients are told as it was asked, and the process ends well', async () => {
  const { url, api, cli } = await start({});
  const client = await connectWs(`${url}/chat`);
  client.socket.pause();
  const order = ['--code', '4002', '--reason', 'moving', '--spread', '0s', '--timeout', '20s'];
  const { code, stdout } = await api('drain', ...order);
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^draining: 1 session open \(1 told to close, 0 to be told, 0 without a Close frame\), 0 requests active; what is left is cut at \S+Z$/,
  );
  await cli.stderr.next((line) =>
    line.includes('info: told to drain: taking no new work; 1 session and 0 requests'),
  );
  // A platform that sends SIGTERM behind it cuts nothing short.
  cli.signal('SIGTERM');
  await cli.stderr.next((line) => line.includes('info: SIGTERM: still draining'));
  client.socket.resume();
  expect(await client.closed).toEqual({ code: 4002, reason: 'moving' });
  expect(await cli.exited).toBe(0);
});

describe('whom it does not serve', () => {
  test('a name that is not ours, a wrong token, a wrong method, a huge body: one line each', async () => {
    const token = 'a-token-that-is-long-enough';
    const { admin, api, cwd } = await start({ admin: { token } });
    const call = async (path: string, init: RequestInit = {}) => {
      const response = await fetch(`${admin}${path}`, {
        ...init,
        headers: { Authorization: `Bearer ${token}`, ...init.headers },
      });
      const { error } = (await response.json()) as { error?: { code: string } };
      return [response.status, error?.code];
    };
    expect(await call('/v1/status')).toEqual([200, undefined]);
    expect(await call('/v1/status', { headers: { Authorization: 'Bearer guess' } })).toEqual([
      401,
      'TOKEN_REQUIRED',
    ]);
    expect(await call('/v1/status', { method: 'PUT' })).toEqual([405, 'METHOD_NOT_ALLOWED']);
    expect(await call('/v1/reload', { method: 'POST', body: 'a=b' })).toEqual([415, 'CONTENT_TYPE_REQUIRED']);
    const json = { 'Content-Type': 'application/json' };
    expect(await call('/v1/reload', { method: 'POST', headers: json, body: 'x'.repeat(70_000) })).toEqual([
      413,
      'BODY_TOO_LARGE',
    ]);

    // With a token on the command’s side: in the configuration, in a file, in the environment, and wrong.
    expect((await api('status')).stderr).toBe(
      'tidegate: a token is required: Authorization: Bearer TOKEN; give one with --token-file FILE or TIDEGATE_ADMIN_TOKEN',
    );
    writeFileSync(join(cwd, 'token'), `${token}\n`);
    expect((await api('status', '--token-file', join(cwd, 'token'))).code).toBe(0);
    const env = { TIDEGATE_ADMIN_TOKEN: 'wrong' };
    const wrong = await runCli(['status', '--admin', new URL(admin).host], { cwd, env });
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('this is not the token')]);
  });
});

test('two proxies: each speaks for itself, one address for one', async () => {
  const [a, b] = [await start({}), await start({})];
  await connectWs(`${a.url}/chat`);
  expect((await a.json<Status>('status')).sessions.open).toBe(1);
  expect((await b.json<Status>('status')).sessions.open).toBe(0);
  const { host } = new URL(a.admin);
  const third = await runCli(['proxy', '--listen', '127.0.0.1:0', '--to', backend.url, '--admin', host]);
  expect(third).toEqual({
    code: 1,
    stdout: '',
    stderr: `tidegate: cannot listen on ${host}: the port is in use by another program`,
  });
});

test('a unix socket from the configuration, found by the commands there', async () => {
  const cwd = folder({
    'tidegate.config.yaml': `listeners: [127.0.0.1:0]
routes: [{ to: "${backend.url}" }]
admin: unix:admin.sock
`,
  });
  const cli = await running(new Cli(['serve'], { cwd }));
  await cli.url();
  await cli.stderr.next((line) => line === `  admin API on unix:${join(cwd, 'admin.sock')}`);
  expect((await runCli(['status'], { cwd })).stdout).toContain('Tidegate');
  expect((await runCli(['status', '--admin', 'unix:admin.sock'], { cwd })).code).toBe(0);
  const second = await runCli(['serve'], { cwd });
  expect([second.code, second.stderr]).toEqual([
    1,
    `tidegate: cannot listen on unix:${join(cwd, 'admin.sock')}: another running program does already`,
  ]);
  await cli.stop();
  const nobody = await runCli(['status'], { cwd });
  expect([nobody.code, nobody.stderr]).toEqual([
    1,
    expect.stringMatching(/^tidegate: nobody listens on unix:/),
  ]);
  // Killed, it left its socket behind; the next one takes its place.
  const next = await running(new Cli(['serve'], { cwd }));
  await next.url();
  expect((await runCli(['status'], { cwd })).code).toBe(0);
});

describe('the commands say in one line', () => {
  const yaml = `listeners: [127.0.0.1:0]\nroutes: [{ to: "http://127.0.0.1:1" }]\n`;

  test('that there is no configuration to tell the address', async () => {
    expect(await runCli(['status'], { cwd: folder({}) })).toEqual({
      code: 2,
      stdout: '',
      stderr:
        'tidegate: where is the admin API? Expected --admin ADDRESS, or a configuration with `admin: 127.0.0.1:9090` here or named by --config',
    });
  });

  test('that the configuration has none', async () => {
    const cwd = folder({ 'tidegate.config.yaml': yaml });
    expect((await runCli(['connections'], { cwd })).stderr).toBe(
      'tidegate: tidegate.config.yaml: has no admin API; add `admin: 127.0.0.1:9090` to it and start the proxy again, or name another address with --admin',
    );
  });

  test('that nobody listens, and how to change that', async () => {
    expect(await runCli(['status', '--admin', '127.0.0.1:1'])).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'tidegate: nobody listens on 127.0.0.1:1: is the proxy running, with `admin: 127.0.0.1:1` in its configuration?',
    });
  });

  test('that another program answers', async () => {
    const other = await running(listening(createServer((_, res) => res.end('hello'))));
    const { host } = new URL(other.url);
    const { code, stderr } = await runCli(['status', '--admin', host]);
    expect([code, stderr]).toEqual([
      1,
      `tidegate: ${host} answers, but is no admin API of Tidegate: status 200`,
    ]);
  });

  test('that off loopback a token is needed, at the check', async () => {
    const cwd = folder({ 'tidegate.config.yaml': `${yaml}admin: { address: 0.0.0.0:9090 }\n` });
    expect(await runCli(['check'], { cwd })).toEqual({
      code: 2,
      stdout: '',
      stderr:
        'tidegate: tidegate.config.yaml:3:10: admin.address: others than this machine can reach 0.0.0.0:9090: expected a `token` or `tokenFile` with it, or a loopback address or unix socket',
    });
  });

  test('that a token file cannot be used, at the check', async () => {
    const cwd = folder({ 'c.yaml': `${yaml}admin: { address: 127.0.0.1:9090, tokenFile: gone }\n` });
    expect((await runCli(['check', '--config', 'c.yaml'], { cwd })).stderr).toBe(
      `tidegate: c.yaml:3:35: admin.tokenFile: expected a file with a token, but ${join(cwd, 'gone')} does not exist`,
    );
  });

  test.each([
    [['close'], `missing required argument 'id'`],
    [['close', 'a/b'], 'expected the ID of a connection, as `tidegate connections` shows it, found "a/b"'],
    [
      ['close', 'x', '--code', '1005'],
      '--code: expected one of 1000-1003, 1007-1014, 3000-4999, found "1005"',
    ],
    [['close', 'x', '--reason', 'é'.repeat(62)], '--reason: expected at most 123 bytes of UTF-8, found 124'],
    [['close', 'x', '--timeout', '2m'], '--timeout: expected a duration such as 5s, at most 1m, found "2m"'],
    [['connections', '--limit', 'all'], '--limit: expected a whole number above zero, found "all"'],
    [
      ['status', '--admin', '/run/a.sock'],
      '--admin: expected 127.0.0.1:PORT or unix:PATH, such as 127.0.0.1:9090 or unix:/run/tidegate.sock, found "/run/a.sock"; did you mean "unix:/run/a.sock"?',
    ],
    [
      ['proxy', '--listen', '1', '--to', 'http://a', '--admin', '9090'],
      'admin: others than this machine can reach 9090 (every address): expected a `token` or `tokenFile` with it, or a loopback address or unix socket',
    ],
  ])('%j: exit 2', async (args, line) => {
    expect(await runCli(args)).toEqual({ code: 2, stdout: '', stderr: `tidegate: ${line}` });
  });
});

interface Started {
  readonly relay?: string;
  readonly listeners?: readonly (object | string)[];
  readonly admin?: object;
}

/** A proxy through the command line, with an admin API on a free port. */
async function start({ relay = 'auto', listeners = ['127.0.0.1:0'], admin = {} }: Started) {
  const old = await RawServer.listen();
  const config = {
    listeners,
    upstreams: { echo: backend.url },
    routes: [
      { name: 'chat', match: { path: '/chat' }, to: 'echo' },
      { name: 'live', match: { path: '/live' }, to: 'echo' },
      { name: 'old', match: { path: '/socket.io/*' }, to: old.url },
    ],
    relay,
    admin: { address: '127.0.0.1:0', ...admin },
  };
  const cwd = folder({ 'tidegate.config.json': JSON.stringify(config) });
  const cli = await running(new Cli(['serve'], { cwd }));
  const url = await cli.url();
  const line = await cli.stderr.next((line) => line.startsWith('  admin API on '));
  const address = line.slice('  admin API on '.length);
  const api = (...args: string[]): Promise<CliResult> => runCli([...args, '--admin', address], { cwd });
  const json = async <T>(...args: string[]): Promise<T> => {
    const { code, stdout, stderr } = await api(...args, '--json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return JSON.parse(stdout) as T;
  };
  return { cwd, cli, url, admin: `http://${address}`, api, json, old };
}

async function list(admin: string): Promise<[{ id: string }]> {
  const page = (await (await fetch(`${admin}/v1/connections`)).json()) as ConnectionPage;
  return page.connections as unknown as [{ id: string }];
}

async function close(admin: string, id: string, body: object): Promise<unknown> {
  const headers = { 'Content-Type': 'application/json' };
  const init = { method: 'POST', headers, body: JSON.stringify(body) };
  return (await fetch(`${admin}/v1/connections/${id}/close`, init)).json();
}

function folder(files: Readonly<Record<string, string>>): string {
  const cwd = join(root, String(folders++));
  mkdirSync(cwd);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(cwd, name), text);
  return cwd;
}
