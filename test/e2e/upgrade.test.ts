/** RFC 6455 and its neighbours through the proxy, byte by byte: what goes upstream, what comes back, what is refused. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ConfigInput } from '../../src/config/schema.js';
import { startProxy, type RunningProxy } from '../fixtures/proxy.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { accept, frames, headOf, key, switchHead, upgradeHead } from '../fixtures/rfc6455.js';

interface House {
  readonly proxy: RunningProxy;
  readonly backend: RawServer;
  readonly client: RawPeer;
}

async function setUp(websocket: object = {}, more: Partial<ConfigInput> = {}): Promise<House> {
  const backend = await RawServer.listen();
  const routes = [{ to: backend.url, websocket }];
  const proxy = await startProxy({ listeners: ['127.0.0.1:0'], routes, ...more });
  onTestFinished(() => proxy.stop());
  return { proxy, backend, client: await RawPeer.connect(proxy.port) };
}

/** Expects a refusal of ours: its status line and code; returns the whole answer. */
async function expectRefused(client: RawPeer, status: string, code: string): Promise<string> {
  const answer = (await client.rest()).toString('latin1');
  expect(answer.split('\r\n')[0]).toBe(`HTTP/1.1 ${status}`);
  expect(answer).toContain(code);
  return answer;
}

describe('an RFC 6455 session', () => {
  test('fields go up as sent, hop-by-hop mended, ours added; the answer comes back as it is', async () => {
    const { proxy, backend, client } = await setUp();
    client.write(
      upgradeHead('chat.example:8080', [
        'Sec-WebSocket-Protocol: chat, superchat',
        'Sec-WebSocket-Protocol: v3',
        'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, permessage-deflate',
        'COOKIE: a=1',
        'Keep-Alive: timeout=5',
        'Proxy-Authorization: Basic eDp5',
        'X-Forwarded-For: 6.6.6.6',
        'Forwarded: for=6.6.6.6',
      ]),
    );
    const server = await backend.accept();
    expect(await server.head()).toEqual([
      'GET /chat?room=1 HTTP/1.1',
      'Host: chat.example:8080',
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Origin: http://example.com',
      'Sec-WebSocket-Version: 13',
      `Sec-WebSocket-Key: ${key}`,
      'Sec-WebSocket-Protocol: chat, superchat',
      'Sec-WebSocket-Protocol: v3',
      'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, permessage-deflate',
      'COOKIE: a=1',
      'X-Forwarded-For: 127.0.0.1',
      'X-Forwarded-Proto: http',
      'X-Forwarded-Host: chat.example:8080',
    ]);
    server.write(
      switchHead(
        'Sec-WebSocket-Protocol: superchat',
        'Sec-WebSocket-Extensions: permessage-deflate',
        'Set-Cookie: a=1',
        'Set-Cookie: b=2',
        'Keep-Alive: timeout=5',
        'Alt-Svc: h3=":443"',
      ),
    );
    expect(await client.head()).toEqual([
      'HTTP/1.1 101 Switching Protocols',
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Accept: ${accept}`,
      'Sec-WebSocket-Protocol: superchat',
      'Sec-WebSocket-Extensions: permessage-deflate',
      'Set-Cookie: a=1',
      'Set-Cookie: b=2',
    ]);
    client.writeHex(frames.maskedHello);
    expect((await server.take(11)).toString('hex')).toBe(frames.maskedHello);
    server.writeHex(frames.hello);
    expect((await client.take(7)).toString('hex')).toBe(frames.hello);
    server.writeHex(frames.close1001);
    await client.take(4);
    client.writeHex(frames.maskedClose1001);
    await server.take(8);
    server.end();
    await client.ended;
    client.end();
    const { durationMs, handshakeMs, time, ...record } = await proxy.nextRecord();
    expect(record).toEqual({
      client: '127.0.0.1',
      method: 'GET',
      host: 'chat.example:8080',
      path: '/chat',
      status: 101,
      via: 'h1',
      generation: 'rfc6455',
      subprotocol: 'superchat',
      route: 'routes[0]',
      upstream: backend.url,
      server: backend.url,
      bytesFromClient: 19,
      bytesFromUpstream: 11,
      messagesFromClient: 1,
      messagesFromUpstream: 1,
      closeCodeFromClient: 1001,
      closeCodeFromUpstream: 1001,
      closedBy: 'upstream',
      outcome: 'upstream-closed',
    });
    expect(durationMs).toBeGreaterThanOrEqual(handshakeMs!);
    expect(new Date(time).toISOString()).toBe(time);
  });

  test('a first frame in the packet of the 101, and client frames sent before it', async () => {
    const { backend, client } = await setUp();
    client.write(
      Buffer.concat([Buffer.from(upgradeHead('x'), 'latin1'), Buffer.from(frames.maskedHello, 'hex')]),
    );
    const server = await backend.accept();
    await server.head();
    await client.writeSlowly([Buffer.from(frames.maskedHello, 'hex')]);
    expect(server.unread).toHaveLength(0);
    server.write(Buffer.concat([Buffer.from(switchHead(), 'latin1'), Buffer.from(frames.hello, 'hex')]));
    await client.head();
    expect((await client.take(7)).toString('hex')).toBe(frames.hello);
    expect((await server.take(22)).toString('hex')).toBe(frames.maskedHello.repeat(2));
  });

  test('an answer split at every byte', async () => {
    const { backend, client } = await setUp();
    client.write(upgradeHead('x'));
    const server = await backend.accept();
    await server.head();
    const bytes = Buffer.concat([Buffer.from(switchHead(), 'latin1'), Buffer.from(frames.hello, 'hex')]);
    await server.writeSlowly(Array.from(bytes, (byte) => Buffer.of(byte)));
    expect((await client.head())[0]).toBe('HTTP/1.1 101 Switching Protocols');
    expect((await client.take(7)).toString('hex')).toBe(frames.hello);
  });

  test('early client frames beyond maxEarlyBytes hold the client back, and none is lost', async () => {
    const { backend, client } = await setUp({ maxEarlyBytes: '1KiB' });
    const early = Buffer.alloc(2 ** 20, 'x');
    client.write(upgradeHead('x'));
    client.write(early);
    const server = await backend.accept();
    await server.head();
    server.write(switchHead());
    await client.head();
    expect((await server.take(early.length)).equals(early)).toBe(true);
  });

  test('100 Continue and 103 Early Hints before the switch are passed on', async () => {
    const { backend, client } = await setUp();
    client.write(upgradeHead('x'));
    const server = await backend.accept();
    await server.head();
    server.write('HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n');
    expect(await client.head()).toEqual(['HTTP/1.1 103 Early Hints', 'Link: </a.css>']);
    server.write(switchHead());
    expect((await client.head())[0]).toBe('HTTP/1.1 101 Switching Protocols');
  });

  test('a second handshake on a kept-alive connection', async () => {
    const { backend, client } = await setUp();
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const first = await backend.accept();
    await first.head();
    first.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    await client.until('ok');
    client.write(upgradeHead('x'));
    const second = await backend.accept();
    await second.head();
    second.write(switchHead());
    expect((await client.head())[0]).toBe('HTTP/1.1 101 Switching Protocols');
    // The pooled connection of the first request was not used for the upgrade.
    expect(first.unread).toHaveLength(0);
  });

  test.each([
    ['7', 'hybi-07', 1],
    ['8', 'hybi-08', 1],
    ['6', 'hybi-04', undefined],
    ['99', 'unknown', undefined],
  ])('version %s is tunnelled as %s when the switch is proven', async (version, generation, messages) => {
    const { proxy, backend, client } = await setUp();
    client.write(upgradeHead('x', [`Sec-WebSocket-Version: ${version}`], ['Sec-WebSocket-Version']));
    const server = await backend.accept();
    await server.head();
    server.write(switchHead());
    await client.head();
    client.writeHex(frames.maskedHello);
    expect((await server.take(11)).toString('hex')).toBe(frames.maskedHello);
    client.end();
    await server.ended;
    server.end();
    const record = await proxy.nextRecord();
    expect(record).toMatchObject({ generation, bytesFromClient: 11 });
    expect(record.messagesFromClient).toBe(messages);
  });
});

describe('a false 101 is a 502, and both sockets are closed', () => {
  test.each([
    ['wrong accept', switchHead().replace(accept, `${accept.slice(0, -2)}x=`)],
    ['missing accept', switchHead().replace(`Sec-WebSocket-Accept: ${accept}\r\n`, '')],
    ['accept given twice', switchHead(`Sec-WebSocket-Accept: ${accept}`)],
    ['no Upgrade', switchHead().replace('Upgrade: websocket\r\n', '')],
    ['Upgrade: h2c', switchHead().replace('Upgrade: websocket', 'Upgrade: h2c')],
    ['Upgrade: websocket, h2c', switchHead().replace('Upgrade: websocket', 'Upgrade: websocket, h2c')],
    ['no Connection: upgrade', switchHead().replace('Connection: Upgrade', 'Connection: keep-alive')],
    ['HTTP/1.0', switchHead().replace('HTTP/1.1', 'HTTP/1.0')],
    ['a subprotocol that was not offered', switchHead('Sec-WebSocket-Protocol: other')],
    ['two subprotocols', switchHead('Sec-WebSocket-Protocol: chat', 'Sec-WebSocket-Protocol: chat')],
    ['an extension that was not offered', switchHead('Sec-WebSocket-Extensions: permessage-deflate')],
  ])('%s', async (_name, answer) => {
    const { proxy, backend, client } = await setUp();
    client.write(upgradeHead('x', ['Sec-WebSocket-Protocol: chat']));
    client.writeHex(frames.maskedHello);
    const server = await backend.accept();
    await server.head();
    server.write(answer);
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret');
    const text = await expectRefused(client, '502 Bad Gateway', 'UPSTREAM_SWITCH_INVALID');
    expect(text).not.toContain('secret');
    await server.closed;
    expect(server.unread).toHaveLength(0);
    expect(await proxy.nextRecord()).toMatchObject({
      status: 502,
      outcome: 'failed(UPSTREAM_SWITCH_INVALID)',
    });
  });

  test.each([
    ['a bare LF', 'HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\n\n', 'UPSTREAM_ANSWER_MALFORMED'],
    [
      'a folded header',
      headOf('HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', ' x'),
      'UPSTREAM_ANSWER_MALFORMED',
    ],
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n', 'UPSTREAM_ANSWER_MALFORMED'],
    ['an endless head', `HTTP/1.1 101 x\r\nA: ${'a'.repeat(70_000)}`, 'UPSTREAM_ANSWER_TOO_LARGE'],
  ])('%s instead of a head', async (_name, answer, code) => {
    const { backend, client } = await setUp();
    client.write(upgradeHead('x'));
    const server = await backend.accept();
    await server.head();
    server.write(answer);
    await expectRefused(client, '502 Bad Gateway', code);
    await server.closed;
  });
});

describe('a real HTTP answer is passed on whole', () => {
  test.each([
    [
      '401 with a length',
      'HTTP/1.1 401 Unauthorized',
      ['WWW-Authenticate: Basic', 'Content-Length: 5'],
      'login',
      'login',
    ],
    [
      '302 with cookies',
      'HTTP/1.1 302 Found',
      ['Location: /login', 'Set-Cookie: a=1', 'Set-Cookie: b=2', 'Content-Length: 0'],
      '',
      '',
    ],
    [
      '200 in chunks',
      'HTTP/1.1 200 OK',
      ['Transfer-Encoding: chunked'],
      '5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n',
      '5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n',
    ],
    ['204', 'HTTP/1.1 204 No Content', ['X-A: 1'], 'HTTP/1.1 200 OK\r\n\r\n', ''],
    ['503 without anything', 'HTTP/1.1 503 Down', ['Content-Length: 0'], '', ''],
  ])('%s', async (_name, status, fields, sent, body) => {
    const { proxy, backend, client } = await setUp();
    client.write(upgradeHead('x'));
    client.writeHex(frames.maskedHello);
    const server = await backend.accept();
    await server.head();
    server.write(headOf(status, ...fields, 'Keep-Alive: timeout=5', 'Connection: keep-alive') + sent);
    const head = await client.head();
    expect(head[0]).toBe(status);
    for (const field of fields) expect(head).toContain(field);
    expect(head).toContain('Connection: close');
    expect(head.join('\n')).not.toMatch(/keep-alive/i);
    // The connection ends, and what the client had sent behind its handshake went nowhere.
    client.write('GET /internal HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await client.rest()).toString()).toBe(body);
    await server.ended;
    expect(server.unread).toHaveLength(0);
    expect(backend.accepted).toHaveLength(1);
    expect((await proxy.nextRecord()).status).toBe(Number(status.split(' ')[1]));
  });

  test('a body until the end of the connection', async () => {
    const { backend, client } = await setUp();
    client.write(upgradeHead('x'));
    const server = await backend.accept();
    await server.head();
    server.write('HTTP/1.1 500 Oops\r\n\r\nfirst, ');
    await client.until('first, ');
    server.write('last');
    server.end();
    expect((await client.rest()).toString()).toBe('last');
  });

  test('a 426 keeps the Upgrade and the versions it names', async () => {
    const { backend, client } = await setUp();
    client.write(upgradeHead('x', ['Sec-WebSocket-Version: 99'], ['Sec-WebSocket-Version']));
    const server = await backend.accept();
    await server.head();
    server.write(
      'HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n',
    );
    const head = await client.head();
    expect(head).toEqual(expect.arrayContaining(['Upgrade: websocket', 'Sec-WebSocket-Version: 13']));
    expect(head).toContain('Connection: Upgrade, close');
  });

  test('one that breaks off in the middle does not look whole', async () => {
    const { proxy, backend, client } = await setUp();
    client.write(upgradeHead('x'));
    const server = await backend.accept();
    await server.head();
    server.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nhalf');
    await client.until('half');
    server.end();
    expect(await client.ended).toBe('reset');
    expect(await proxy.nextRecord()).toMatchObject({
      status: 403,
      outcome: 'failed(UPSTREAM_RESPONSE_ABORTED)',
    });
  });

  test('one whose end two readers could see in two places is refused', async () => {
    const { backend, client } = await setUp();
    client.write(upgradeHead('x'));
    const server = await backend.accept();
    await server.head();
    server.write(
      'HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    );
    await expectRefused(client, '502 Bad Gateway', 'UPSTREAM_ANSWER_MALFORMED');
  });

  test('a large one to a client that reads slowly is held back, and arrives whole', async () => {
    const { backend, client } = await setUp();
    const body = Buffer.alloc(8 * 2 ** 20, 'b');
    client.write(upgradeHead('x'));
    const server = await backend.accept();
    await server.head();
    server.write(`HTTP/1.1 403 Forbidden\r\nContent-Length: ${body.length}\r\n\r\n`);
    await client.head();
    client.pause();
    server.write(body);
    client.resume();
    expect((await client.take(body.length)).equals(body)).toBe(true);
    expect(await client.ended).toBe('end');
  });
});

describe('what is no handshake never reaches a backend', () => {
  test.each([
    [
      'no key',
      upgradeHead('x', [], ['Sec-WebSocket-Key']),
      '400 Bad Request',
      'Sec-WebSocket-Key must be given',
    ],
    [
      'a short key',
      upgradeHead('x', ['Sec-WebSocket-Key: c2hvcnQ='], ['Sec-WebSocket-Key']),
      '400 Bad Request',
      'Sec-WebSocket-Key must be given',
    ],
    [
      'two keys',
      upgradeHead('x', [`Sec-WebSocket-Key: ${key}`]),
      '400 Bad Request',
      'Sec-WebSocket-Key must be given',
    ],
    [
      'no version',
      upgradeHead('x', [], ['Sec-WebSocket-Version']),
      '400 Bad Request',
      'Sec-WebSocket-Version must be given',
    ],
    [
      'version 13, 8',
      upgradeHead('x', ['Sec-WebSocket-Version: 13, 8'], ['Sec-WebSocket-Version']),
      '400 Bad Request',
      'Sec-WebSocket-Version must be given',
    ],
    [
      'nothing of a WebSocket but Upgrade',
      headOf('GET / HTTP/1.1', 'Host: x', 'Connection: upgrade', 'Upgrade: websocket'),
      '400 Bad Request',
      'are missing',
    ],
    [
      'keys of two generations',
      upgradeHead('x', ['Sec-WebSocket-Key1: 1 2']),
      '400 Bad Request',
      'exclude each other',
    ],
    [
      'broken extensions',
      upgradeHead('x', ['Sec-WebSocket-Extensions: a b']),
      '400 Bad Request',
      'Sec-WebSocket-Extensions',
    ],
    ['a body', `${upgradeHead('x', ['Content-Length: 5'])}hello`, '400 Bad Request', 'HANDSHAKE_BODY'],
    [
      'a chunked body',
      `${upgradeHead('x', ['Transfer-Encoding: chunked'])}0\r\n\r\n`,
      '400 Bad Request',
      'HANDSHAKE_BODY',
    ],
    [
      '8 bytes that no generation has',
      `${upgradeHead('x', ['Content-Length: 8'])}12345678`,
      '400 Bad Request',
      'HANDSHAKE_BODY',
    ],
    ['two hosts', upgradeHead('x', ['Host: y']), '400 Bad Request', 'REQUEST_HOST_INVALID'],
    ['a strange host', upgradeHead('a b'), '400 Bad Request', 'REQUEST_HOST_INVALID'],
    ['a fragment', upgradeHead('x').replace('/chat', '/chat#x'), '400 Bad Request', 'REQUEST_HEAD_MALFORMED'],
    ['a NUL in a value', upgradeHead('x', ['X-A: a\0b']), '400 Bad Request', 'REQUEST_HEAD_MALFORMED'],
    ['a bare CR', upgradeHead('x', ['X-A: a\rb']), '400 Bad Request', 'REQUEST_HEAD_MALFORMED'],
    [
      'a space before the colon',
      upgradeHead('x', ['Transfer-Encoding : chunked']),
      '400 Bad Request',
      'REQUEST_HEAD_MALFORMED',
    ],
    [
      'a head too large',
      upgradeHead('x', [`X-A: ${'a'.repeat(20_000)}`]),
      '431 Request Header Fields Too Large',
      'REQUEST_HEAD_TOO_LARGE',
    ],
    [
      'CONNECT',
      headOf('CONNECT internal:80 HTTP/1.1', 'Host: internal:80'),
      '501 Not Implemented',
      'REQUEST_METHOD_UNSUPPORTED',
    ],
  ])('%s', async (_name, request, status, says) => {
    const { proxy, backend, client } = await setUp();
    client.write(request);
    await expectRefused(client, status, says);
    expect(backend.accepted).toHaveLength(0);
    expect((await proxy.nextRecord()).status).toBe(Number(status.split(' ')[0]));
  });

  test('a generation that the route does not take: 426, with what it takes', async () => {
    const { backend, client } = await setUp({ generations: ['rfc6455'] });
    client.write(upgradeHead('x', ['Sec-WebSocket-Version: 8'], ['Sec-WebSocket-Version']));
    const answer = await expectRefused(
      client,
      '426 Upgrade Required',
      'hybi-08 is not taken here; taken: rfc6455',
    );
    expect(answer).toMatch(/\r\nUpgrade: websocket\r\n/);
    expect(answer).toMatch(/\r\nSec-WebSocket-Version: 13\r\n/);
    expect(backend.accepted).toHaveLength(0);
  });

  test('no route: 404', async () => {
    const { client } = await setUp({}, { routes: [{ match: { path: '/other' }, to: 'http://127.0.0.1:1' }] });
    client.write(upgradeHead('x'));
    await expectRefused(client, '404 Not Found', 'ROUTE_NOT_FOUND');
  });

  test('an absolute target names the Host, and is never dialled', async () => {
    const { backend, client } = await setUp();
    client.write(upgradeHead('x').replace('/chat?room=1', 'http://169.254.169.254/latest?x'));
    const head = await (await backend.accept()).head();
    expect(head[0]).toBe('GET /latest?x HTTP/1.1');
    expect(head).toContain('Host: 169.254.169.254');
  });
});

describe('what is no WebSocket upgrade is plain HTTP, its token removed', () => {
  const wants = (name: string, request: string) => ({ name, request });
  test.each([
    wants(
      'h2c',
      headOf(
        'GET /a HTTP/1.1',
        'Host: x',
        'Connection: Upgrade, HTTP2-Settings, X-Gone',
        'Upgrade: h2c',
        'HTTP2-Settings: AAMAAABkAAQAAP__',
        'X-Gone: 1',
      ),
    ),
    wants('another token', headOf('GET /a HTTP/1.1', 'Host: x', 'Connection: upgrade', 'Upgrade: TLS/1.0')),
    wants(
      'POST',
      headOf(
        'POST /a HTTP/1.1',
        'Host: x',
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        `Sec-WebSocket-Key: ${key}`,
        'Content-Length: 0',
      ),
    ),
    wants(
      'HTTP/1.0',
      headOf(
        'GET /a HTTP/1.0',
        'Host: x',
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        `Sec-WebSocket-Key: ${key}`,
      ),
    ),
    wants('Upgrade without Connection', headOf('GET /a HTTP/1.1', 'Host: x', 'Upgrade: websocket')),
  ])('$name', async ({ request }) => {
    const { backend, client } = await setUp();
    client.write(request);
    const server = await backend.accept();
    const head = await server.head();
    expect(head[0]).toMatch(/^(GET|POST) \/a HTTP\/1\.1$/);
    expect(head.join('\n')).not.toMatch(/^(upgrade|http2-settings|x-gone):|connection:.*upgrade/im);
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    expect((await client.head())[0]).toBe('HTTP/1.1 200 OK');
    expect((await client.take(2)).toString()).toBe('ok');
  });

  test('with its body, and the connection goes on', async () => {
    const { backend, client } = await setUp();
    client.write(
      headOf('POST /a HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: h2c', 'Content-Length: 5'),
    );
    await client.writeSlowly(['he', 'llo']);
    const server = await backend.accept();
    await server.until('hello');
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    await client.until('ok');
    client.write('GET /b HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await server.head())[0]).toBe('GET /b HTTP/1.1');
  });

  test.each(['POST', 'GET'])('a 101 that nobody asked for is a 502 (%s)', async (method) => {
    const { backend, client } = await setUp();
    client.write(
      headOf(`${method} /a HTTP/1.1`, 'Host: x', 'Connection: Upgrade', 'Upgrade: h2c', 'Content-Length: 0'),
    );
    const server = await backend.accept();
    await server.head();
    server.write(switchHead());
    await expectRefused(client, '502 Bad Gateway', 'UPSTREAM_SWITCH_UNEXPECTED');
    await server.ended;
  });

  test('on a route that takes no WebSockets', async () => {
    const backend = await RawServer.listen();
    const proxy = await startProxy({
      listeners: ['127.0.0.1:0'],
      routes: [{ to: backend.url, websocket: false }],
    });
    onTestFinished(() => proxy.stop());
    const client = await RawPeer.connect(proxy.port);
    client.write(upgradeHead('x'));
    const server = await backend.accept();
    expect((await server.head()).join('\n')).not.toMatch(/^upgrade:/im);
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    await client.until('ok');
  });
});

describe('trouble before the switch', () => {
  test('a refused connection: the next server is tried, then 502', async () => {
    const dead = await RawServer.listen();
    const url = dead.url;
    await dead.stop();
    const backend = await RawServer.listen();
    const proxy = await startProxy([url, backend.url]);
    onTestFinished(() => proxy.stop());
    for (let i = 0; i < 2; i++) {
      const client = await RawPeer.connect(proxy.port);
      client.write(upgradeHead('x'));
      const server = await backend.accept();
      await server.head();
      server.write(switchHead());
      await client.head();
    }
    await backend.stop();
    const client = await RawPeer.connect(proxy.port);
    client.write(upgradeHead('x'));
    const answer = await expectRefused(client, '502 Bad Gateway', 'UPSTREAM_CONNECT_FAILED');
    expect(answer).not.toContain(url.slice('http://'.length));
  });

  test('closed before the answer: the next server gets the whole offer', async () => {
    const first = await RawServer.listen();
    const second = await RawServer.listen();
    const proxy = await startProxy([first.url, second.url]);
    onTestFinished(() => proxy.stop());
    const client = await RawPeer.connect(proxy.port);
    client.write(upgradeHead('x'));
    (await first.accept()).end();
    const server = await second.accept();
    expect((await server.head())[0]).toBe('GET /chat?room=1 HTTP/1.1');
    server.write(switchHead());
    await client.head();
  });

  test('no answer in time: 504, and the backend is let go', async () => {
    const { backend, client } = await setUp({ handshakeTimeout: '100ms' });
    client.write(upgradeHead('x'));
    const server = await backend.accept();
    await expectRefused(client, '504 Gateway Timeout', 'UPSTREAM_ANSWER_TIMEOUT');
    expect(await server.ended).toBe('reset');
  });

  test.each(['end', 'reset'] as const)(
    'the client goes (%s) while the answer is awaited: the backend is let go',
    async (how) => {
      const { proxy, backend, client } = await setUp();
      client.write(upgradeHead('x'));
      const server = await backend.accept();
      await server.head();
      client[how]();
      await server.ended;
      expect(await proxy.nextRecord()).toMatchObject({ status: 499, outcome: 'failed(CLIENT_GONE)' });
    },
  );

  test('a name that cannot be resolved', async () => {
    const proxy = await startProxy('http://nowhere.invalid:80');
    onTestFinished(() => proxy.stop());
    const client = await RawPeer.connect(proxy.port);
    client.write(upgradeHead('x'));
    await expectRefused(client, '502 Bad Gateway', 'UPSTREAM_NAME_UNRESOLVED');
  });

  test('a head that never ends is cut off in time', async () => {
    const backend = await RawServer.listen();
    const proxy = await startProxy({
      listeners: [{ address: '127.0.0.1:0', headerTimeout: '200ms' }],
      routes: [{ to: backend.url }],
    });
    onTestFinished(() => proxy.stop());
    const client = await RawPeer.connect(proxy.port);
    client.write('GET / HTTP/1.1\r\nHost: x\r\n');
    await expectRefused(client, '408 Request Timeout', 'REQUEST_HEAD_TIMEOUT');
  });
});

test('a server that is attached to somebody else’s http.Server takes handshakes there', async () => {
  const backend = await RawServer.listen();
  const { createProxy } = await import('../../src/server/proxy.js');
  const proxy = createProxy({ routes: [{ to: backend.url }] });
  const server = createServer((_req, res) => res.end('mine'));
  proxy.attach(server, { requests: false });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    await proxy.stop({ timeoutMs: 0 });
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const plain = await RawPeer.connect(port);
  plain.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  expect((await plain.rest()).toString()).toContain('mine');
  const client = await RawPeer.connect(port);
  client.write(upgradeHead('x'));
  const upstream = await backend.accept();
  await upstream.head();
  upstream.write(switchHead());
  expect((await client.head())[0]).toBe('HTTP/1.1 101 Switching Protocols');
  expect(proxy.sessions).toHaveLength(1);
});
