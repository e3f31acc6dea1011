/** Plain requests to servers of HTTP/2: what breaks off, what is asked again, what takes too long. */
import type { ServerHttp2Stream } from 'node:http2';
import { addAbortSignal } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { Http2Backend } from '../fixtures/http2-backend.js';
import {
  DATA,
  dataFrame,
  END_STREAM,
  FrameServer,
  goawayFrame,
  HEADERS,
  okFrame,
  PING,
  resetFrame,
  statusFrame,
  type FramePeer,
  WINDOW_UPDATE,
} from '../fixtures/http2-frames.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import {
  GET,
  POST,
  CHUNKED,
  CANCEL,
  REFUSED_STREAM,
  startH2,
  house,
  asked,
  expectError,
} from '../fixtures/http2-upstream.js';
import { quietPort } from '../fixtures/ports.js';

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
    const refused = `http://127.0.0.1:${await quietPort()}`;
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
