/** Servers of HTTP/2: WebSockets go to them by RFC 8441, whatever the client speaks. */
import type { ServerHttp2Stream } from 'node:http2';
import { addAbortSignal } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { hixieText, hixieVectors, hixie76Head } from '../fixtures/hixie.js';
import { startBackend } from '../fixtures/http-backend.js';
import { Http2WsServer, localhostCa } from '../fixtures/peers/http2-ws.js';
import { connectWs, startWsServer } from '../fixtures/peers/ws.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { running } from '../fixtures/running.js';
import type { Operations } from '../fixtures/upstreams.js';
import { generations } from '../../src/protocol/handshake/types.js';
import { clients, handshake, start } from '../fixtures/http2-chat.js';

const CANCEL = 8;

const kinds = (['HTTP/1.1', 'HTTP/2'] as const).flatMap((kind) =>
  (['stream', 'auto'] as const).map((relay) => ({ kind, relay })),
);

describe.each(kinds)('a client of $kind, relay: $relay', ({ kind, relay }) => {
  const open = clients[kind];

  test('talks: subprotocol, messages of any size, code and reason', async () => {
    const server = await Http2WsServer.start();
    const proxy = await start(server.url, { relay });
    const client = await open(proxy, ['v1', 'v2']);
    client.send('grüße');
    client.send(Buffer.alloc(1_000_000, 'x'));
    expect(await client.messages.next()).toBe('grüße');
    expect(await client.messages.next()).toHaveLength(1_000_000);
    const end = await server.ends.next();
    expect(end.fields).toMatchObject({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'http',
      ':authority': `127.0.0.1:${proxy.port}`,
      ':path': '/chat?x=1',
      'sec-websocket-version': '13',
      'x-forwarded-for': '127.0.0.1',
    });
    for (const name of ['upgrade', 'connection', 'host', 'sec-websocket-key']) {
      expect(end.fields).not.toHaveProperty(name);
    }
    client.close(4000, 'bye');
    expect(await client.closed).toEqual({ code: 4000, reason: 'bye' });
    expect(await end.closed).toEqual({ code: 4000, reason: 'bye' });
    expect(await proxy.nextRecord()).toMatchObject({
      status: 101,
      server: server.url,
      subprotocol: 'v2',
      messagesFromClient: 2,
      messagesFromUpstream: 2,
      outcome: 'client-closed',
    });
    await eventually(() => end.stream.closed, 'the stream is closed');
    expect(end.stream.rstCode).toBe(0);
  });

  test('is told the code of its server', async () => {
    const server = await Http2WsServer.start();
    const proxy = await start(server.url, { relay });
    const client = await open(proxy);
    (await server.ends.next()).socket.close(4001, 'enough');
    expect(await client.closed).toEqual({ code: 4001, reason: 'enough' });
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'upstream-closed' });
  });

  test('is lost with its server’s stream, and the stream with it', async () => {
    const server = await Http2WsServer.start();
    const proxy = await start(server.url, { relay });
    const [one, two, three] = [await open(proxy), await open(proxy), await open(proxy)];
    const ends = [await server.ends.next(), await server.ends.next(), await server.ends.next()];
    ends[0]!.stream.close(CANCEL);
    expect((await one.closed).code).toBe(1006);
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'upstream-lost' });
    // In order, but without a word.
    ends[1]!.stream.end();
    expect((await two.closed).code).toBe(1006);
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'upstream-lost' });
    let hasEnded = false;
    // Node says so behind a reset, too.
    ends[2]!.stream.once('end', () => (hasEnded = ends[2]!.stream.rstCode === 0));
    const lost = new Promise((resolve) => ends[2]!.stream.once('close', resolve));
    three.cut();
    await lost;
    // Just a reset: what was cut off must not look whole.
    expect(hasEnded).toBe(false);
    expect(ends[2]!.stream.rstCode).toBe(CANCEL);
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'client-lost' });
  });

  test('is let go by a drain with 1001, and the connection to the server ends', async () => {
    const server = await Http2WsServer.start();
    const proxy = await start(server.url, { relay });
    const client = await open(proxy);
    const end = await server.ends.next();
    const session = await server.sessions.next();
    const gone = new Promise((resolve) => session.once('close', resolve));
    const stopped = proxy.proxy.stop({ timeoutMs: 10_000, spreadMs: 0 });
    expect((await client.closed).code).toBe(1001);
    expect((await end.closed).code).toBe(1001);
    await stopped;
    await gone;
  });

  test('is lost with the whole connection, as all on it; the next gets another', async () => {
    const server = await Http2WsServer.start();
    const proxy = await start(server.url, { relay });
    const both = [await open(proxy), await open(proxy)];
    (await server.sessions.next()).destroy();
    for (const { closed } of both) expect((await closed).code).toBe(1006);
    const outcomes = [(await proxy.nextRecord()).outcome, (await proxy.nextRecord()).outcome];
    expect(outcomes).toEqual(['upstream-lost', 'upstream-lost']);
    const third = await open(proxy);
    third.send('again');
    expect(await third.messages.next()).toBe('again');
    expect(server.sessions.all).toHaveLength(2);
  });
});

describe('what is no switch', () => {
  const refused = async (serve: (stream: ServerHttp2Stream) => void, upstream: Partial<Operations> = {}) => {
    const server = await Http2WsServer.start({ onConnect: serve });
    const proxy = await start(server.url, { upstream });
    const client = await RawPeer.connect(proxy.port);
    client.write(handshake());
    const head = await client.head();
    return { proxy, client, head, server };
  };

  test('an answer with a body of unknown length, early hints before it', async () => {
    const { proxy, client, head } = await refused((stream) => {
      stream.additionalHeaders({ ':status': 103, link: '</a.css>; rel=preload' });
      stream.respond({ ':status': 401, 'www-authenticate': 'Basic', 'set-cookie': ['a=1', 'b=2'] });
      stream.write('hello');
      stream.end(' world');
    });
    expect(head[0]).toBe('HTTP/1.1 103 Early Hints');
    const final = await client.head();
    expect(final[0]).toBe('HTTP/1.1 401 Unauthorized');
    expect(final).toEqual(
      expect.arrayContaining(['www-authenticate: Basic', 'set-cookie: a=1', 'set-cookie: b=2']),
    );
    expect((await client.rest()).toString()).toBe('5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n');
    expect(await proxy.nextRecord()).toMatchObject({ status: 401 });
  });

  test('one of known length, and one without a body', async () => {
    const known = await refused((stream) => {
      stream.respond({ ':status': 403, 'content-length': 2 });
      stream.end('no');
    });
    expect(known.head).toEqual(expect.arrayContaining(['HTTP/1.1 403 Forbidden', 'content-length: 2']));
    expect((await known.client.rest()).toString()).toBe('no');
    const bare = await refused((stream) => stream.respond({ ':status': 404 }, { endStream: true }));
    expect(bare.head).toEqual(expect.arrayContaining(['HTTP/1.1 404 Not Found', 'Content-Length: 0']));
    expect(await bare.client.ended).toBe('end');
  });

  test.each<[string, (stream: ServerHttp2Stream) => unknown]>([
    ['INTERNAL_ERROR', (stream) => stream.destroy(new Error('broken'))],
    ['CANCEL', (stream) => addAbortSignal(AbortSignal.abort(), stream)],
    ['the whole connection', (stream) => stream.session!.destroy()],
  ])('one that breaks off is no whole one: %s', async (_name, breakOff) => {
    const { proxy, client, head } = await refused((stream) => {
      stream.respond({ ':status': 500 });
      stream.write('half', () => breakOff(stream));
    });
    expect(head[0]).toBe('HTTP/1.1 500 Internal Server Error');
    expect(await client.ended).toBe('reset');
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'failed(UPSTREAM_RESPONSE_ABORTED)' });
  });

  test('a head larger than maxHeaderBytes', async () => {
    const { head, proxy } = await refused(
      (stream) => stream.respond({ ':status': 200, 'x-much': 'x'.repeat(1500) }),
      { maxHeaderBytes: '1KiB' },
    );
    expect(head[0]).toBe('HTTP/1.1 502 Bad Gateway');
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'failed(UPSTREAM_ANSWER_TOO_LARGE)' });
  });

  test('a subprotocol that was not offered', async () => {
    const { head, proxy } = await refused((stream) =>
      stream.respond({ ':status': 200, 'sec-websocket-protocol': 'other' }),
    );
    expect(head[0]).toBe('HTTP/1.1 502 Bad Gateway');
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'failed(UPSTREAM_SWITCH_INVALID)' });
  });

  test('a reset', async () => {
    const { head, proxy, server } = await refused((stream) => stream.close(2), { retries: 0 });
    expect(head[0]).toBe('HTTP/1.1 502 Bad Gateway');
    expect(await proxy.nextRecord()).toMatchObject({
      outcome: 'failed(UPSTREAM_CLOSED_EARLY)',
      server: server.url,
    });
  });
});

describe('who speaks what', () => {
  const open = clients['HTTP/1.1'];

  test('true: a server without WebSockets over HTTP/2 is a 502 that says so', async () => {
    const server = await Http2WsServer.start({ enableConnectProtocol: false });
    const proxy = await start(server.url);
    await expect(open(proxy)).rejects.toThrow('502');
    const record = await proxy.nextRecord();
    expect(record.outcome).toBe('failed(UPSTREAM_HTTP2_NO_WEBSOCKETS)');
    expect(record.detail).toContain('announces no WebSockets over it');
  });

  test('true: a server of HTTP/1.1 is a 502 that says so, over TLS too', async () => {
    const server = await running(startWsServer());
    const proxy = await start(server.url);
    await expect(open(proxy)).rejects.toThrow('502');
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'failed(UPSTREAM_HTTP2_FAILED)' });
    const secure = await startBackend((_req, res) => res.end(), { secure: true });
    const proxied = await start(secure.url.replace('127.0.0.1', 'localhost'), {
      upstream: { tls: { ca: localhostCa } },
    });
    await expect(open(proxied)).rejects.toThrow('502');
    const record = await proxied.nextRecord();
    expect(record.outcome).toBe('failed(UPSTREAM_HTTP2_FAILED)');
    expect(record.detail).toContain('does not agree to HTTP/2 in TLS');
  });

  test('true: another server makes good what one cannot', async () => {
    const able = await Http2WsServer.start();
    for (const unable of [
      await Http2WsServer.start({ enableConnectProtocol: false }),
      await running(startWsServer()),
    ]) {
      const proxy = await start([unable.url, able.url]);
      for (let i = 0; i < 2; i++) {
        await open(proxy);
        expect(proxy.proxy.sessions.at(-1)?.server).toBe(able.url);
      }
    }
  });

  test('true: a server that says nothing is one that failed', async () => {
    const server = await RawServer.listen();
    const proxy = await start(server.url, { upstream: { connectTimeout: '200ms' } });
    await expect(open(proxy)).rejects.toThrow('502');
    expect((await proxy.nextRecord()).detail).toContain('said nothing in HTTP/2');
  });

  test('auto: a server that agrees in TLS gets streams', async () => {
    const server = await Http2WsServer.start({ secure: true });
    const proxy = await start(server.url, { upstream: { http2: 'auto', tls: { ca: localhostCa } } });
    const client = await open(proxy);
    client.send('hello');
    expect(await client.messages.next()).toBe('hello');
    expect((await server.ends.next()).fields).toMatchObject({ ':scheme': 'https' });
  });

  test('auto: one that takes no WebSockets so gets HTTP/1.1, and is not asked each time', async () => {
    const server = await Http2WsServer.start({
      secure: true,
      allowHttp1: true,
      enableConnectProtocol: false,
    });
    const proxy = await start(server.url, { upstream: { http2: 'auto', tls: { ca: localhostCa } } });
    for (let i = 0; i < 3; i++) {
      const client = await open(proxy);
      client.send('hello');
      expect(await client.messages.next()).toBe('hello');
    }
    expect(server.http1Ends.all).toHaveLength(3);
    expect(server.sessions.all).toHaveLength(1);
  });

  test('auto: one that speaks no HTTP/2, and a plain one, get HTTP/1.1', async () => {
    const secure = await startBackend((_req, res) => res.end('pages'), { secure: true });
    const url = secure.url.replace('127.0.0.1', 'localhost');
    const proxy = await start(url, { upstream: { http2: 'auto', tls: { ca: localhostCa } } });
    for (let i = 0; i < 3; i++) await expect(open(proxy)).rejects.toThrow('200');
    // The first has asked for HTTP/2 before.
    expect(secure.connections).toBe(4);
    const plain = await running(startWsServer());
    const client = await open(await start(plain.url, { upstream: { http2: 'auto' } }));
    client.send('hello');
    expect(await client.messages.next()).toBe('hello');
  });

  test('other generations: HTTP/1.1 with auto, refused with true', async () => {
    const server = await Http2WsServer.start({ secure: true, allowHttp1: true });
    const upstream = { http2: 'auto', tls: { ca: localhostCa } } as const;
    const proxy = await start(server.url, { upstream, websocket: { generations: [...generations] } });
    const client = await running(connectWs(proxy.url, [], { protocolVersion: 8 }));
    client.socket.send('old');
    expect(await client.messages.next()).toBe('old');
    expect(server.http1Ends.all).toHaveLength(1);
    const only = await start(server.url, {
      upstream: { ...upstream, http2: true },
      websocket: { generations: [...generations] },
    });
    await expect(connectWs(only.url, [], { protocolVersion: 8 })).rejects.toThrow('426');
    const record = await only.nextRecord();
    expect(record.outcome).toBe('failed(HANDSHAKE_GENERATION_REFUSED)');
    expect(record.detail).toContain('in HTTP/2 only');
    expect(record.detail).toMatch(/taken: rfc6455$/);
  });

  test('what is translated into RFC 6455 goes over HTTP/2', async () => {
    const server = await Http2WsServer.start();
    const proxy = await start(server.url, {
      websocket: { generations: ['hixie-76', 'rfc6455'], upstreamGeneration: 'rfc6455' },
    });
    const client = await RawPeer.connect(proxy.port);
    client.write(hixie76Head(hixieVectors[0]!, 'x'));
    client.write(Buffer.from(hixieVectors[0]!.key3, 'hex'));
    expect((await client.head())[0]).toContain(' 101 ');
    await client.take(16);
    client.write(Buffer.from(hixieText('grüße'), 'hex'));
    const end = await server.ends.next();
    expect(end.fields[':protocol']).toBe('websocket');
    expect(await end.messages.next()).toBe('grüße');
  });
});
