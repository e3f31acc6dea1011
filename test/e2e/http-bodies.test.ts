import { once, type EventEmitter } from 'node:events';
import { Agent, request, type IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startBackend } from '../fixtures/http-backend.js';
import { startHttpProxy, type HttpProxyOptions } from '../fixtures/http-proxy.js';
import { eventually, RawPeer, turn } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';

const MiB = 1024 * 1024;
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

describe('maxBodyBytes', () => {
  test('a body of the limit passes; a longer one is refused before the server hears of it', async () => {
    const backend = await RawServer.listen();
    const proxy = await startHttpProxy([backend.url], { route: { maxBodyBytes: 4 } });
    const fits = await RawPeer.connect(proxy.port);
    fits.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nfour');
    const server = await backend.accept();
    await server.until('four');
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect((await fits.head())[0]).toBe('HTTP/1.1 200 OK');
    expect(await proxy.nextResult()).toMatchObject({ status: 200, bytesFromClient: 4 });

    const over = await RawPeer.connect(proxy.port);
    over.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n');
    const answer = (await over.rest()).toString();
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
    expect(answer).toContain('413 REQUEST_BODY_TOO_LARGE\n');
    expect(answer).toContain('Connection: close');
    const { error, server: asked } = await proxy.nextResult();
    expect([error?.code, asked]).toEqual(['REQUEST_BODY_TOO_LARGE', undefined]);
  });

  test('a body of unknown length is cut as soon as it is too long, and the server can tell', async () => {
    const backend = await RawServer.listen();
    const proxy = await startHttpProxy([backend.url], { route: { maxBodyBytes: 4 } });
    const client = await RawPeer.connect(proxy.port);
    client.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n');
    const server = await backend.accept();
    await server.until('four');
    client.write('1\r\n!\r\n');
    expect((await client.head())[0]).toMatch(/ 413 /);
    await server.ended;
    expect(server.received.toString()).not.toContain('!');
    expect(server.received.toString()).not.toMatch(/0\r\n\r\n$/);
    client.end();
    const { error, status } = await proxy.nextResult();
    expect([error?.code, status]).toEqual(['REQUEST_BODY_TOO_LARGE', 413]);
    const [state] = proxy.upstream.pool.servers;
    expect(state?.load).toBe(0);
  });
});

describe('streaming', () => {
  test('each event of a stream arrives while the response is open', async () => {
    const backend = await RawServer.listen();
    const proxy = await startHttpProxy([backend.url]);
    const client = await RawPeer.connect(proxy.port);
    client.write(GET);
    const server = await backend.accept();
    await server.head();
    server.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
    expect((await client.head())[1]).toBe('Content-Type: text/event-stream');
    for (const n of [1, 2, 3]) {
      server.write(`9\r\ndata: ${n}\n\n\r\n`);
      expect((await client.until('\n\n\r\n')).toString()).toBe(`9\r\ndata: ${n}\n\n\r\n`);
    }
    client.destroy();
    await server.ended;
  });

  test('each piece of an upload reaches the backend while the client is still sending', async () => {
    const backend = await RawServer.listen();
    const proxy = await startHttpProxy([backend.url]);
    const client = await RawPeer.connect(proxy.port);
    client.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
    const server = await backend.accept();
    await server.head();
    for (const piece of ['a', 'b', 'c']) {
      client.write(`1\r\n${piece}\r\n`);
      expect((await server.until(`${piece}\r\n`)).toString()).toBe(`1\r\n${piece}\r\n`);
    }
    // And an answer can begin before the request has ended.
    server.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\necho\r\n');
    await client.until('echo');
    client.write('0\r\n\r\n');
    await server.until('0\r\n\r\n');
    server.write('0\r\n\r\n');
    await client.until('0\r\n\r\n');
    expect(await proxy.nextResult()).toMatchObject({ status: 200, bytesFromClient: 3, bytesFromUpstream: 4 });
  });

  test('a head and a body of one packet leave in one packet', async () => {
    const backend = await RawServer.listen();
    const proxy = await startHttpProxy([backend.url]);
    const client = await RawPeer.connect(proxy.port);
    let packets = 0;
    client.socket.on('data', () => packets++);
    client.write(GET);
    const server = await backend.accept();
    await server.head();
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi');
    await client.until('hi');
    expect(packets).toBe(1);
  });
});

describe('back-pressure', () => {
  const total = 256 * MiB;
  const block = Buffer.alloc(64 * 1024, 'x');
  /** What two pairs of kernel buffers, grown to the full, and ours can hold is far below this. */
  const bound = 64 * MiB;

  test('a client that does not read holds the backend back; when it reads, all of it comes', async () => {
    let written = 0;
    const backend = await startBackend((_req, res) => {
      const more = () => {
        while (written < total) {
          written += block.length;
          if (!res.write(block)) return;
        }
        res.end();
      };
      res.on('drain', more);
      more();
    });
    const proxy = await startHttpProxy([backend.url]);
    const response = await get(proxy.port);
    await still(() => written);
    expect(written).toBeLessThan(bound);

    const memory = watchMemory();
    let received = 0;
    response.on('data', (chunk: Buffer) => (received += chunk.length));
    await once(response, 'end');
    expect(received).toBe(total);
    expect(memory.peak()).toBeLessThan(total / 2);
    expect(await proxy.nextResult()).toMatchObject({ bytesFromUpstream: total });
  });

  test('a backend that does not read holds the client back; when it reads, all of it comes', async () => {
    let incoming: IncomingMessage | undefined;
    const backend = await startBackend((req, res) => {
      incoming = req;
      req.on('end', () => res.end('done'));
    });
    const proxy = await startHttpProxy([backend.url]);
    const upload = request({ port: proxy.port, host: '127.0.0.1', method: 'POST', agent: false });
    onTestFinished(() => void upload.destroy());
    let written = 0;
    const more = () => {
      while (written < total) {
        written += block.length;
        if (!upload.write(block)) return;
      }
      upload.end();
    };
    upload.on('drain', more);
    more();
    await still(() => written);
    expect(written).toBeLessThan(bound);

    const memory = watchMemory();
    let received = 0;
    incoming?.on('data', (chunk: Buffer) => (received += chunk.length));
    const [response] = (await once(upload, 'response')) as [IncomingMessage];
    response.resume();
    expect(received).toBe(total);
    expect(memory.peak()).toBeLessThan(total / 2);
    expect(await proxy.nextResult()).toMatchObject({ bytesFromClient: total, bytesFromUpstream: 4 });
  });
});

describe('connections', () => {
  test('are kept and used again on both sides', async () => {
    const backend = await startBackend((_req, res) => res.end('ok'));
    const listeners = new Set<number>();
    const proxy = await startHttpProxy([backend.url], {
      onRequest: ({ req }) => listeners.add(countListeners(req.socket)),
    });
    const client = await RawPeer.connect(proxy.port);
    for (let i = 0; i < 5; i++) {
      client.write(GET);
      await client.until('ok');
      await proxy.nextResult();
    }
    expect(backend.connections).toBe(1);
    // None piles up on the client's socket; on the upstream's they would have made Node warn.
    expect(listeners.size).toBe(1);
  });

  test('an HTTP/1.0 client that asks for it keeps its own', async () => {
    const backend = await startBackend((_req, res) => res.writeHead(200, { 'content-length': 2 }).end('ok'));
    const proxy = await startHttpProxy([backend.url]);
    const client = await RawPeer.connect(proxy.port);
    for (let i = 0; i < 2; i++) {
      client.write('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
      expect(await client.head()).toContain('Connection: keep-alive');
      await client.until('ok');
    }
  });

  test('idle ones are no more than maxIdleConnections', async () => {
    const { proxy, sockets } = await burst(8, { upstream: { maxIdleConnections: 3 } });
    const open = () => sockets().filter((socket) => socket.ending === undefined).length;
    await eventually(() => open() === 3, 'three idle connections');
    await turn();
    expect(open()).toBe(3);
    proxy.upstream.close();
    await eventually(() => open() === 0, 'no idle connection');
  });

  test('with maxIdleConnections 0 each request has its own', async () => {
    const { sockets } = await burst(2, { upstream: { maxIdleConnections: 0 } });
    await eventually(() => sockets().every((socket) => socket.ending === 'end'), 'no idle connection');
    expect(sockets()[0]!.received.toString()).toContain('Connection: close');
  });

  test('closing the upstream leaves the one in use alone', async () => {
    const { proxy, client, server } = await answeredOnce({});
    client.write(GET);
    await server.head();
    proxy.upstream.close();
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    await client.until('ok');
    // But it is not kept.
    await server.ended;
  });

  test('what comes on an idle one answers nobody', async () => {
    const { proxy, client, server, backend } = await answeredOnce({});
    await proxy.nextResult();
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison');
    await server.ended;
    client.write(GET);
    const next = await backend.accept();
    await next.head();
    next.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nreal');
    await client.until('real');
    expect(client.received.toString()).not.toContain('poison');
  });

  test.each(['GET', 'HEAD', 'OPTIONS'])(
    '%s on one that the server has just closed is asked again',
    async (method) => {
      const { proxy, client, server, backend } = await answeredOnce({});
      await proxy.nextResult();
      client.write(`${method} / HTTP/1.1\r\nHost: a\r\n\r\n`);
      await server.head();
      server.reset();
      const fresh = await backend.accept();
      await fresh.head();
      fresh.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: again\r\n\r\n');
      await client.until('again');
      expect(await proxy.nextResult()).toMatchObject({ status: 200 });
    },
  );

  test('but only once', async () => {
    const { proxy, client, server, backend } = await answeredOnce({});
    await proxy.nextResult();
    client.write(GET);
    await server.head();
    server.end();
    const fresh = await backend.accept();
    await fresh.head();
    fresh.end();
    await client.until('502 UPSTREAM_CLOSED_EARLY');
    await proxy.nextResult();
    expect(backend.accepted).toHaveLength(2);
  });

  const unrepeatable: Array<[name: string, request: string]> = [
    ['POST', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc'],
    ['POST without a body', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n'],
    ['DELETE', 'DELETE / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['GET with a body', 'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc'],
  ];
  test.each(unrepeatable)('%s is never sent twice', async (_name, request) => {
    const { proxy, client, server, backend } = await answeredOnce({});
    await proxy.nextResult();
    client.write(request);
    await server.head();
    server.reset();
    await client.until('502 UPSTREAM_CLOSED_EARLY');
    await proxy.nextResult();
    expect(backend.accepted).toHaveLength(1);
  });

  test('GET is not asked again once something of its answer has gone out', async () => {
    const { proxy, client, server, backend } = await answeredOnce({});
    await proxy.nextResult();
    client.write(GET);
    await server.head();
    server.write('HTTP/1.1 103 Early Hints\r\n\r\n');
    await client.until('103 Early Hints');
    server.reset();
    await client.until('502 UPSTREAM_CLOSED_EARLY');
    await proxy.nextResult();
    expect(backend.accepted).toHaveLength(1);
  });
});

describe('an answer before the request has ended', () => {
  const upload = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n';
  const refusal = 'HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig';

  test('is delivered although the server resets behind it, and the rest of the body goes nowhere', async () => {
    const backend = await RawServer.listen({ paused: true });
    const proxy = await startHttpProxy([backend.url]);
    const client = await RawPeer.connect(proxy.port);
    client.write(upload);
    client.write(Buffer.alloc(500_000));
    const server = await backend.accept();
    server.write(refusal);
    // Closing over unread bytes: the kernel sends a reset behind the answer.
    server.socket.end(() => server.destroy());
    client.write(Buffer.alloc(250_000));
    expect((await client.head())[0]).toBe('HTTP/1.1 413 Too Large');
    expect((await client.take(3)).toString()).toBe('big');
    client.write(Buffer.alloc(250_000));
    expect(await proxy.nextResult()).toEqual({
      status: 413,
      server: backend.url,
      bytesFromClient: 1_000_000,
      bytesFromUpstream: 3,
    });
    // The client's connection is whole.
    client.write(GET);
    const next = await backend.accept();
    next.resume();
    await next.head();
  });

  test('of a server that still takes the rest lets it have it', async () => {
    const { proxy, client, server } = await answeredOnce({});
    await proxy.nextResult();
    client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc');
    await server.until('abc');
    server.write('HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n');
    await client.until('202 Accepted');
    client.write('def');
    await server.until('def');
    expect(await proxy.nextResult()).toMatchObject({ status: 202, bytesFromClient: 6 });
    // And the connection is good for more.
    client.write('GET /next HTTP/1.1\r\nHost: a\r\n\r\n');
    expect((await server.head())[0]).toBe('GET /next HTTP/1.1');
  });

  test('leaves a client that never finishes only so much time', async () => {
    const { proxy, client, server } = await answeredOnce({
      route: { responseTimeoutMs: 5000, httpIdleTimeoutMs: 0 },
    });
    await proxy.nextResult();
    client.write(upload);
    await server.head();
    server.write(refusal);
    server.end();
    await client.until('big');
    await eventually(() => proxy.clock.pending === 1, 'the waiting for the rest');
    proxy.clock.advance(5000);
    await client.ended;
    expect(await proxy.nextResult()).toMatchObject({ status: 413 });
  });

  test('by us: an error answer leaves the connection whole too', async () => {
    const proxy = await startHttpProxy([]);
    const client = await RawPeer.connect(proxy.port);
    client.write(`${upload}${'x'.repeat(400_000)}`);
    await client.until('503 UPSTREAM_UNAVAILABLE');
    client.write('x'.repeat(600_000));
    client.write(GET);
    await client.until('503 UPSTREAM_UNAVAILABLE');
    await proxy.results.next(({ bytesFromClient }) => bytesFromClient === 1_000_000);
    expect(proxy.clock.pending).toBe(0);
  });
});

/** A client whose first request was answered, so that the pool holds one idle connection: `server`. */
async function answeredOnce(options: HttpProxyOptions) {
  const backend = await RawServer.listen();
  const proxy = await startHttpProxy([backend.url], options);
  const client = await RawPeer.connect(proxy.port);
  client.write(GET);
  const server = await backend.accept();
  await server.head();
  server.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst');
  await client.until('first');
  return { backend, proxy, client, server };
}

function countListeners(emitter: EventEmitter): number {
  return emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0);
}

/** Many requests at once, all answered. */
async function burst(count: number, options: HttpProxyOptions) {
  const backend = await RawServer.listen();
  const proxy = await startHttpProxy([backend.url], options);
  for (let i = 0; i < count; i++) (await RawPeer.connect(proxy.port)).write(GET);
  for (let i = 0; i < count; i++) await (await backend.accept()).head();
  for (const server of backend.accepted) server.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  for (const server of backend.accepted) void server.ended.then(() => server.end());
  for (let i = 0; i < count; i++) await proxy.results.next();
  return { proxy, sockets: () => backend.accepted };
}

async function get(port: number): Promise<IncomingMessage> {
  const agent = new Agent();
  const sent = request({ port, host: '127.0.0.1', agent });
  onTestFinished(() => void sent.destroy());
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return response;
}

/** Waits until a number has stopped to grow. Being fooled by a slow machine can only hide a fault, never make one. */
async function still(value: () => number): Promise<void> {
  for (let before = -1; before !== value();) {
    before = value();
    await delay(300);
  }
}

/** The most that buffers have grown since, garbage included, sampled at every turn of the loop. */
function watchMemory(): { peak(): number } {
  const start = process.memoryUsage().arrayBuffers;
  let peak = start;
  let watching = true;
  const sample = () => {
    peak = Math.max(peak, process.memoryUsage().arrayBuffers);
    if (watching) setImmediate(sample);
  };
  sample();
  return {
    peak() {
      watching = false;
      return peak - start;
    },
  };
}
