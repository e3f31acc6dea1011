/**
 * docs/nginx.md: its files and commands are run as they stand, with an nginx from Debian. Only ports, paths and, where
 * a test waits for a time-out, durations are replaced.
 */
import { connect as connectTls } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { hixie76Answer, hixie76Head, hixieText, hixieVectors } from '../fixtures/hixie.js';
import { needCommand } from '../fixtures/need.js';
import type { App } from '../fixtures/peers/nginx-app.js';
import { ask, client, type Answer, type Question } from '../fixtures/peers/nginx-client.js';
import {
  behind,
  commands,
  inFront,
  page,
  replaced,
  runCommand,
  sideBySide,
  type Tidegate,
  withTls,
} from '../fixtures/peers/nginx-page.js';
import type { Nginx } from '../fixtures/peers/nginx.js';
import { connectWs, type WsEnd } from '../fixtures/peers/ws.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { headOf, switchHead, upgradeHead } from '../fixtures/rfc6455.js';
import { running } from '../fixtures/running.js';
import { quietPort } from '../fixtures/ports.js';

const need = needCommand('nginx');
const curl = needCommand('curl');

describe.skipIf(need.missing)(`in front of nginx${need.note}`, () => {
  test('pages come from nginx, which sees the client', async () => {
    const { nginx, port } = await inFront();
    expect(await ask(port, { path: '/' })).toMatchObject({ status: 200, body: 'a page of nginx\n' });
    const forged = { 'X-Forwarded-For': '192.0.2.66' };
    expect((await ask(port, { path: '/docs', headers: forged })).headers).toMatchObject({
      location: '/docs/',
      server: expect.stringContaining('nginx') as string,
    });
    await eventually(() => nginx.accessLog().split('\n').length === 3, nginx.accessLog);
    const [first, second] = nginx.accessLog().split('\n');
    expect(first).toMatch(/^127\.0\.0\.5 .*"GET \/ HTTP\/1\.1" 200/);
    expect(second).toMatch(/^127\.0\.0\.5 .*"GET \/docs HTTP\/1\.1" 301/);
  });

  test('without absolute_redirect off, nginx names a port that no client can reach', async () => {
    const { nginx, port } = await inFront({ site: (text) => replaced(text, 'absolute_redirect off;', '') });
    const { headers } = await ask(port, { path: '/docs', headers: { Host: 'example.com' } });
    expect(headers.location).toBe(`http://example.com:${nginx.port}/docs/`);
  });

  test('WebSockets go to the application, past nginx, each server in turn', async () => {
    const { port, records, apps } = await inFront();
    await talk(`ws://127.0.0.1:${port}/chat/room`, apps, records);
  });

  test('a reload of nginx, and its end, do not touch them', async () => {
    const { nginx, port } = await inFront();
    const open = await running(connectFrom(`ws://127.0.0.1:${port}/chat/`));
    await open.messages.next();
    await nginx.signal('reload');
    await nginx.log.next((line) => line.includes('exited with code 0'));
    await expectEcho(open);
    expect((await ask(port, { path: '/' })).status).toBe(200);
    await nginx.signal('quit');
    await nginx.ended;
    await expectEcho(open);
    expect((await ask(port, { path: '/' })).status).toBe(502);
    await expectEcho(open);
  });

  test('a handshake to another path reaches nginx as a plain request', async () => {
    const { port, records } = await inFront();
    const peer = await RawPeer.connect(port);
    peer.write(upgradeHead('example.com').replace('/chat?room=1', '/'));
    expect((await peer.head())[0]).toBe('HTTP/1.1 200 OK');
    expect(await records.next()).toMatchObject({ route: 'pages', status: 200 });
  });

  test('with the two lines for TLS: https and wss, and who comes without is sent there', async () => {
    const { cli, port, records, apps } = await inFront({ yaml: withTls });
    const [, secure] = /listening on https:\/\/127\.0\.0\.1:(\d+)/.exec(cli.stderr.all.join('\n'))!;
    const question = { path: '/', tls: true, headers: { Host: 'example.com' } };
    expect(await ask(Number(secure), question)).toMatchObject({ status: 200, body: 'a page of nginx\n' });
    expect(await ask(port, { ...question, tls: false })).toMatchObject({
      status: 308,
      headers: { location: 'https://example.com/' },
    });
    expect([(await records.next()).route, (await records.next()).status]).toEqual(['pages', 308]);
    await talk(`wss://127.0.0.1:${secure}/chat/room`, apps, records);
  });

  test('a client of 2010 is served', async () => {
    const app = await RawServer.listen();
    const { port } = await inFront({ appPort: app.port });
    await expectHixie76(await RawPeer.connect(port), app);
  });

  test.skipIf(curl.missing)(`the commands of the page${curl.note}`, async () => {
    const { nginx, cwd, port } = await inFront();
    await expectCommands({ nginx, cwd, port, scheme: 'http' });
  });
});

describe.skipIf(need.missing)(`behind nginx${need.note}`, () => {
  test('files come from nginx, WebSockets go through both', async () => {
    const { nginx, wss, records, apps } = await behind();
    expect(await ask(nginx.port, { path: '/', tls: true })).toMatchObject({
      status: 200,
      body: 'a page of nginx\n',
    });
    await talk(`${wss}/chat/room`, apps, records);
  });

  test('without trustedProxies every client is 127.0.0.1', async () => {
    const { wss, records } = await behind({
      yaml: (text) => replaced(text, 'trustedProxies: 127.0.0.1', ''),
    });
    const open = await running(connectFrom(`${wss}/chat/`));
    open.socket.close();
    expect(await records.next()).toMatchObject({ client: '127.0.0.1' });
  });

  const claims = {
    'X-Forwarded-For': '192.0.2.66',
    'X-Forwarded-Proto': 'gopher',
    'X-Forwarded-Host': 'evil.example',
    Forwarded: 'for=192.0.2.66',
  };

  test('the application hears the truth, whatever the client claims', async () => {
    const { nginx, records } = await behind();
    const question = { path: '/chat/x', tls: true, headers: { Host: 'example.com', ...claims } };
    const seen = JSON.parse((await ask(nginx.port, question)).body) as object;
    expect(seen).toMatchObject({
      host: 'example.com',
      forwardedFor: `${client}, 127.0.0.1`,
      forwardedProto: 'https',
      forwardedHost: 'example.com',
      forwarded: claims.Forwarded, // as the page says of others
    });
    expect(await records.next()).toMatchObject({ client });
  });

  test('the line that the page gives for other headers keeps them out', async () => {
    const line = /`(proxy_set_header Forwarded "";)`/.exec(page)![1]!;
    const { nginx } = await behind({ site: (text) => replaced(text, 'proxy_buffering off;', line) });
    const { body } = await ask(nginx.port, { path: '/chat/x', tls: true, headers: claims });
    const seen = JSON.parse(body) as object;
    expect(seen).toMatchObject({ forwardedFor: `${client}, 127.0.0.1` });
    expect(seen).not.toHaveProperty('forwarded');
  });

  test.each([
    'proxy_http_version 1.1;',
    'proxy_set_header Upgrade $http_upgrade;',
    'proxy_set_header Connection $connection_upgrade;',
  ])('without `%s` there is no 101', async (line) => {
    const { wss } = await behind({ site: (text) => replaced(text, line, '') });
    await expect(connectFrom(`${wss}/chat/`)).rejects.toThrow(/Unexpected server response/);
  });

  test('a streamed answer comes as it is written', async () => {
    const { nginx, apps } = await behind();
    const answer = await ask(nginx.port, {
      path: '/chat/slowly',
      tls: true,
      onPiece: (text) => text.includes('first') && apps.forEach((app) => app.goOn()),
    });
    expect(answer.body).toBe('data: first\n\ndata: second\n\n');
  });

  test('nginx ends a silent tunnel without a Close frame', async () => {
    const { wss, records } = await behind({ site: (text) => replaced(text, 'timeout 2h', 'timeout 1s') });
    const open = await running(connectFrom(`${wss}/chat/`));
    expect(await open.closed).toEqual({ code: 1006, reason: '' });
    const record = await records.next();
    expect(record).toMatchObject({ outcome: 'client-lost' });
    expect(record).not.toHaveProperty('closeCodeFromClient');
  });

  test('with the longer time-out in nginx, Tidegate decides', async () => {
    const { wss, records } = await behind({
      yaml: (text) => replaced(text, 'name: chat', 'name: chat\n    websocket: { idleTimeout: 1s }'),
    });
    const open = await running(connectFrom(`${wss}/chat/`));
    await open.closed;
    expect(await records.next()).toMatchObject({ outcome: 'idle-timeout' });
  });

  test('or pings keep it open for longer than the time-out of nginx', async () => {
    expect(page).toContain('websocket: { ping: true }');
    const { wss } = await behind({
      site: (text) => replaced(text, 'timeout 2h', 'timeout 4s'),
      yaml: (text) => replaced(text, 'name: chat', 'name: chat\n    websocket: { ping: { interval: 1s } }'),
    });
    const open = await running(connectFrom(`${wss}/chat/`));
    const began = Date.now();
    while (Date.now() - began < 5500) await open.controls.next((control) => control.startsWith('ping'));
    await expectEcho(open);
  });

  test('a reload of nginx leaves the old worker to its tunnels', async () => {
    const { nginx, wss } = await behind();
    const open = await running(connectFrom(`${wss}/chat/`));
    await open.messages.next();
    await nginx.signal('reload');
    await nginx.log.next((line) => line.includes('gracefully shutting down'));
    await expectEcho(open);
    const fresh = await running(connectFrom(`${wss}/chat/`));
    await fresh.messages.next();
    expect(nginx.log.all.join('\n')).not.toContain('exited with code');
    open.socket.close(4000);
    expect(await open.closed).toMatchObject({ code: 4000 });
    await nginx.log.next((line) => line.includes('exited with code 0'));
    await expectEcho(fresh);
  });

  test('unless worker_shutdown_timeout cuts them', async () => {
    const line = /`(worker_shutdown_timeout 10m;)`/.exec(page)![1]!;
    const { nginx, wss } = await behind({ main: replaced(line, '10m', '1s') });
    const open = await running(connectFrom(`${wss}/chat/`));
    await open.messages.next();
    await nginx.signal('reload');
    expect(await open.closed).toMatchObject({ code: 1006 });
  });

  test('a restart of Tidegate is gentle', async () => {
    const { nginx, wss, cli } = await behind();
    const open = await running(connectFrom(`${wss}/chat/`));
    await open.messages.next();
    cli.signal('SIGTERM');
    expect(await open.closed).toMatchObject({ code: 1001 });
    expect(await cli.exited).toBe(0);
    expect(await ask(nginx.port, { path: '/chat/x', tls: true })).toMatchObject({ status: 502 });
  });

  test('a WebSocket takes two connections of a worker', async () => {
    const workerConnections = 16;
    const { nginx, wss } = await behind({ workerConnections });
    let open = 0;
    for (; open < workerConnections; open++) {
      const attempt = await connectFrom(`${wss}/chat/`).catch(() => undefined);
      if (attempt === undefined) break;
      onTestFinished(() => attempt.stop());
    }
    expect(open).toBeGreaterThan(2);
    expect(open).toBeLessThan(workerConnections / 2);
    await nginx.log.next((line) => line.includes('worker_connections are not enough'));
  });

  test.each([7, 8, 13])('a handshake of version %d passes', async (version) => {
    const app = await RawServer.listen();
    const { nginx } = await behind({ app });
    const peer = securePeer(nginx.port);
    const head = upgradeHead('example.com').replace('/chat?', '/chat/?');
    peer.write(head.replace('Version: 13', `Version: ${version}`));
    const server = await app.accept();
    expect(await server.head()).toContain(`Sec-WebSocket-Version: ${version}`);
    server.write(switchHead());
    expect((await peer.head())[0]).toBe('HTTP/1.1 101 Switching Protocols');
  });

  test.each([
    ['hixie-76', []],
    ['hybi-01', ['Sec-WebSocket-Draft: 2']],
  ])('%s does not work: nginx keeps the key, then reads it as a request', async (generation, more) => {
    const { nginx, records } = await behind({
      yaml: (text) => replaced(text, 'name: chat', 'name: chat\n    websocket: { handshakeTimeout: 1s }'),
    });
    const peer = securePeer(nginx.port);
    const vector = hixieVectors.find(({ name }) => name.startsWith('key3 with'))!;
    peer.write(hixie76Head(vector, 'example.com', more).replace('/socket.io/websocket', '/chat/'));
    peer.writeHex(vector.key3);
    const answers = (await peer.rest()).toString('latin1');
    expect(answers.match(/^HTTP\/1\.1 .*(?=\r)/gm)).toEqual([
      'HTTP/1.1 408 Request Timeout',
      'HTTP/1.1 400 Bad Request',
    ]);
    expect(answers).toContain('HANDSHAKE_KEY_TIMEOUT');
    expect(await records.next()).toMatchObject({
      generation,
      outcome: 'failed(HANDSHAKE_KEY_TIMEOUT)',
    });
  });

  test('Hixie-75 passes, but the head of the answer is another', async () => {
    const app = await RawServer.listen();
    const { nginx } = await behind({ app });
    const peer = securePeer(nginx.port);
    const common = ['Upgrade: WebSocket', 'Connection: Upgrade'];
    peer.write(headOf('GET /chat/ HTTP/1.1', ...common, 'Host: example.com', 'Origin: http://example.com'));
    const server = await app.accept();
    await server.head();
    const status = 'HTTP/1.1 101 Web Socket Protocol Handshake';
    const origin = 'WebSocket-Origin: http://example.com';
    server.write(headOf(status, ...common, origin, 'WebSocket-Location: wss://example.com/chat/'));
    server.writeHex(hixieText('hello'));
    const head = await peer.head();
    expect(head[0]).toBe(status);
    expect(head.slice(1, 5).map((line) => line.replace(/(?<=^(Server|Date):).*/, ''))).toEqual([
      'Server:',
      'Date:',
      'Connection: upgrade',
      'Upgrade: WebSocket',
    ]);
    expect((await peer.take(7)).toString('hex')).toBe(hixieText('hello'));
  });

  test.skipIf(curl.missing)(`the commands of the page${curl.note}`, async () => {
    const { nginx, cwd } = await behind();
    await expectCommands({ nginx, cwd, port: nginx.port, scheme: 'https' });
  });
});

describe.skipIf(need.missing)(`instead of nginx${need.note}`, () => {
  test('plain requests are answered alike', async () => {
    const { nginx, tidegate } = await sideBySide();
    for (const question of questions) {
      const wanted = { question, ...seen(await ask(nginx.port, question)) };
      expect({ question, ...seen(await ask(tidegate.port, question)) }).toEqual(wanted);
    }
  });

  test('what neither can serve has the same status', async () => {
    const { nginx, tidegate } = await sideBySide({ pagesPort: await quietPort() });
    const statuses = async (port: number): Promise<number[]> => {
      const found = [];
      for (const [host, path] of refusals) {
        found.push((await ask(port, { path: path!, headers: { Host: host! } })).status);
      }
      return found;
    };
    expect(await statuses(nginx.port)).toEqual([404, 404, 404, 404, 502, 502]);
    expect(await statuses(tidegate.port)).toEqual([404, 404, 404, 404, 502, 502]);
    const error = await ask(tidegate.port, { path: '/', headers: { Host: 'example.com' } });
    expect(error.body).toMatch(new RegExp(`^${/such as `(502 \w+)`/.exec(page)![1]!}`));
  });

  test('WebSockets: the same servers in the same turn, the same words and codes', async () => {
    const { nginx, tidegate, apps } = await sideBySide();
    const through = async (port: number): Promise<object[]> => {
      const found = [];
      for (let i = 0; i < 8; i++) {
        const host = i % 2 ? 'example.com' : 'www.example.com';
        const protocols = i < 4 ? [] : ['v1.chat', 'v2.chat'];
        const options = { ...from, headers: { Host: host } };
        const open = await running(connectWs(`ws://127.0.0.1:${port}/chat/room?${i}`, protocols, options));
        const name = (await open.messages.next()) as string;
        await expectEcho(open);
        const server = await apps[name as keyof typeof apps].ends.next();
        const [closing, hearing] = i % 2 ? [open, server] : [server, open];
        closing.socket.close(4000 + i, 'enough');
        const { protocol } = open.socket;
        const closed = [await closing.closed, await hearing.closed];
        const { headers, url } = server.request!;
        const told = [headers.host, headers['x-forwarded-for'], headers['x-forwarded-proto'], url];
        found.push({ name, protocol, closed, told });
      }
      return found;
    };
    const wanted = await through(nginx.port);
    expect(wanted.map((one) => (one as { name: string }).name).join(' ')).toBe(
      'chat1 chat1 chat2 chat1 chat1 chat1 chat2 chat1',
    );
    expect(await through(tidegate.port)).toEqual(wanted);
  });

  test('a refused handshake is refused alike', async () => {
    const { nginx, tidegate } = await sideBySide();
    const refusal = async (port: number): Promise<object> => {
      const peer = await RawPeer.connect(port);
      peer.write(upgradeHead('example.com').replace('/chat?', '/chat/refused?'));
      const head = await peer.head();
      return [head[0], head.filter((line) => /^(content|www)-/i.test(line)).sort(), await peer.take(13)];
    };
    expect(await refusal(tidegate.port)).toEqual(await refusal(nginx.port));
  });

  test('what the page says is different', async () => {
    const { nginx, tidegate } = await sideBySide();
    const v1 = { path: '/v1', headers: { Host: 'a.api.example.com' } };
    expect(await ask(nginx.port, v1)).toMatchObject({ status: 301 });
    expect(await ask(tidegate.port, v1)).toMatchObject({ status: 200 });
    const large = { ...v1, path: '/v1/x', method: 'POST', body: 'x'.repeat(1_100_000) };
    expect(await ask(nginx.port, large)).toMatchObject({ status: 413 });
    expect(await ask(tidegate.port, large)).toMatchObject({ status: 200 });
    const index = { path: '/x', headers: { Host: 'example.com' } };
    expect((await ask(nginx.port, index)).headers.server).toMatch(/^nginx/);
    expect((await ask(tidegate.port, index)).headers.server).toBe('app');
  });

  test.skipIf(curl.missing)(`the commands of the page${curl.note}`, async () => {
    const { nginx, tidegate } = await sideBySide();
    await expectCommands({ nginx, cwd: tidegate.cwd, port: tidegate.port, scheme: 'http' });
  });
});

/** Every host and path of the configuration, every kind of answer. */
const questions: readonly Question[] = [
  ...['/', '/x?y=1&z=%20', '/chatter/', '/chat/poll?a', '/chat/%7Euser//x/./y'].flatMap((path) =>
    ['example.com', 'WWW.EXAMPLE.COM', 'example.com:8080'].map((Host) => ({ path, headers: { Host } })),
  ),
  { path: '/status', headers: { Host: 'eu.api.example.com' } },
  { path: '/status?verbose', headers: { Host: 'a.b.api.example.com' } },
  { path: '/v1/', headers: { Host: 'eu.api.example.com' } },
  ...['/v1/teapot', '/v1/moved', '/v1/cached', '/v1/x'].map((path) => ({
    path,
    headers: { Host: 'eu.api.example.com', Cookie: 'c=1; d=2', 'X-Forwarded-For': '192.0.2.66' },
  })),
  { path: '/v1/cached', headers: { Host: 'eu.api.example.com', 'If-None-Match': '"one"' } },
  { path: '/v1/x', method: 'HEAD', headers: { Host: 'eu.api.example.com' } },
  { path: '/v1/x', method: 'DELETE', headers: { Host: 'eu.api.example.com' } },
  { path: '/v1/x', method: 'POST', body: 'x'.repeat(300_000), headers: { Host: 'eu.api.example.com' } },
  { path: '/v1/x', method: 'PUT', body: '', headers: { Host: 'eu.api.example.com' } },
];

const refusals = [
  ['example.org', '/'],
  ['api.example.com', '/v1/'],
  ['eu.api.example.com', '/'],
  ['eu.api.example.com', '/status/x'],
  ['example.com', '/'],
  ['eu.api.example.com', '/status'],
];

/** What a client sees of an answer: not when it was given, and over which connection. */
function seen({ status, headers, body }: Answer): object {
  const {
    date: _date,
    connection: _connection,
    'keep-alive': _keepAlive,
    server: _server,
    ...rest
  } = headers;
  return { status, headers: rest, body };
}

const from = { localAddress: client, rejectUnauthorized: false };

const connectFrom = (url: string): Promise<WsEnd> => connectWs(url, [], from);

/** Words both ways, and the codes of both sides: two closed by the client, two by the server, the servers in turn. */
async function talk(url: string, apps: readonly App[], records: Tidegate['records']): Promise<void> {
  for (const closedBy of ['client', 'upstream'] as const) {
    for (const app of apps) {
      const open = await running(connectFrom(url));
      expect(await open.messages.next()).toBe(app.name);
      await expectEcho(open);
      const server = await app.ends.next();
      const closing = closedBy === 'client' ? open : server;
      closing.socket.close(4000, 'enough');
      for (const end of [open, server]) expect(await end.closed).toEqual({ code: 4000, reason: 'enough' });
      const codes = { closeCodeFromClient: 4000, closeCodeFromUpstream: 4000 };
      expect(await records.next()).toMatchObject({ client, route: 'chat', closedBy, ...codes });
    }
  }
}

async function expectEcho({ socket, messages }: WsEnd): Promise<void> {
  socket.send('grüße ✓');
  await messages.next((message) => message === 'grüße ✓');
  const binary = Buffer.from([0, 255, 128, ...Buffer.alloc(70_000, 7)]);
  socket.send(binary);
  await messages.next((message) => Buffer.isBuffer(message) && binary.equals(message));
}

async function expectHixie76(peer: RawPeer, app: RawServer): Promise<void> {
  const vector = hixieVectors[0]!;
  peer.write(hixie76Head(vector, 'example.com').replace('/socket.io/websocket', '/chat/'));
  peer.writeHex(vector.key3);
  const server = await app.accept();
  await server.head();
  expect((await server.take(8)).toString('hex')).toBe(vector.key3);
  server.write(hixie76Answer('ws://example.com/chat/'));
  server.writeHex(vector.challenge);
  expect((await peer.head())[0]).toBe('HTTP/1.1 101 WebSocket Protocol Handshake');
  expect((await peer.take(16)).toString('hex')).toBe(vector.challenge);
}

function securePeer(port: number): RawPeer {
  return new RawPeer(connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false }));
}

interface Place {
  readonly nginx: Nginx;
  readonly cwd: string;
  /** Of the public side. */
  readonly port: number;
  readonly scheme: 'http' | 'https';
}

/** Each command of the page does what the page says of it, while one WebSocket is open. */
async function expectCommands(place: Place): Promise<void> {
  const url = `${place.scheme === 'https' ? 'wss' : 'ws'}://127.0.0.1:${place.port}/chat/`;
  await running(connectWs(url, [], { ...from, headers: { Host: 'example.com' } }));
  const [nginxTest, check, handshake, connections, ...more] = commands();
  expect(more).toEqual([]);

  expect(nginxTest).toBe('nginx -t');
  const tested = await runCommand(nginxTest!, place);
  expect(tested.stderr).toContain('test is successful');
  expect(tested.stderr).not.toContain('[warn]');
  expect(check).toBe('tidegate check');
  expect(await runCommand(check!, place)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('tidegate.config.yaml is fine') as string,
    stderr: '',
  });
  expect(await runCommand(replaced(handshake!, 'https:', `${place.scheme}:`), place)).toMatchObject({
    code: 28,
    stdout: expect.stringMatching(/^HTTP\/1\.1 101/) as string,
    stderr: expect.stringContaining('timed out') as string,
  });
  expect(connections).toBe('tidegate connections');
  expect(await runCommand(connections!, place)).toMatchObject({
    stderr: '',
    code: 0,
    stdout: expect.stringContaining(client) as string,
  });
}
