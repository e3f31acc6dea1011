/** WebSockets that end in Tidegate: how they are opened, by a backend that is asked in plain HTTP. */
import type http from 'node:http';
import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../src/base/manual-clock.js';
import { EventsBackend, obliging, text, type Post } from '../fixtures/events-backend.js';
import { startGateway } from '../fixtures/gateway.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { headOf } from '../fixtures/rfc6455.js';

describe('opening', () => {
  test('the backend gets the handshake with OPEN, and what it grants reaches the client', async () => {
    const backend = await EventsBackend.start((post) =>
      post.events[0] === 'OPEN'
        ? {
            fields: {
              'Sec-WebSocket-Protocol': 'chat.v1',
              'Set-Cookie': 'seen=1',
              'Set-Meta-User': 'alice',
              'Keep-Alive-Interval': '60',
            },
            events: ['OPEN', text('welcome')],
          }
        : obliging(post),
    );
    const { connect, records } = await startGateway({ to: backend.url });
    let answered: http.IncomingMessage | undefined;
    const opened = connect(['chat.v2', 'chat.v1'], {
      headers: {
        Cookie: 'sid=42',
        Authorization: 'Bearer x',
        'X-Mine': 'yes',
        'Meta-User': 'mallory',
        Meta_User: 'mallory',
        'Grip-Sig': 'forged',
        'Connection-Id': 'forged',
        'Content-Bytes-Replayed': '7',
        'Tidegate-Request-Seq': '9',
      },
      finishRequest: (request: http.ClientRequest) => {
        request.prependListener('upgrade', (response) => (answered = response));
        request.end();
      },
    });
    const client = await opened;
    expect(client.socket.protocol).toBe('chat.v1');
    expect(await client.messages.next()).toBe('welcome');
    expect(answered!.headers['set-cookie']).toEqual(['seen=1']);
    for (const name of ['set-meta-user', 'keep-alive-interval', 'content-type']) {
      expect(answered!.headers).not.toHaveProperty(name);
    }

    client.socket.send('hello');
    expect(await client.messages.next()).toBe('hello');
    const [open, next] = backend.posts.all as [Post, Post];
    expect(open.events).toEqual(['OPEN']);
    expect(next.events).toEqual(['TEXT hello']);
    for (const { method, path, headers, rawHeaders } of [open, next]) {
      expect([method, path]).toEqual(['POST', '/chat?room=1']);
      expect(headers).toMatchObject({
        cookie: 'sid=42',
        authorization: 'Bearer x',
        'x-mine': 'yes',
        'sec-websocket-version': '13',
        'sec-websocket-protocol': 'chat.v2,chat.v1',
        'sec-websocket-extensions': 'grip',
        'content-type': 'application/websocket-events',
        accept: 'application/websocket-events',
        'x-forwarded-for': '127.0.0.1',
        'x-forwarded-proto': 'http',
      });
      const names = rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
      for (const name of ['upgrade', 'grip-sig', 'meta_user', 'content-bytes-replayed']) {
        expect(names).not.toContain(name);
      }
      expect(names.filter((name) => name === 'connection-id')).toHaveLength(1);
      expect(headers['connection-id']).toBe(open.headers['connection-id']);
      expect(headers['connection-id']).not.toBe('forged');
    }
    expect([open.headers['meta-user'], next.headers['meta-user']]).toEqual([undefined, 'alice']);
    expect([open.headers['tidegate-request-seq'], next.headers['tidegate-request-seq']]).toEqual(['1', '2']);

    client.socket.close(4001, 'bye');
    expect(await client.closed).toEqual({ code: 4001, reason: 'bye' });
    expect(await records.next()).toMatchObject({
      route: 'routes[0]',
      status: 101,
      path: '/chat',
      subprotocol: 'chat.v1',
      generation: 'rfc6455',
      messagesFromClient: 1,
      messagesFromUpstream: 2,
      bytesFromClient: 5,
      bytesFromUpstream: 12,
      closeCodeFromClient: 4001,
      closedBy: 'client',
      outcome: 'client-closed',
    });
  });

  test('a refusal reaches the client whole', async () => {
    const backend = await EventsBackend.start(() => ({
      status: 403,
      fields: { 'Content-Type': 'text/plain', 'X-Why': 'not you', 'Set-Cookie': 'a=1' },
      body: 'go away',
    }));
    const { port, records, proxy } = await startGateway({ to: backend.url });
    const client = await RawPeer.connect(port);
    client.write(handshake());
    const answer = (await client.rest()).toString();
    expect(answer).toMatch(/^HTTP\/1\.1 403 /);
    expect(answer).toContain('X-Why: not you\r\n');
    expect(answer).toContain('Set-Cookie: a=1\r\n');
    expect(answer).toContain('\r\n\r\ngo away');
    expect(await records.next()).toMatchObject({ status: 403, bytesFromUpstream: 7 });
    expect(proxy.sessions).toHaveLength(0);
    expect(backend.eventsOf()).toEqual(['OPEN']);
  });

  test('a redirect reaches the client as one', async () => {
    const backend = await EventsBackend.start(() => ({
      status: 302,
      fields: { Location: '/login', 'Content-Type': 'text/plain' },
      body: '',
    }));
    const { port } = await startGateway({ to: backend.url });
    const client = await RawPeer.connect(port);
    client.write(handshake());
    const answer = (await client.rest()).toString();
    expect(answer).toMatch(/^HTTP\/1\.1 302 /);
    expect(answer).toContain('Location: /login\r\n');
    expect(answer).toContain('Content-Length: 0\r\n');
  });

  test.each([
    ['a subprotocol nobody offered', { fields: { 'Sec-WebSocket-Protocol': 'other' }, events: ['OPEN'] }],
    ['no OPEN', { events: [text('x')] }],
    ['nothing at all', { events: [] }],
    ['events cut short', { body: 'OPEN\r\nTEXT ff\r\nabc' }],
  ])('%s is no grant: 502', async (_what, answer) => {
    const backend = await EventsBackend.start((post) =>
      post.events[0] === 'OPEN' ? answer : { events: [] },
    );
    const { port, troubles, records } = await startGateway({ to: backend.url });
    const client = await RawPeer.connect(port);
    client.write(handshake());
    expect((await client.head())[0]).toBe('HTTP/1.1 502 Bad Gateway');
    expect(await troubles.next()).toMatch(/^the backend /);
    expect(await records.next()).toMatchObject({
      status: 502,
      outcome: 'failed(UPSTREAM_ANSWER_MALFORMED)',
      server: backend.url,
    });
    // It may believe that the connection is there.
    await backend.posts.next(({ events }) => events[0] === 'DISCONNECT');
  });

  test('a backend may decide later', async () => {
    const clock = new ManualClock();
    let asked = 0;
    const backend = await EventsBackend.start((post) => {
      if (post.events[0] !== 'OPEN') return obliging(post);
      return ++asked === 1 ? { fields: { 'Keep-Alive-Interval': '20' } } : { events: ['OPEN'] };
    });
    const { connect } = await startGateway({
      to: backend.url,
      clock,
      websocket: { handshakeTimeout: '24h' },
    });
    const opening = connect();
    await backend.posts.next();
    // Its answer is still on its way.
    while (backend.posts.all.length === 1) {
      clock.advance(1000);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const client = await opening;
    client.socket.send('x');
    expect(await client.messages.next()).toBe('x');
  });

  test('the media type may have parameters', async () => {
    const backend = await EventsBackend.start((post) => ({
      ...obliging(post),
      fields: { 'Content-Type': 'application/websocket-events; charset=utf-8' },
    }));
    const { connect } = await startGateway({ to: backend.url });
    const client = await connect();
    client.socket.send('x');
    expect(await client.messages.next()).toBe('x');
  });

  test('a client that leaves before its answer is told of', async () => {
    const backend = await EventsBackend.start(() => undefined);
    const { port, records } = await startGateway({ to: backend.url });
    const client = await RawPeer.connect(port);
    client.write(handshake());
    const open = await backend.posts.next();
    client.destroy();
    expect(await records.next()).toMatchObject({ outcome: 'failed(CLIENT_GONE)' });
    open.answer({ events: ['OPEN'] });
    const farewell = await backend.posts.next();
    expect(farewell.events).toEqual(['DISCONNECT']);
    expect(farewell.headers['connection-id']).toBe(open.headers['connection-id']);
    farewell.answer({});
    expect(backend.problems).toEqual([]);
  });

  test('a backend that is silent to the handshake: 504, and it is told', async () => {
    const clock = new ManualClock();
    const backend = await EventsBackend.start(() => undefined);
    const websocket = { handshakeTimeout: '5s' };
    const { port, records } = await startGateway({ to: backend.url, clock, websocket });
    const client = await RawPeer.connect(port);
    client.write(handshake());
    await backend.posts.next();
    clock.advance(5000);
    expect((await client.head())[0]).toBe('HTTP/1.1 504 Gateway Timeout');
    expect(await records.next()).toMatchObject({ status: 504, outcome: 'failed(UPSTREAM_ANSWER_TIMEOUT)' });
    // Not before its time for an answer is over: there is one request at a time.
    clock.advance(55_000);
    const farewell = await backend.posts.next();
    expect(farewell.events).toEqual(['DISCONNECT']);
    farewell.answer({});
  });

  test('a plain request may not speak for the gateway', async () => {
    const backend = await EventsBackend.start();
    const { port, records } = await startGateway({ to: backend.url });
    for (const field of [
      'Content-Type: application/websocket-events',
      'content-type:Application/WebSocket-Events; charset=utf-8',
      'Content_Type: application/websocket-events',
    ]) {
      const client = await RawPeer.connect(port);
      client.write(
        headOf('POST /chat HTTP/1.1', 'Host: x', field, 'Connection-Id: 1', 'Content-Length: 6') + 'OPEN\r\n',
      );
      const head = await client.head();
      expect(head[0]).toBe('HTTP/1.1 403 Forbidden');
      expect(await records.next()).toMatchObject({ status: 403, outcome: 'failed(EVENTS_NOT_TAKEN)' });
    }
    expect(backend.posts.all).toEqual([]);
    // All else passes.
    const response = await fetch(`http://127.0.0.1:${port}/chat`, { method: 'POST', body: 'OPEN\r\n' });
    expect(response.status).toBe(200);
    expect(backend.posts.all).toHaveLength(1);
  });
});

/** As `ws` sends it. */
function handshake(...more: string[]): string {
  return headOf(
    'GET /chat HTTP/1.1',
    'Host: x',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...more,
  );
}
