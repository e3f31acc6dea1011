/** Clients of HTTP/2: plain requests, and WebSockets by RFC 8441, in front of servers that speak HTTP/1.1. */
import { connect as connectTcp } from 'node:net';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import type { ConfigInput } from '../../src/config/schema.js';
import { acceptFor } from '../../src/protocol/handshake/hybi.js';
import { startBackend } from '../fixtures/http-backend.js';
import { Http2Client, readAnswer } from '../fixtures/http2-client.js';
import { startWsServer } from '../fixtures/peers/ws.js';
import { startProxy } from '../fixtures/proxy.js';
import { eventually } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { frames, switchHead } from '../fixtures/rfc6455.js';
import { running } from '../fixtures/running.js';

async function start(to: string, more: Partial<ConfigInput> = {}) {
  const proxy = await running(
    startProxy({ listeners: [{ address: '127.0.0.1:0', http2: true }], routes: [{ to }], ...more }),
  );
  return { proxy, client: await Http2Client.connect(proxy.url) };
}

describe('plain requests', () => {
  const echo = (req: IncomingMessage, res: ServerResponse): void => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      res.writeHead(200, {
        'Set-Cookie': ['a=1', 'b=2'],
        Connection: 'keep-alive',
        'Keep-Alive': 'timeout=5',
      });
      const { method, url, rawHeaders, rawTrailers } = req;
      res.end(
        JSON.stringify({ method, url, rawHeaders, rawTrailers, body: Buffer.concat(chunks).toString() }),
      );
    });
  };

  test('reach a server in HTTP/1.1, cookies joined, nothing of the connection passed on', async () => {
    const backend = await startBackend(echo);
    const { proxy, client } = await start(backend.url);
    const answer = await client.ask({
      ':path': '/a?b=c',
      ':authority': 'shop.example',
      cookie: ['x=1', 'y=2'],
    });
    expect(answer).toMatchObject({ status: 200, rstCode: 0, headers: { 'set-cookie': ['a=1', 'b=2'] } });
    expect(Object.keys(answer.headers)).not.toContain('keep-alive');
    const seen = JSON.parse(answer.body) as { rawHeaders: string[] };
    expect(seen).toMatchObject({ method: 'GET', url: '/a?b=c', body: '' });
    expect(seen.rawHeaders.slice(0, 2)).toEqual(['Host', 'shop.example']);
    expect(seen.rawHeaders).toContain('x=1; y=2');
    expect(await proxy.nextRecord()).toMatchObject({
      via: 'h2',
      host: 'shop.example',
      status: 200,
      path: '/a',
    });
  });

  test('bodies of known and of unknown length, trailers with them', async () => {
    const backend = await startBackend(echo);
    const { client } = await start(backend.url);
    const known = await client.ask({ ':method': 'POST', ':path': '/', 'content-length': 5 }, 'hello');
    expect(JSON.parse(known.body)).toMatchObject({ body: 'hello', rawTrailers: [] });
    const unknown = await client.ask({ ':method': 'PUT', ':path': '/' }, 'x'.repeat(200_000), {
      'x-sum': '42',
    });
    expect(JSON.parse(unknown.body)).toMatchObject({
      body: 'x'.repeat(200_000),
      rawTrailers: ['x-sum', '42'],
    });
  });

  test('answers: without a body, to HEAD, with trailers, behind 100 and 103', async () => {
    const backend = await startBackend((req, res) => {
      if (req.url === '/204') return void res.writeHead(204).end();
      if (req.url === '/trailers') {
        res.writeHead(200, { Trailer: 'X-Sum' });
        res.write('body');
        res.addTrailers({ 'X-Sum': '7' });
        return void res.end();
      }
      res.writeEarlyHints({ link: '</style.css>; rel=preload' });
      res.writeHead(200, { 'Content-Length': 4 }).end('body');
    });
    const { client } = await start(backend.url);
    expect(await client.ask({ ':path': '/204' })).toMatchObject({ status: 204, body: '', rstCode: 0 });
    expect(await client.ask({ ':path': '/', ':method': 'HEAD' })).toMatchObject({
      status: 200,
      body: '',
      headers: { 'content-length': '4' },
    });
    expect(await client.ask({ ':path': '/trailers' })).toMatchObject({
      body: 'body',
      trailers: { 'x-sum': '7' },
    });
    const expecting = { ':path': '/', ':method': 'POST', 'content-length': 2, expect: '100-continue' };
    expect(await client.ask(expecting, 'hi')).toMatchObject({ interim: [100, 103], body: 'body' });
  });

  test('a server that breaks its answer off resets the stream, and only that one', async () => {
    const backend = await RawServer.listen();
    const { client } = await start(backend.url);
    const [one, two] = [client.ask({ ':path': '/1' }), client.ask({ ':path': '/2' })];
    const servers = [await backend.accept(), await backend.accept()];
    for (const server of servers) {
      const [line] = await server.head();
      server.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n');
      if (line!.includes(' /1 ')) server.reset();
      else server.write('done');
    }
    expect((await one).rstCode).not.toBe(0);
    expect(await two).toMatchObject({ status: 200, body: 'done', rstCode: 0 });
  });

  test('a client that gives a request up is known to the server', async () => {
    const backend = await RawServer.listen();
    const { proxy, client } = await start(backend.url);
    const stream = client.session.request({ ':path': '/' });
    const server = await backend.accept();
    await server.head();
    stream.close(8);
    await server.ended;
    expect(await proxy.nextRecord()).toMatchObject({
      via: 'h2',
      status: 499,
      outcome: 'failed(CLIENT_GONE)',
    });
  });

  test('CONNECT is not taken, for whatever protocol but websocket', async () => {
    const { proxy, client } = await start('http://127.0.0.1:9');
    expect(await client.ask({ ':method': 'CONNECT', ':authority': 'a:1' })).toMatchObject({ status: 501 });
    const odd = { ':method': 'CONNECT', ':protocol': 'connect-udp', ':path': '/', ':scheme': 'http' };
    const answer = await client.ask(odd, '');
    expect(answer).toMatchObject({ status: 501 });
    expect(answer.body).toContain('only websocket is');
    expect(await proxy.nextRecord()).toMatchObject({
      via: 'h2',
      outcome: 'failed(REQUEST_METHOD_UNSUPPORTED)',
    });
  });

  test('HTTP/1.1 is spoken on the same listener', async () => {
    const backend = await startBackend((_req, res) => res.end('pages'));
    const { proxy } = await start(backend.url);
    expect(await (await fetch(proxy.url)).text()).toBe('pages');
    expect(await proxy.nextRecord()).toMatchObject({ via: 'h1', status: 200 });
  });
});

describe.each(['stream', 'auto'] as const)('WebSockets (RFC 8441), relay: %s', (relay) => {
  test('talk to a server of HTTP/1.1: subprotocol, both kinds of messages, code and reason', async () => {
    const server = await running(startWsServer({ handleProtocols: (offered) => [...offered][1] ?? false }));
    const { proxy, client } = await start(server.url, { relay });
    expect(client.session.remoteSettings.enableConnectProtocol).toBe(true);
    const origin = 'https://app.example';
    const socket = await client.open({ 'sec-websocket-protocol': 'v1, v2', origin });
    expect(socket.headers['sec-websocket-protocol']).toBe('v2');
    for (const name of ['sec-websocket-accept', 'upgrade', 'connection']) {
      expect(socket.headers).not.toHaveProperty(name);
    }
    socket.socket.send('grüße');
    socket.socket.send(Buffer.alloc(300_000, 'x'));
    expect(await socket.messages.next()).toBe('grüße');
    expect(await socket.messages.next()).toHaveLength(300_000);
    const end = await server.ends.next();
    expect(end.request?.headers).toMatchObject({ origin, upgrade: 'websocket', connection: 'Upgrade' });
    expect(Buffer.from(end.request!.headers['sec-websocket-key']!, 'base64')).toHaveLength(16);
    socket.socket.close(4000, 'bye');
    expect(await socket.closed).toEqual({ code: 4000, reason: 'bye' });
    expect(await end.closed).toEqual({ code: 4000, reason: 'bye' });
    expect(await proxy.nextRecord()).toMatchObject({
      via: 'h2',
      generation: 'rfc6455',
      status: 101,
      subprotocol: 'v2',
      messagesFromClient: 2,
      messagesFromUpstream: 2,
      closeCodeFromClient: 4000,
      outcome: 'client-closed',
    });
  });

  test('each has a key of its own, and a switch that does not prove it is a 502', async () => {
    const server = await RawServer.listen();
    const { client } = await start(server.url, { relay });
    const answers = [client.offer(), client.offer()].map((stream) => readAnswer(stream));
    const keys: (string | undefined)[] = [];
    for (let i = 0; i < 2; i++) {
      const peer = await server.accept();
      keys.push((await peer.head()).find((line) => line.startsWith('Sec-WebSocket-Key: ')));
      // The right answer to another key.
      peer.write(switchHead());
    }
    expect(new Set(keys).size).toBe(2);
    for (const answer of await Promise.all(answers)) expect(answer.status).toBe(502);
  });

  test('a real answer of HTTP is passed on as such, out of its chunks', async () => {
    const server = await RawServer.listen();
    const { client } = await start(server.url, { relay });
    const answer = readAnswer(client.offer());
    const peer = await server.accept();
    await peer.head();
    peer.write('HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nTransfer-Encoding: chunked\r\n\r\n');
    peer.write('5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n');
    expect(await answer).toMatchObject({
      status: 401,
      headers: { 'www-authenticate': 'Basic' },
      body: 'hello world',
      rstCode: 0,
    });
  });

  test('a 2xx that is no switch is a 502: here it would be taken for one', async () => {
    const server = await startBackend((_req, res) => res.end('a page'));
    const { proxy, client } = await start(server.url, { relay });
    expect(await readAnswer(client.offer())).toMatchObject({ status: 502, rstCode: 0 });
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'failed(UPSTREAM_REFUSAL_AMBIGUOUS)' });
    await eventually(() => proxy.proxy.sessions.length === 0, 'no session');
  });

  test('ends and resets come through, either way', async () => {
    const server = await RawServer.listen();
    const { proxy, client } = await start(server.url, { relay });
    const open = async () => {
      const stream = client.offer();
      const peer = await server.accept();
      const key = (await peer.head()).find((line) => line.startsWith('Sec-WebSocket-Key: '))!.slice(19);
      peer.write(switchHead().replace(/Accept: .*/, `Accept: ${acceptFor(key)}`));
      await new Promise((resolve) => stream.once('response', resolve));
      stream.on('error', () => {});
      stream.resume();
      return { stream, peer };
    };
    const first = await open();
    first.stream.end(Buffer.from(frames.maskedClose1001, 'hex'));
    expect((await first.peer.take(8)).toString('hex')).toBe(frames.maskedClose1001);
    expect(await first.peer.ended).toBe('end');
    first.peer.end();
    await new Promise((resolve) => first.stream.once('close', resolve));
    expect(first.stream.rstCode).toBe(0);

    const second = await open();
    second.stream.destroy();
    expect(await second.peer.ended).toBe('reset');
    expect(await proxy.nextRecord((record) => record.outcome === 'client-lost')).toBeDefined();

    const third = await open();
    const heard: string[] = [];
    for (const name of ['end', 'aborted']) third.stream.on(name, () => heard.push(name));
    const closed = new Promise((resolve) => third.stream.once('close', resolve));
    third.peer.reset();
    await closed;
    // No end before it: what was cut off must not look whole.
    expect(heard[0]).toBe('aborted');
    // CANCEL, as RFC 8441 §5 has it.
    expect(third.stream.rstCode).toBe(8);
    expect(await proxy.nextRecord((record) => record.outcome === 'upstream-lost')).toBeDefined();
    await eventually(() => proxy.proxy.sessions.length === 0, 'no session left');
  });

  test('one that is not read, nor its server, holds up none of its siblings', async () => {
    const server = await running(startWsServer());
    const deaf = await RawServer.listen();
    const routes = [{ match: { path: '/deaf' }, to: deaf.url }, { to: server.url }];
    const { client } = await start(server.url, { relay, routes });
    const stalled = client.offer({ ':path': '/deaf' });
    const peer = await deaf.accept();
    const key = (await peer.head()).find((line) => line.startsWith('Sec-WebSocket-Key: '))!.slice(19);
    peer.pause();
    peer.write(switchHead().replace(/Accept: .*/, `Accept: ${acceptFor(key)}`));
    await new Promise((resolve) => stalled.once('response', resolve));
    // As much as fits: to its server, and into every buffer on the way.
    const block = Buffer.alloc(64 * 1024);
    stalled.write(
      Buffer.concat([Buffer.from('82ff0000000100000000 00000000'.replaceAll(' ', ''), 'hex'), block]),
    );
    while (stalled.write(block) || (await drained(stalled)));
    const sibling = await client.open();
    sibling.socket.send('x'.repeat(1_000_000));
    expect(await sibling.messages.next()).toHaveLength(1_000_000);
    stalled.destroy();
  });

  test('many at once on one connection', async () => {
    const server = await running(startWsServer());
    const { proxy, client } = await start(server.url, { relay });
    const sockets = await Promise.all(Array.from({ length: 100 }, () => client.open()));
    sockets.forEach(({ socket }, i) => socket.send(`message ${i}`));
    for (const [i, { messages }] of sockets.entries()) expect(await messages.next()).toBe(`message ${i}`);
    expect(proxy.proxy.sessions).toHaveLength(100);
    client.session.destroy();
    await eventually(() => proxy.proxy.sessions.length === 0, 'no session left');
  });

  test('a drain tells each by a Close, and the connection goes only behind the last', async () => {
    const server = await running(startWsServer());
    const { proxy, client } = await start(server.url, { relay });
    const [one, two] = [await client.open(), await client.open()];
    let goaways = 0;
    client.session.on('goaway', () => goaways++);
    const closedAt: number[] = [];
    for (const { closed } of [one, two]) void closed.then(() => closedAt.push(goaways));
    const stopped = proxy.proxy.stop({ timeoutMs: 10_000, spreadMs: 0 });
    expect((await one.closed).code).toBe(1001);
    expect((await two.closed).code).toBe(1001);
    await stopped;
    expect(closedAt[0]).toBe(0);
    expect(client.session.closed || client.session.destroyed).toBe(true);
  });
});

test('WebSockets are offered only where a route takes them', async () => {
  const { client } = await start('http://127.0.0.1:9', {
    routes: [{ to: 'http://127.0.0.1:9', websocket: false }],
  });
  expect(client.session.remoteSettings.enableConnectProtocol).toBe(false);
});

test('a route without WebSockets refuses one, whatever its server would say', async () => {
  const backend = await startBackend((_req, res) => res.end('a page'));
  const routes = [{ match: { path: '/plain/*' }, to: backend.url, websocket: false }, { to: backend.url }];
  const { proxy, client } = await start(backend.url, { routes });
  expect(await readAnswer(client.offer({ ':path': '/plain/' }))).toMatchObject({ status: 501, rstCode: 0 });
  expect(await proxy.nextRecord()).toMatchObject({ outcome: 'failed(WEBSOCKETS_NOT_TAKEN)' });
});

test('a client that says nothing, or stops in the middle of its first words, is cut', async () => {
  const listeners = [{ address: '127.0.0.1:0', http2: true, headerTimeout: '200ms' }];
  const { proxy } = await start('http://127.0.0.1:9', { listeners });
  for (const words of ['', 'PRI * HT', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n']) {
    const socket = connectTcp(proxy.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.resume();
    socket.write(words);
    await new Promise((resolve) => socket.once('close', resolve));
  }
});

function drained(stream: NodeJS.EventEmitter): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), 500);
    stream.once('drain', () => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
