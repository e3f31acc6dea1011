/** What an upstream may answer to a handshake: false switches open nothing, real HTTP answers pass whole. */
import { describe, expect, test } from 'vitest';
import { expectRefused, setUp } from '../fixtures/house.js';
import { accept, frames, headOf, switchHead, upgradeHead } from '../fixtures/rfc6455.js';

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
