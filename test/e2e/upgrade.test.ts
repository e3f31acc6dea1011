/** RFC 6455 and its neighbours through the proxy, byte by byte: what goes upstream, what comes back, what fails. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { deafPort } from '../fixtures/deaf-port.js';
import { startProxy } from '../fixtures/proxy.js';
import { expectRefused, setUp } from '../fixtures/house.js';
import { rawPair, switched } from '../fixtures/raw-pair.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { accept, frames, key, switchHead, upgradeHead } from '../fixtures/rfc6455.js';

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
    await switched(client, backend);
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
    const server = await switched(
      client,
      backend,
      upgradeHead('x', [`Sec-WebSocket-Version: ${version}`], ['Sec-WebSocket-Version']),
    );
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

describe('trouble before the switch', () => {
  test('a refused connection: the next server is tried, then 502', async () => {
    const dead = await RawServer.listen();
    const url = dead.url;
    await dead.stop();
    const backend = await RawServer.listen();
    const proxy = await startProxy([url, backend.url]);
    onTestFinished(() => proxy.stop());
    for (let i = 0; i < 2; i++) {
      await rawPair(proxy.port, backend);
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

  test('a connection that is not made in time: the next server is tried, then 504', async () => {
    const deaf = `http://127.0.0.1:${await deafPort()}`;
    const backend = await RawServer.listen();
    const proxy = await startProxy({
      listeners: ['127.0.0.1:0'],
      upstreams: {
        both: { servers: [deaf, backend.url], connectTimeout: '100ms' },
        deaf: { servers: deaf, connectTimeout: '100ms' },
      },
      routes: [{ match: { path: '/chat' }, to: 'both' }, { to: 'deaf' }],
    });
    onTestFinished(() => proxy.stop());
    const client = await RawPeer.connect(proxy.port);
    client.write(upgradeHead('x'));
    const server = await backend.accept();
    expect((await server.head())[0]).toBe('GET /chat?room=1 HTTP/1.1');
    server.write(switchHead());
    await client.head();
    const other = await RawPeer.connect(proxy.port);
    other.write(upgradeHead('x').replace('/chat', '/other'));
    await expectRefused(other, '504 Gateway Timeout', 'UPSTREAM_CONNECT_TIMEOUT');
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
  await switched(client, backend);
  expect(proxy.sessions).toHaveLength(1);
});
