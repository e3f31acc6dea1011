/** Servers of HTTP/2: plain requests go to them as streams of one connection, whatever the client speaks. */
import type { ServerHttp2Stream } from 'node:http2';
import { addAbortSignal } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { Http2Backend } from '../fixtures/http2-backend.js';
import {
  DATA,
  dataFrame,
  END_STREAM,
  type FramePeer,
  FrameServer,
  goawayFrame,
  HEADERS,
  okFrame,
  PING,
  resetFrame,
  statusFrame,
  WINDOW_UPDATE,
} from '../fixtures/http2-frames.js';
import { Http2Client } from '../fixtures/http2-client.js';
import { refusedPort, startBackend, tlsIdentity } from '../fixtures/http-backend.js';
import { startHttpProxy, type HttpProxy, type HttpProxyOptions } from '../fixtures/http-proxy.js';
import { Inbox } from '../fixtures/inbox.js';
import { localhostCa } from '../fixtures/peers/http2-ws.js';
import { startProxy } from '../fixtures/proxy.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { running } from '../fixtures/running.js';

const GET = 'GET /a?b=c HTTP/1.1\r\nHost: app.example:81\r\n\r\n';
const POST = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc';
const CHUNKED = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
const CANCEL = 8;
const REFUSED_STREAM = 7;
const MiB = 1024 * 1024;

/** A proxy whose connections to servers do not end by a timer: `nextResult` counts timers. */
function startH2(servers: readonly string[], { upstream, ...more }: HttpProxyOptions = {}) {
  return startHttpProxy(servers, { upstream: { http2: true, keepAliveTimeoutMs: 0, ...upstream }, ...more });
}

async function house(
  answer?: (stream: ServerHttp2Stream) => void,
  options: HttpProxyOptions = {},
): Promise<{ backend: Http2Backend; proxy: HttpProxy; client: RawPeer }> {
  const backend = await Http2Backend.start(answer);
  const proxy = await startH2([backend.url], options);
  return { backend, proxy, client: await RawPeer.connect(proxy.port) };
}

/** Half an exchange, with the server’s frames in the test’s hands. */
async function asked(request = GET, options: HttpProxyOptions = {}) {
  const backend = await FrameServer.listen();
  const proxy = await startH2([backend.url], options);
  const client = await RawPeer.connect(proxy.port);
  client.write(request);
  const server = await backend.accept();
  const { stream } = await server.next(HEADERS);
  return { backend, proxy, client, server, stream };
}

async function expectError(client: RawPeer, proxy: HttpProxy, code: string): Promise<void> {
  const head = await client.head();
  const { error, status } = await proxy.nextResult();
  expect(error?.code).toBe(code);
  expect(head[0]).toContain(`HTTP/1.1 ${status} `);
}

describe('heads', () => {
  test('fields go out in the words of HTTP/2, and come back in those of HTTP/1.1', async () => {
    const { backend, proxy, client } = await house((stream) => {
      stream.respond({ ':status': 404, 'set-cookie': ['a=1', 'b=2'], 'x-high': 'gr\xfc\xdfe' });
      stream.end('nothing');
    });
    client.write(
      'GET /a?b=%20c HTTP/1.1\r\nHost: app.example:81\r\nConnection: X-Own, keep-alive\r\nX-Own: 1\r\n' +
        'Keep-Alive: timeout=5\r\nTE: trailers, deflate\r\nCookie: a=1\r\nCookie: b=2\r\n' +
        'X-Twice: 1\r\nx-twice: 2\r\nX-High: gr\xfc\xdfe\r\nUpgrade: h2c\r\n\r\n',
    );
    const { raw } = await backend.asked.next();
    expect(pairs(raw)).toEqual([
      ':method: GET',
      ':scheme: http',
      ':authority: app.example:81',
      ':path: /a?b=%20c',
      'cookie: a=1; b=2',
      'x-twice: 1, 2',
      'x-high: gr\xfc\xdfe',
      'te: trailers',
    ]);
    const head = await client.head();
    expect(head[0]).toBe('HTTP/1.1 404 Not Found');
    expect(head).toEqual(
      expect.arrayContaining([
        'set-cookie: a=1',
        'set-cookie: b=2',
        'x-high: gr\xfc\xdfe',
        'Transfer-Encoding: chunked',
      ]),
    );
    await client.until('7\r\nnothing\r\n0\r\n\r\n');
    expect(await proxy.nextResult()).toEqual({
      status: 404,
      server: backend.url,
      bytesFromClient: 0,
      bytesFromUpstream: 7,
    });
    expect([...proxy.upstream.pool.servers][0]?.load).toBe(0);
  });

  test('HEAD, 204, 304, a known length, and none', async () => {
    const backend = await Http2Backend.start((stream, fields) => {
      const [, status, length] = fields[':path']!.split('/');
      const head = {
        ':status': Number(status),
        ...(length !== undefined && { 'content-length': Number(length) }),
      };
      const hasBody = fields[':method'] === 'GET' && Number(length) > 0 && status === '200';
      stream.respond(head, { endStream: !hasBody });
      if (hasBody) stream.end('x'.repeat(Number(length)));
    });
    const plain = await startH2([backend.url]);
    const peer = await RawPeer.connect(plain.port);
    const ask = async (method: string, path: string): Promise<string[]> => {
      peer.write(`${method} ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const head = await peer.head();
      expect((await plain.nextResult()).error).toBeUndefined();
      return head.filter((line) => !/^(date|Connection|Keep-Alive): /.test(line));
    };
    expect(await ask('HEAD', '/200/5')).toEqual(['HTTP/1.1 200 OK', 'content-length: 5']);
    expect(await ask('GET', '/204')).toEqual(['HTTP/1.1 204 No Content']);
    expect(await ask('GET', '/304/7')).toEqual(['HTTP/1.1 304 Not Modified', 'content-length: 7']);
    expect(await ask('GET', '/200')).toEqual(['HTTP/1.1 200 OK', 'Content-Length: 0']);
    expect(await ask('GET', '/200/3')).toEqual(['HTTP/1.1 200 OK', 'content-length: 3']);
    expect((await peer.take(3)).toString()).toBe('xxx');
    expect(peer.unread).toHaveLength(0);
  });

  test('early hints go before the answer, and 100 as it was asked for', async () => {
    const { backend, proxy, client } = await house();
    client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n');
    const { stream, fields } = await backend.asked.next();
    expect(fields).toMatchObject({ expect: '100-continue', 'content-length': '3' });
    stream.additionalHeaders({ ':status': 103, link: '</a.css>; rel=preload' });
    expect(await client.head()).toEqual(['HTTP/1.1 103 Early Hints', 'link: </a.css>; rel=preload']);
    stream.additionalHeaders({ ':status': 100 });
    expect(await client.head()).toEqual(['HTTP/1.1 100 Continue']);
    client.write('abc');
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
    expect((await client.head())[0]).toBe('HTTP/1.1 200 OK');
    await client.until('3\r\nabc\r\n0\r\n\r\n');
    expect(await proxy.nextResult()).toMatchObject({ status: 200, bytesFromClient: 3 });
  });

  test('one that is larger than maxHeaderBytes', async () => {
    const { proxy, client } = await house(
      (stream) => stream.respond({ ':status': 200, 'x-much': 'x'.repeat(1500) }),
      { upstream: { maxHeaderBytes: 1024 } },
    );
    client.write(GET);
    await expectError(client, proxy, 'UPSTREAM_ANSWER_TOO_LARGE');
  });

  test('a switch that nobody asked for, and a status that does not exist, are none', async () => {
    for (const status of ['101', '099']) {
      const { proxy, client, server, stream } = await asked();
      server.send(statusFrame(stream, status));
      expect((await client.head())[0]).toContain(' 502 ');
      expect((await proxy.nextResult()).error?.side).toBe('upstream');
    }
  });
});

describe('bodies', () => {
  test('are streamed both ways at once, trailers behind them', async () => {
    const { backend, proxy, client } = await house();
    client.write(`${CHUNKED.slice(0, -2)}Trailer: x-sum\r\n\r\n`);
    const { stream, fields } = await backend.asked.next();
    expect(fields['content-length']).toBeUndefined();
    const pieces = new Inbox<string>('pieces of the body');
    const trailers = new Promise((resolve) => stream.once('trailers', resolve));
    stream.on('data', (chunk: Buffer) => pieces.push(chunk.toString()));
    for (const piece of ['a', 'b']) {
      client.write(`1\r\n${piece}\r\n`);
      expect(await pieces.next()).toBe(piece);
    }
    stream.respond({ ':status': 200, trailer: 'x-left' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-left': 'none', 'set-cookie': 'a=1' }));
    stream.write('early');
    await client.until('5\r\nearly\r\n');
    client.write('1\r\nc\r\n0\r\nX-Sum: 3\r\nAuthorization: x\r\n\r\n');
    expect(await pieces.next()).toBe('c');
    expect(await trailers).toEqual(expect.objectContaining({ 'x-sum': '3' }));
    expect(await trailers).not.toHaveProperty('authorization');
    stream.end();
    expect((await client.until('\r\n\r\n')).toString()).toBe('0\r\nx-left: none\r\n\r\n');
    expect(await proxy.nextResult()).toMatchObject({ bytesFromClient: 3, bytesFromUpstream: 5 });
    await eventually(() => stream.closed && stream.rstCode === 0, 'the stream ends in order');
  });

  test('of a known length keep it; no trailers and no frame behind them', async () => {
    const { proxy, client, server, stream } = await asked(POST);
    const data = await server.next(DATA);
    expect(data.payload.toString()).toBe('abc');
    // Node ends with a frame of its own.
    const last = data.flags === END_STREAM ? data : await server.next(DATA);
    expect(last.flags).toBe(END_STREAM);
    server.send(okFrame(stream, { 'content-length': '2' }), dataFrame(stream, 'ok', END_STREAM));
    await client.until('ok');
    expect((await proxy.nextResult()).error).toBeUndefined();
  });

  test('a client that does not read holds back its server, and none of its siblings', async () => {
    let written = 0;
    const block = Buffer.alloc(64 * 1024, 'x');
    const { backend, proxy, client } = await house((stream) => {
      if (stream.id !== 1) return void (stream.respond({ ':status': 200 }), stream.end('sibling'));
      stream.respond({ ':status': 200, 'content-length': 128 * MiB });
      const more = (): void => {
        while (written < 128 * MiB) {
          written += block.length;
          if (!stream.write(block)) return void stream.once('drain', more);
        }
        stream.end();
      };
      more();
    });
    client.pause();
    client.write(GET);
    let last = -1;
    await eventually(() => {
      const isStill = written > 0 && written === last;
      last = written;
      return isStill;
    }, 'the server is held back');
    expect(written).toBeLessThan(64 * MiB);
    expect(await (await fetch(proxy.url)).text()).toBe('sibling');
    expect(backend.sessions.all).toHaveLength(1);
    let received = 0;
    client.socket.removeAllListeners('data');
    client.socket.on('data', (chunk: Buffer) => (received += chunk.length));
    client.resume();
    await eventually(() => received > 128 * MiB, 'all of it comes');
    await proxy.results.next();
  });

  test('a server that does not read holds back its client', async () => {
    const { backend, client } = await house((stream) => stream.pause());
    client.write(CHUNKED);
    const { stream } = await backend.asked.next();
    const block = Buffer.from(`10000\r\n${'x'.repeat(0x10000)}\r\n`);
    let sent = 0;
    for (let hasRoom = true; hasRoom;) {
      hasRoom = await new Promise<boolean>((resolve) => {
        const timer = setTimeout(() => resolve(false), 500);
        client.socket.write(block, () => {
          clearTimeout(timer);
          resolve(true);
        });
      });
      sent += block.length;
      if (sent > 64 * MiB) break;
    }
    expect(sent).toBeLessThan(64 * MiB);
    stream.resume();
    client.write('0\r\n\r\n');
    const whole = new Promise((resolve) => stream.once('end', resolve));
    await whole;
    stream.respond({ ':status': 200 }, { endStream: true });
    expect((await client.head())[0]).toBe('HTTP/1.1 200 OK');
  });

  test('an answer that is whole before its request: the request goes on', async () => {
    const { backend, proxy, client } = await house((stream) => {
      stream.respond({ ':status': 200, 'content-length': 2 });
      stream.end('ok');
    });
    client.write(CHUNKED);
    const { stream } = await backend.asked.next();
    const got: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => got.push(chunk));
    await client.until('ok');
    client.write('3\r\nabc\r\n0\r\n\r\n');
    expect(await proxy.nextResult()).toMatchObject({ status: 200, bytesFromClient: 3 });
    await eventually(() => Buffer.concat(got).toString() === 'abc', 'the body has come');
  });

  test('a server that has answered and resets in order (NO_ERROR) wants no more of the request', async () => {
    const { proxy, client, server, stream } = await asked(CHUNKED);
    server.send(okFrame(stream), dataFrame(stream, 'enough', END_STREAM), resetFrame(stream, 0));
    await client.until('6\r\nenough\r\n0\r\n\r\n');
    client.write('3\r\nabc\r\n0\r\n\r\n');
    const result = await proxy.nextResult();
    expect([result.status, result.error]).toEqual([200, undefined]);
  });
});

describe('what breaks off', () => {
  test.each<[string, (stream: ServerHttp2Stream) => unknown]>([
    ['INTERNAL_ERROR', (stream) => stream.destroy(new Error('broken'))],
    ['CANCEL', (stream) => addAbortSignal(AbortSignal.abort(), stream)],
    ['the whole connection', (stream) => stream.session!.destroy()],
  ])('an answer is no whole one: %s', async (_name, breakOff) => {
    const { proxy, client } = await house((stream) => {
      stream.respond({ ':status': 200 });
      stream.write('half', () => setImmediate(() => breakOff(stream)));
    });
    client.write(GET);
    const rest = (await client.rest()).toString();
    expect(rest).toContain('half');
    expect(rest).not.toContain('0\r\n\r\n');
    const { error, status } = await proxy.nextResult();
    expect([error?.code, status]).toEqual(['UPSTREAM_RESPONSE_ABORTED', 200]);
    expect([...proxy.upstream.pool.servers][0]?.load).toBe(0);
  });

  test('nor one that is reset with NO_ERROR in the middle', async () => {
    const { proxy, client, server, stream } = await asked();
    server.send(okFrame(stream), dataFrame(stream, 'half'), resetFrame(stream, 0));
    expect((await client.rest()).toString()).not.toContain('0\r\n\r\n');
    expect((await proxy.nextResult()).error?.code).toBe('UPSTREAM_RESPONSE_ABORTED');
  });

  test('nor one that is shorter than its length', async () => {
    const { proxy, client, server, stream } = await asked();
    server.send(okFrame(stream, { 'content-length': '9' }), dataFrame(stream, 'half', END_STREAM));
    await client.rest();
    expect((await proxy.nextResult()).error?.code).toBe('UPSTREAM_RESPONSE_ABORTED');
  });

  test('one that has come is whole, though nobody has read it yet when the connection goes', async () => {
    const { proxy, client, server, stream } = await asked();
    client.pause();
    server.send(okFrame(stream));
    const bytes = await fillWindow(server, stream);
    server.send(dataFrame(stream, '', END_STREAM), goawayFrame(stream, 0));
    server.peer.end();
    await server.peer.closed;
    let body = 0;
    client.socket.on('data', (chunk: Buffer) => (body += chunk.length));
    client.resume();
    expect((await proxy.nextResult()).error).toBeUndefined();
    await client.until('0\r\n\r\n');
    expect(body).toBeGreaterThan(bytes);
  });

  test.each([
    ['a reset', (stream: ServerHttp2Stream) => stream.close(2)],
    ['the end of the connection', (stream: ServerHttp2Stream) => stream.session!.destroy()],
  ])('%s before the answer is a 502', async (_name, breakOff) => {
    const { backend, proxy, client } = await house(breakOff);
    client.write(POST);
    await expectError(client, proxy, 'UPSTREAM_CLOSED_EARLY');
    expect(backend.asked.all).toHaveLength(1);
  });

  test.each(['before the answer', 'in its middle', 'in the middle of its own body'])(
    'a client that goes away %s: the stream is cancelled, the connection stays',
    async (when) => {
      const { backend, proxy, client } = await house();
      client.write(when.endsWith('body') ? `${CHUNKED}3\r\nabc\r\n` : GET);
      const { stream } = await backend.asked.next();
      const hasEnded = new Promise<string>((resolve) => {
        stream.resume();
        stream.once('close', () => resolve(`closed with ${stream.rstCode}`));
      });
      if (when.endsWith('middle')) {
        stream.respond({ ':status': 200 });
        stream.write('part');
        await client.until('part');
      }
      client.reset();
      expect(await hasEnded).toBe(`closed with ${CANCEL}`);
      const result = await proxy.results.next();
      expect(result.error?.code).toBe('CLIENT_GONE');
      expect([...proxy.upstream.pool.servers][0]?.load).toBe(0);
      const next = fetch(proxy.url);
      const again = await backend.asked.next();
      again.stream.respond({ ':status': 204 }, { endStream: true });
      expect((await next).status).toBe(204);
      expect(backend.sessions.all).toHaveLength(1);
      // The server was asked whether it lives, and has answered.
      await eventually(() => proxy.clock.pending === 0, 'no timer is left');
    },
  );
});

describe('what the server has not looked at', () => {
  const refusals: [string, (stream: number) => Buffer][] = [
    ['REFUSED_STREAM', (stream) => resetFrame(stream, REFUSED_STREAM)],
    ['GOAWAY', () => goawayFrame(0, 0)],
    ['GOAWAY with an error', () => goawayFrame(0, 11)],
  ];
  const requests: [string, string][] = [
    ['GET', GET],
    ['POST with its body', POST],
    ['POST in chunks', `${CHUNKED}3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n`],
  ];
  const cases = refusals.flatMap(([how, refuse]) =>
    requests.map(([what, request]) => ({ how, refuse, what, request })),
  );

  test.each(cases)(
    '$what, $how: is asked for again, whatever the method',
    async ({ refuse, request, how }) => {
      const { backend, proxy, client, server, stream } = await asked(request);
      const hasBody = request !== GET;
      if (hasBody) expect((await server.next(DATA)).payload.toString()).toBe('abc');
      server.send(refuse(stream));
      const next = how === 'REFUSED_STREAM' ? server : await backend.accept();
      const again = await next.next(HEADERS);
      if (hasBody) {
        expect((await next.next(DATA)).payload.toString()).toBe('abc');
        if (request.includes('X-Sum')) expect((await next.next(HEADERS)).flags & END_STREAM).toBe(END_STREAM);
      }
      next.send(okFrame(again.stream), dataFrame(again.stream, 'done', END_STREAM));
      await client.until('4\r\ndone\r\n0\r\n\r\n');
      expect(await proxy.nextResult()).toMatchObject({ status: 200, bytesFromClient: hasBody ? 3 : 0 });
      expect(backend.connections).toBe(how === 'REFUSED_STREAM' ? 1 : 2);
    },
  );

  test('by one connection after the other: it is asked for a few times, and that is all', async () => {
    const departures = 5;
    for (const isTaken of [true, false]) {
      const { backend, proxy, client, ...first } = await asked(POST);
      let { server } = first;
      for (let i = 0; i < departures; i++) {
        server.send(goawayFrame(0, 0));
        server = await backend.accept();
        await server.next(HEADERS);
      }
      if (isTaken) server.send(okFrame(1, {}, END_STREAM));
      else server.send(goawayFrame(0, 0));
      expect((await client.head())[0]).toContain(isTaken ? ' 200 ' : ' 502 ');
      await proxy.nextResult();
      expect(backend.connections).toBe(1 + departures);
    }
  });

  test('twice: another server is asked, and the first has failed', async () => {
    const unwilling = await Http2Backend.start((stream) => stream.close(REFUSED_STREAM));
    const willing = await Http2Backend.start((stream) => {
      stream.respond({ ':status': 200 });
      stream.end('here');
    });
    const proxy = await startH2([unwilling.url, willing.url]);
    expect(await (await fetch(proxy.url)).text()).toBe('here');
    expect(await proxy.nextResult()).toMatchObject({ server: willing.url });
    expect(unwilling.asked.all).toHaveLength(2);
  });

  test('twice, with a body: nobody else is shown half of it', async () => {
    const unwilling = await Http2Backend.start((stream) => stream.close(REFUSED_STREAM));
    const willing = await Http2Backend.start();
    const proxy = await startH2([unwilling.url, willing.url]);
    const client = await RawPeer.connect(proxy.port);
    client.write(`${CHUNKED}3\r\nabc\r\n`);
    expect((await client.head())[0]).toContain(' 502 ');
    expect(willing.asked.all).toHaveLength(0);
    client.write('0\r\n\r\n');
    expect((await proxy.nextResult()).error?.code).toBe('UPSTREAM_CLOSED_EARLY');
  });

  test('after more of the body than is kept: a 502', async () => {
    const { proxy, client, server, stream } = await asked(CHUNKED);
    client.write(`12000\r\n${'x'.repeat(0x12000)}\r\n`);
    for (let bytes = 0; bytes < 65_535;) bytes += (await server.next(DATA)).payload.length;
    server.send(resetFrame(stream, REFUSED_STREAM));
    client.write('0\r\n\r\n');
    await expectError(client, proxy, 'UPSTREAM_CLOSED_EARLY');
  });

  test('after it has been heard of: it has seen it', async () => {
    const { backend, proxy, client, server, stream } = await asked();
    server.send(statusFrame(stream, '103'));
    expect((await client.head())[0]).toBe('HTTP/1.1 103 Early Hints');
    server.send(resetFrame(stream, REFUSED_STREAM));
    await expectError(client, proxy, 'UPSTREAM_CLOSED_EARLY');
    expect(backend.connections).toBe(1);
  });
});

describe('a connection that the server ends without a word', () => {
  test.each([
    ['GET', 200, 2],
    ['POST', 502, 1],
  ])('%s on one that was used before: %i', async (method, status, times) => {
    const backend = await Http2Backend.start((stream) => {
      if (backend.asked.all.length === 2) return stream.session!.destroy();
      stream.respond({ ':status': 200 }, { endStream: true });
    });
    const proxy = await startH2([backend.url]);
    expect((await fetch(proxy.url)).status).toBe(200);
    expect((await fetch(proxy.url, { method })).status).toBe(status);
    expect(backend.asked.all).toHaveLength(1 + times);
  });

  test('a new one: it has seen the request', async () => {
    const { backend, proxy, client } = await house((stream) => stream.session!.destroy());
    client.write(GET);
    await expectError(client, proxy, 'UPSTREAM_CLOSED_EARLY');
    expect(backend.asked.all).toHaveLength(1);
  });
});

describe('time-outs', () => {
  test('no head within responseTimeout, which begins behind the body', async () => {
    const { backend, proxy, client } = await house(undefined, {
      route: { responseTimeoutMs: 1000, httpIdleTimeoutMs: 0 },
    });
    client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc');
    const { stream } = await backend.asked.next();
    const whole = new Promise((resolve) => stream.once('end', resolve));
    stream.resume();
    proxy.clock.advance(10_000);
    client.write('def');
    await whole;
    stream.additionalHeaders({ ':status': 103 });
    await client.head();
    proxy.clock.advance(999);
    expect(client.unread).toHaveLength(0);
    const closed = new Promise((resolve) => stream.once('close', resolve));
    proxy.clock.advance(1);
    expect((await client.head())[0]).toContain(' 504 ');
    expect((await proxy.results.next()).error?.code).toBe('UPSTREAM_ANSWER_TIMEOUT');
    await closed;
    expect(stream.rstCode).toBe(CANCEL);
    await eventually(() => proxy.clock.pending === 0, 'no timer is left');
  });

  test('no byte of the answer, or of the request, for the idle time', async () => {
    const { backend, proxy, client } = await house(undefined, { route: { httpIdleTimeoutMs: 1000 } });
    client.write(GET);
    const first = await backend.asked.next();
    first.stream.respond({ ':status': 200 });
    first.stream.write('part');
    await client.until('part');
    proxy.clock.advance(1000);
    await client.rest();
    expect((await proxy.results.next()).error?.code).toBe('UPSTREAM_RESPONSE_ABORTED');
    const other = await RawPeer.connect(proxy.port);
    other.write(`${CHUNKED}3\r\nabc\r\n`);
    const second = await backend.asked.next();
    await new Promise((resolve) => second.stream.once('data', resolve));
    proxy.clock.advance(1000);
    expect((await other.head())[0]).toContain(' 408 ');
    expect((await proxy.results.next()).error?.code).toBe('REQUEST_BODY_TIMEOUT');
    await eventually(() => proxy.clock.pending === 0, 'no timer is left');
  });

  test('nobody there, nobody who speaks: the next server; else connectTimeout', async () => {
    const living = await Http2Backend.start((stream) =>
      stream.respond({ ':status': 204 }, { endStream: true }),
    );
    const refused = `http://127.0.0.1:${await refusedPort()}`;
    const proxy = await startH2([refused, living.url]);
    expect((await fetch(proxy.url, { method: 'POST', body: 'x' })).status).toBe(204);
    expect(await proxy.nextResult()).toMatchObject({ server: living.url });
    const only = await startH2([refused]);
    expect((await fetch(only.url)).status).toBe(502);
    expect((await only.nextResult()).error?.code).toBe('UPSTREAM_CONNECT_FAILED');
    const mute = await FrameServer.listen();
    const waiting = await startH2([mute.url]);
    const client = await RawPeer.connect(waiting.port);
    client.write(GET);
    await eventually(() => mute.connections === 1, 'it is connected');
    // The time that is left is counted from the moment the connection stands.
    await eventually(() => {
      waiting.clock.advance(1000);
      return waiting.results.all.length === 1;
    }, 'it is given up');
    await expectError(client, waiting, 'UPSTREAM_HTTP2_FAILED');
  });

  test('a server that has died is found out, though nobody waits so long', async () => {
    const { proxy, client, server } = await asked();
    client.reset();
    expect((await proxy.results.next()).error?.code).toBe('CLIENT_GONE');
    await server.next(PING);
    proxy.clock.advance(3000);
    await server.peer.ended;
  });
});

describe('connections', () => {
  test('one carries many at once, and no more than the server allows', async () => {
    const backend = await Http2Backend.start(undefined, { settings: { maxConcurrentStreams: 10 } });
    const proxy = await startH2([backend.url]);
    const answers = Array.from({ length: 25 }, (_, i) => fetch(`${proxy.url}/${i}`));
    for (let i = 0; i < 25; i++) await backend.asked.next();
    expect(backend.sessions.all).toHaveLength(3);
    for (const { stream, fields } of backend.asked.all) {
      stream.respond({ ':status': 200 });
      stream.end(fields[':path']);
    }
    for (const [i, answer] of answers.entries()) expect(await (await answer).text()).toBe(`/${i}`);
    for (let i = 0; i < 25; i++) await proxy.results.next();
    const next = fetch(`${proxy.url}/next`);
    (await backend.asked.next()).stream.respond({ ':status': 204 }, { endStream: true });
    expect((await next).status).toBe(204);
    expect(backend.sessions.all).toHaveLength(3);
  });

  test('many hundreds at once, where the server sets no limit', async () => {
    const { backend, proxy, client } = await house((stream) => {
      stream.respond({ ':status': 200 });
      stream.end('x'.repeat(1000));
    });
    client.destroy();
    const texts = await Promise.all(
      Array.from({ length: 400 }, async () => (await (await fetch(proxy.url)).text()).length),
    );
    expect(texts.filter((length) => length === 1000)).toHaveLength(400);
    expect(backend.sessions.all).toHaveLength(1);
  });

  test('maxConnections of a server counts its requests', async () => {
    const backend = await Http2Backend.start();
    const proxy = await running(
      startProxy({
        listeners: ['127.0.0.1:0'],
        upstreams: {
          pages: { servers: [{ url: backend.url, maxConnections: 1 }], http2: true, queue: { size: 0 } },
        },
        routes: [{ to: 'pages' }],
      }),
    );
    const first = fetch(proxy.url);
    const { stream } = await backend.asked.next();
    expect((await fetch(proxy.url)).status).toBe(503);
    stream.respond({ ':status': 204 }, { endStream: true });
    expect((await first).status).toBe(204);
  });

  test('WebSockets and requests share one; idle it is closed, and stopping closes it', async () => {
    const backend = await Http2Backend.start(
      (stream, fields) => {
        stream.respond({ ':status': 200 });
        if (fields[':method'] === 'GET') stream.end('page');
      },
      { settings: { enableConnectProtocol: true } },
    );
    const proxy = await running(
      startProxy({
        listeners: [{ address: '127.0.0.1:0', http2: true }],
        upstreams: { app: { servers: backend.url, http2: true, keepAliveTimeout: '200ms' } },
        routes: [{ to: 'app' }],
      }),
    );
    const browser = await Http2Client.connect(proxy.url);
    const socket = browser.offer({ ':path': '/chat' });
    await new Promise((resolve) => socket.once('response', resolve));
    expect(await browser.ask({ ':path': '/', cookie: 'a=1' })).toMatchObject({ status: 200, body: 'page' });
    expect(await proxy.nextRecord()).toMatchObject({ via: 'h2', status: 200, server: backend.url });
    const session = await backend.sessions.next();
    expect(backend.sessions.all).toHaveLength(1);
    const gone = new Promise((resolve) => session.once('close', resolve));
    socket.destroy();
    await gone;
    await fetch(proxy.url);
    const second = await backend.sessions.next();
    const stopped = new Promise((resolve) => second.once('close', resolve));
    await proxy.proxy.stop({ timeoutMs: 0, spreadMs: 0 });
    await stopped;
  });
});

test(
  'exchanges that are cut anywhere, by either side, leave nothing behind',
  { timeout: 60_000 },
  async () => {
    const random = seededRandom(20101122);
    const open = new Set<ServerHttp2Stream>();
    const backend = await Http2Backend.start((stream) => {
      open.add(stream);
      stream.once('close', () => open.delete(stream));
      const die = random(6);
      if (die === 0) return stream.close(random(14));
      if (die === 1 && random(10) === 0) return stream.session!.destroy();
      stream.respond({ ':status': 200 });
      if (die === 2) return void stream.write('half', () => stream.destroy(new Error('broken')));
      if (die === 3) return void stream.write('and no end');
      stream.pipe(stream);
    });
    const proxy = await startH2([backend.url], { upstream: { retries: 0 } });
    const request = Buffer.from(`${CHUNKED}5\r\nhello\r\n5\r\nworld\r\n0\r\nX-Sum: 10\r\n\r\n`);
    const COUNT = 400;
    const one = async (): Promise<void> => {
      const client = await RawPeer.connect(proxy.port);
      client.write(request.subarray(0, random(3) === 0 ? random(request.length) : request.length));
      for (let turns = random(12); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
      if (random(2) === 0) client.reset();
      else client.destroy();
      await client.closed;
    };
    for (let i = 0; i < COUNT; i += 20) await Promise.all(Array.from({ length: 20 }, one));
    await eventually(() => open.size === 0, 'no stream is left at the server');
    await eventually(() => proxy.clock.pending === 0, 'no timer is left');
    await eventually(() => [...proxy.upstream.pool.servers][0]?.load === 0, 'no place is taken');
    expect(backend.asked.all.length).toBeGreaterThan(COUNT / 4);
    // Without anything on them, connections end when they are told to.
    const sessions = backend.sessions.all.filter((session) => !session.destroyed);
    const gone = sessions.map((session) => new Promise((resolve) => session.once('close', resolve)));
    proxy.upstream.close();
    await Promise.all(gone);
  },
);

/** Whole numbers below a limit, the same in each run. */
function seededRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('who speaks what', () => {
  const tls = { verify: true, ca: tlsIdentity.cert, serverName: undefined };

  test('auto: HTTP/2 where TLS agrees to it, WebSockets or not; HTTP/1.1 where not', async () => {
    const able = await Http2Backend.start(
      (stream) => {
        stream.respond({ ':status': 200 });
        stream.end('h2');
      },
      { secure: true, http1: (_req, res) => res.end('h1') },
    );
    const proxy = await startH2([able.url], { upstream: { http2: 'auto', tls } });
    for (let i = 0; i < 3; i++) expect(await (await fetch(proxy.url)).text()).toBe('h2');
    expect(able.asked.all[0]?.fields).toMatchObject({ ':scheme': 'https' });
    expect(able.sessions.all).toHaveLength(1);

    const old = await startBackend((_req, res) => res.end('h1'), { secure: true });
    const other = await startH2([old.url.replace('127.0.0.1', 'localhost')], {
      upstream: { http2: 'auto', tls },
    });
    for (let i = 0; i < 3; i++) expect(await (await fetch(other.url)).text()).toBe('h1');
    // One asked, one is kept.
    expect(old.connections).toBe(2);
    const plain = await startBackend((req, res) => res.end(req.httpVersion));
    const third = await startH2([plain.url], { upstream: { http2: 'auto' } });
    expect(await (await fetch(third.url)).text()).toBe('1.1');
  });

  test('true: a server of HTTP/1.1 is a 502 that says so', async () => {
    const old = await startBackend((_req, res) => res.end('h1'));
    const proxy = await startH2([old.url]);
    expect((await fetch(proxy.url)).status).toBe(502);
    expect((await proxy.nextResult()).error?.code).toBe('UPSTREAM_HTTP2_FAILED');
  });

  test('passive health and stickiness know of requests over HTTP/2', async () => {
    const dying = await Http2Backend.start((stream) => stream.close(2), { secure: true });
    const living = await Http2Backend.start(
      (stream) => stream.respond({ ':status': 204 }, { endStream: true }),
      { secure: true },
    );
    const proxy = await running(
      startProxy({
        listeners: ['127.0.0.1:0'],
        upstreams: {
          app: {
            servers: [dying.url, living.url],
            http2: 'auto',
            tls: { ca: localhostCa },
            sticky: { key: 'a key of thirty-two characters..' },
            passiveHealth: { failures: 2, window: '1m', time: '1m', maxShare: '50%' },
          },
        },
        routes: [{ to: 'app' }],
      }),
    );
    const states = new Inbox<{ server: string; state: string }>('the states');
    proxy.proxy.on('server.changed', (change) => states.push(change));
    let cookie: string | null = null;
    for (let i = 0; i < 4; i++) cookie = (await fetch(proxy.url)).headers.get('set-cookie') ?? cookie;
    expect(await states.next()).toMatchObject({ server: dying.url, state: 'ejected' });
    expect(cookie).toMatch(/^tidegate=/);
  });
});

/** Sends an answer until nothing of it is taken any more; resolves with how much was sent. */
async function fillWindow(server: FramePeer, stream: number): Promise<number> {
  const piece = 'x'.repeat(16_000);
  let sent = 0;
  let window = 65_535;
  for (;;) {
    for (; window >= piece.length; window -= piece.length) {
      server.send(dataFrame(stream, piece));
      sent += piece.length;
    }
    const more = server.next(WINDOW_UPDATE).catch(() => undefined);
    const still = new Promise<undefined>((resolve) => setTimeout(resolve, 500, undefined));
    const update = await Promise.race([more, still]);
    if (update === undefined) return sent;
    if (update.stream === stream) window += update.payload.readUInt32BE(0);
  }
}

function pairs(raw: readonly string[]): string[] {
  return raw.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${raw[i + 1]}`] : []));
}
