/** Servers of HTTP/2: plain requests go to them as streams of one connection, whatever the client speaks. */
import { describe, expect, test } from 'vitest';
import { Http2Backend } from '../fixtures/http2-backend.js';
import { DATA, dataFrame, END_STREAM, okFrame, resetFrame, statusFrame } from '../fixtures/http2-frames.js';
import { startBackend, tlsIdentity } from '../fixtures/http-backend.js';
import { Inbox } from '../fixtures/inbox.js';
import { localhostCa } from '../fixtures/peers/http2-ws.js';
import { startProxy } from '../fixtures/proxy.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { running } from '../fixtures/running.js';
import { GET, POST, CHUNKED, MiB, startH2, house, asked, expectError } from '../fixtures/http2-upstream.js';

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

function pairs(raw: readonly string[]): string[] {
  return raw.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${raw[i + 1]}`] : []));
}
