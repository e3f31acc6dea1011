/** Requests that open no WebSocket: broken handshakes are refused at the door, other upgrades are plain HTTP. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { expectRefused, setUp } from '../fixtures/house.js';
import { startProxy } from '../fixtures/proxy.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { headOf, key, switchHead, upgradeHead } from '../fixtures/rfc6455.js';

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

  test('what follows a refused request in the same packet is not acted on', async () => {
    const { backend, client } = await setUp();
    const fine = headOf('GET /next HTTP/1.1', 'Host: x');
    client.write(headOf('GET / HTTP/1.1', 'Host: x', 'Host: y') + fine + fine);
    const answer = (await client.rest()).toString();
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 400']);
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
