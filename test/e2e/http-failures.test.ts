import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { ErrorCode } from '../../src/base/errors.js';
import { startBackend, tlsIdentity } from '../fixtures/http-backend.js';
import { startHttpProxy, type HttpProxy, type HttpProxyOptions } from '../fixtures/http-proxy.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { quietPort } from '../fixtures/ports.js';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const POST = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc';

/** Sends a request and expects an error answer with this code on a connection that stays usable. */
async function expectError(proxy: HttpProxy, code: ErrorCode, request = GET): Promise<RawPeer> {
  const client = await RawPeer.connect(proxy.port);
  client.write(request);
  await expectErrorAnswer(client, proxy, code);
  return client;
}

async function expectErrorAnswer(client: RawPeer, proxy: HttpProxy, code: ErrorCode): Promise<void> {
  const head = await client.head();
  const length = Number(head.find((line) => line.startsWith('Content-Length: '))?.slice(16));
  const body = (await client.take(length)).toString();
  const result = await proxy.nextResult();
  expect(result.error?.code).toBe(code);
  expect(head[0]).toContain(`HTTP/1.1 ${result.status} `);
  expect(result.error?.status).toBe(result.status);
  expect(body.startsWith(`${result.status} ${code}\n`)).toBe(true);
  // Where our servers are is not the client's to know.
  expect(body).not.toMatch(/127\.0\.0\.1|localhost|\.sock/);
  expect(result.error?.message).toMatch(/https?:|unix:|upstream/);
}

/** A wire with a backend in the test's hands, after it has read the request's head. */
async function asked(request = GET, options: HttpProxyOptions = {}) {
  const backend = await RawServer.listen();
  const proxy = await startHttpProxy([backend.url], options);
  const client = await RawPeer.connect(proxy.port);
  client.write(request);
  const server = await backend.accept();
  await server.head();
  return { backend, proxy, client, server };
}

describe('no connection', () => {
  test('refused: the next server is asked, and gets the body', async () => {
    const backend = await startBackend((req, res) => void req.pipe(res));
    const proxy = await startHttpProxy([`http://127.0.0.1:${await quietPort()}`, backend.url]);
    const response = await fetch(proxy.url, { method: 'POST', body: 'the body' });
    expect(await response.text()).toBe('the body');
    expect(await proxy.nextResult()).toMatchObject({ status: 200, server: backend.url, bytesFromClient: 8 });
  });

  test('refused by all', async () => {
    const servers = [await quietPort(), await quietPort()].map((port) => `http://127.0.0.1:${port}`);
    const proxy = await startHttpProxy(servers);
    const client = await expectError(proxy, 'UPSTREAM_CONNECT_FAILED', POST);
    // The body was read, so the connection can go on.
    client.write(GET);
    await expectErrorAnswer(client, proxy, 'UPSTREAM_CONNECT_FAILED');
  });

  test('no more servers are tried than retries allow', async () => {
    const backend = await startBackend((_req, res) => res.end());
    const refused = [await quietPort(), await quietPort()].map((port) => `http://127.0.0.1:${port}`);
    const proxy = await startHttpProxy([...refused, backend.url], { upstream: { retries: 1 } });
    await expectError(proxy, 'UPSTREAM_CONNECT_FAILED');
  });

  test('a unix socket that is not there, and one that is', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'app.sock');
    const proxy = await startHttpProxy([`unix:${path}`]);
    await expectError(proxy, 'UPSTREAM_CONNECT_FAILED');
    const server = createServer((req, res) => res.end(req.headers.host));
    await new Promise<void>((resolve) => server.listen(path, resolve));
    onTestFinished(() => void server.close());
    expect(await (await fetch(proxy.url)).text()).toBe(`127.0.0.1:${proxy.port}`);
    server.closeAllConnections();
  });

  test('not taken within connectTimeout: the next server, then 504', async () => {
    const backend = await startBackend((_req, res) => res.end('late'));
    let advances = 1;
    const address = { host: '127.0.0.1', port: backend.port };
    const other = { id: 'other', address, secure: false, host: '127.0.0.1' };
    const proxy = await startHttpProxy([backend.url, other], {
      // In the turn of the request no connection can stand yet.
      onRequest: ({ clock }) => advances-- > 0 && clock.advance(3000),
    });
    expect(await (await fetch(proxy.url)).text()).toBe('late');
    await proxy.nextResult();

    const single = await startHttpProxy([backend.url], { onRequest: ({ clock }) => clock.advance(3000) });
    await expectError(single, 'UPSTREAM_CONNECT_TIMEOUT', POST);
  });

  test('connectTimeout covers the TLS handshake', async () => {
    const mute = await RawServer.listen();
    const proxy = await startHttpProxy([mute.url.replace('http:', 'https:')]);
    const client = await RawPeer.connect(proxy.port);
    client.write(GET);
    await (await mute.accept()).take(1);
    proxy.clock.advance(3000);
    await expectErrorAnswer(client, proxy, 'UPSTREAM_CONNECT_TIMEOUT');
  });

  test('a name that does not exist', async () => {
    // An empty label is refused by the resolver itself, without asking anybody.
    const address = { host: 'no..such', port: 80 };
    const proxy = await startHttpProxy([{ id: 'http://no..such', address, secure: false, host: 'x' }]);
    await expectError(proxy, 'UPSTREAM_NAME_UNRESOLVED');
  });

  test('a certificate that nobody vouches for; trusted, or unverified, it will do', async () => {
    const backend = await startBackend((_req, res) => res.end('secret'), { secure: true });
    await expectError(await startHttpProxy([backend.url]), 'UPSTREAM_TLS_FAILED');
    const trusting = { verify: true, ca: tlsIdentity.cert, serverName: undefined };
    for (const tls of [trusting, { ...trusting, ca: undefined, verify: false }]) {
      const proxy = await startHttpProxy([backend.url], { upstream: { tls } });
      expect(await (await fetch(proxy.url)).text()).toBe('secret');
    }
    const misnamed = await startHttpProxy([backend.url], {
      upstream: { tls: { ...trusting, serverName: 'other.example' } },
    });
    await expectError(misnamed, 'UPSTREAM_TLS_FAILED');
  });

  test('plain HTTP where TLS was expected', async () => {
    const backend = await startBackend((_req, res) => res.end());
    await expectError(await startHttpProxy([backend.url.replace('http:', 'https:')]), 'UPSTREAM_TLS_FAILED');
  });

  test('no server at all', async () => {
    await expectError(await startHttpProxy([]), 'UPSTREAM_UNAVAILABLE');
  });
});

describe('no valid answer', () => {
  test.each(['end', 'reset'] as const)('the server closes before it (%s)', async (how) => {
    const { proxy, client, server } = await asked(POST);
    server[how]();
    await expectErrorAnswer(client, proxy, 'UPSTREAM_CLOSED_EARLY');
  });

  test('the server closes in the middle of its head, or after a 100', async () => {
    for (const bytes of ['HTTP/1.1 200 OK\r\nX: ', 'HTTP/1.1 103 Early Hints\r\n\r\n']) {
      const { proxy, client, server } = await asked();
      server.write(bytes);
      if (bytes.includes('103')) await client.head();
      server.end();
      await expectErrorAnswer(client, proxy, 'UPSTREAM_CLOSED_EARLY');
    }
  });

  test('no head within responseTimeout, 1xx or not', async () => {
    const { proxy, client, server } = await asked(POST, { route: { responseTimeoutMs: 60_000 } });
    server.write('HTTP/1.1 103 Early Hints\r\n\r\n');
    await client.head();
    proxy.clock.advance(59_999);
    expect(client.unread).toHaveLength(0);
    proxy.clock.advance(1);
    await expectErrorAnswer(client, proxy, 'UPSTREAM_ANSWER_TIMEOUT');
    await server.ended;
  });

  test('responseTimeout begins only when the whole request has been sent', async () => {
    const { proxy, client, server } = await asked('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n', {
      route: { responseTimeoutMs: 1000, httpIdleTimeoutMs: 0 },
    });
    client.write('abc');
    await server.until('abc');
    proxy.clock.advance(10_000);
    client.write('def');
    await server.until('def');
    proxy.clock.advance(999);
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect((await client.head())[0]).toBe('HTTP/1.1 200 OK');
    await proxy.nextResult();
  });

  const malformed: Array<[name: string, response: string]> = [
    ['no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
    ['a wrong version', 'HTTP/9.9 200 OK\r\n\r\n'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
    ['a status below 100', 'HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n'],
    ['a space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n'],
    ['an empty field name', 'HTTP/1.1 200 OK\r\n: x\r\n\r\n'],
    ['NUL in a value', 'HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n'],
    ['a bare CR in a value', 'HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n'],
    ['a control character in the phrase', 'HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    ['a length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na'],
    [
      'length and chunks',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'a coding that was not asked for',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a coding without chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc'],
  ];
  test.each(malformed)('malformed: %s', async (_name, response) => {
    const { proxy, client, server } = await asked();
    server.write(Buffer.from(response, 'latin1'));
    await expectErrorAnswer(client, proxy, 'UPSTREAM_ANSWER_MALFORMED');
    await server.ended;
  });

  test('a head larger than maxHeaderBytes', async () => {
    const { proxy, client, server } = await asked(GET, { upstream: { maxHeaderBytes: 8192 } });
    server.write(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(9000)}\r\n\r\n`);
    await expectErrorAnswer(client, proxy, 'UPSTREAM_ANSWER_TOO_LARGE');
  });
});

describe('a response that breaks off', () => {
  async function brokenOff(head: string, body: string, how: 'end' | 'reset', request = GET) {
    const { proxy, client, server } = await asked(request);
    server.write(`${head}\r\n\r\n${body}`);
    await client.head();
    await client.until('par');
    server[how]();
    const rest = (await client.rest()).toString();
    const result = await proxy.nextResult();
    return { rest, ending: client.ending, result };
  }

  test.each(['end', 'reset'] as const)('in chunks (%s): no last chunk', async (how) => {
    const { rest, result } = await brokenOff(
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked',
      '9\r\npar',
      how,
    );
    expect(rest).not.toContain('0\r\n\r\n');
    expect(result).toMatchObject({ status: 200, bytesFromUpstream: 3 });
    expect(result.error?.code).toBe('UPSTREAM_RESPONSE_ABORTED');
  });

  test.each(['end', 'reset'] as const)('with a length (%s): too few bytes', async (how) => {
    const { rest, result } = await brokenOff('HTTP/1.1 200 OK\r\nContent-Length: 9', 'par', how);
    expect(rest).toBe('');
    expect(result.error?.code).toBe('UPSTREAM_RESPONSE_ABORTED');
  });

  test('without a length, by a reset: no last chunk', async () => {
    const { rest, result } = await brokenOff('HTTP/1.1 200 OK', 'par', 'reset');
    expect(rest).not.toContain('0\r\n\r\n');
    expect(result.error?.code).toBe('UPSTREAM_RESPONSE_ABORTED');
  });

  test('without a length, by an end: that is how such a body ends', async () => {
    const { proxy, client, server } = await asked();
    server.write('HTTP/1.1 200 OK\r\n\r\nwhole');
    server.end();
    await client.until('whole\r\n0\r\n\r\n');
    expect((await proxy.nextResult()).error).toBeUndefined();
  });

  test('to an HTTP/1.0 client, whose body ends with its connection: a reset', async () => {
    const { ending, result } = await brokenOff(
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked',
      '9\r\npar',
      'end',
      'GET / HTTP/1.0\r\nHost: a\r\n\r\n',
    );
    expect(ending).toBe('reset');
    expect(result.error?.code).toBe('UPSTREAM_RESPONSE_ABORTED');
  });

  test('by a broken chunk', async () => {
    const { proxy, client, server } = await asked();
    server.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\npar\r\nxyz\r\n');
    const rest = (await client.rest()).toString();
    expect(rest).not.toContain('0\r\n\r\n');
    expect((await proxy.nextResult()).error).toBeDefined();
  });
});

describe('a client that goes away', () => {
  test('while the answer is awaited', async () => {
    const { proxy, client, server } = await asked();
    client.reset();
    await server.ended;
    const result = await proxy.nextResult();
    expect(result).toMatchObject({ status: 499, bytesFromUpstream: 0 });
    expect(result.error?.code).toBe('CLIENT_GONE');
  });

  test('in the middle of its body', async () => {
    const { proxy, client, server } = await asked(
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc',
    );
    await server.until('abc');
    client.destroy();
    await server.ended;
    expect(await proxy.nextResult()).toMatchObject({ status: 499, bytesFromClient: 3 });
  });

  test('with a broken chunk: nothing of it goes on', async () => {
    const { proxy, client, server } = await asked(
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n',
    );
    client.write('3\r\nabc\r\nzzz\r\n');
    await server.ended;
    expect(server.received.toString()).not.toContain('0\r\n\r\n');
    await proxy.nextResult();
  });

  test('in the middle of the answer', async () => {
    const { proxy, client, server } = await asked();
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart');
    await client.until('part');
    client.reset();
    await server.ended;
    const result = await proxy.nextResult();
    expect(result).toMatchObject({ status: 200, bytesFromUpstream: 4 });
    expect(result.error?.code).toBe('CLIENT_GONE');
  });

  test('while a server is being dialled', async () => {
    const mute = await RawServer.listen();
    const proxy = await startHttpProxy([mute.url.replace('http:', 'https:'), mute.url]);
    const client = await RawPeer.connect(proxy.port);
    client.write(POST);
    await (await mute.accept()).take(1);
    client.reset();
    expect((await proxy.nextResult()).status).toBe(499);
    expect(mute.accepted).toHaveLength(1);
  });

  test('with several requests in its pipeline', async () => {
    const backend = await RawServer.listen();
    const proxy = await startHttpProxy([backend.url]);
    const client = await RawPeer.connect(proxy.port);
    client.write(GET.repeat(20));
    for (let i = 0; i < 20; i++) await (await backend.accept()).head();
    client.reset();
    for (let i = 0; i < 20; i++) expect((await proxy.results.next()).status).toBe(499);
    for (const server of backend.accepted) await server.ended;
    expect(proxy.clock.pending).toBe(0);
  });
});

describe('httpIdleTimeout', () => {
  const route = { httpIdleTimeoutMs: 1000, responseTimeoutMs: 5000 };
  const upload = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n';

  test('a client that stops sending: 408', async () => {
    const { proxy, client, server } = await asked(upload, { route });
    client.write('abc');
    await server.until('abc');
    proxy.clock.advance(999);
    client.write('d');
    await server.until('d');
    proxy.clock.advance(999);
    expect(proxy.results.all).toHaveLength(0);
    proxy.clock.advance(1);
    expect((await client.head())[0]).toBe('HTTP/1.1 408 Request Timeout');
    expect((await client.rest()).toString()).toContain('408 REQUEST_BODY_TIMEOUT\n');
    await server.ended;
    client.end();
    expect((await proxy.nextResult()).status).toBe(408);
  });

  test('an upstream that stops reading: 504', async () => {
    const backend = await RawServer.listen({ paused: true });
    let isStalled = () => false;
    const proxy = await startHttpProxy([backend.url], {
      route,
      onRequest: ({ req }) => (isStalled = () => req.isPaused()),
    });
    const client = await RawPeer.connect(proxy.port);
    client.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
    await backend.accept();
    const chunk = Buffer.from(`10000\r\n${'x'.repeat(0x10000)}\r\n`);
    await eventually(() => {
      if (!client.socket.writableNeedDrain) client.write(chunk);
      return isStalled();
    }, 'back-pressure');
    proxy.clock.advance(1000);
    expect((await client.head())[0]).toBe('HTTP/1.1 504 Gateway Timeout');
    await client.until('504 UPSTREAM_ANSWER_TIMEOUT\n');
    client.destroy();
    expect((await proxy.nextResult()).error?.code).toBe('UPSTREAM_ANSWER_TIMEOUT');
  });

  test('an upstream that stops sending: the answer is cut', async () => {
    const { proxy, client, server } = await asked(GET, { route });
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc');
    await client.until('abc');
    proxy.clock.advance(1000);
    await client.rest();
    await server.ended;
    expect((await proxy.nextResult()).error?.code).toBe('UPSTREAM_RESPONSE_ABORTED');
  });

  test('a client that stops reading: cut, and it was the client', async () => {
    const block = Buffer.alloc(0x10000);
    const backend = await startBackend((_req, res) => {
      const more = () => {
        while (res.write(block));
      };
      res.on('drain', more);
      more();
    });
    let isStalled = () => false;
    const proxy = await startHttpProxy([backend.url], {
      route,
      onRequest: ({ res }) => (isStalled = () => res.writableNeedDrain),
    });
    const client = await RawPeer.connect(proxy.port, { paused: true });
    client.write(GET);
    await eventually(() => isStalled(), 'back-pressure');
    proxy.clock.advance(1000);
    expect((await proxy.nextResult()).error?.code).toBe('CLIENT_GONE');
    client.resume();
    await client.ended;
  });

  test('while the answer is awaited only responseTimeout counts', async () => {
    const { proxy, client, server } = await asked(POST, { route });
    await server.until('abc');
    proxy.clock.advance(4999);
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect((await client.head())[0]).toBe('HTTP/1.1 200 OK');
    await proxy.nextResult();
  });

  test('0 is never', async () => {
    const { proxy, client, server } = await asked(GET, { route: { httpIdleTimeoutMs: 0 } });
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc');
    await client.until('abc');
    proxy.clock.advance(1e9);
    server.write('def');
    await client.until('def');
    await proxy.nextResult();
  });
});
