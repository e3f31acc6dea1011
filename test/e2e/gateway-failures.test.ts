/** Gateways whose backend fails, hangs or is away for a while: nothing is lost in silence, nothing waits for ever. */
import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../src/base/manual-clock.js';
import { EventsBackend, obliging, text, type Post } from '../fixtures/events-backend.js';
import { startGateway } from '../fixtures/gateway.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { upgradeHead } from '../fixtures/rfc6455.js';
import { quietPort } from '../fixtures/ports.js';

describe('a backend that is away', () => {
  test('from the start: 502, with what went wrong in the record', async () => {
    const { port, records } = await startGateway({ to: `http://127.0.0.1:${await quietPort()}` });
    const client = await RawPeer.connect(port);
    client.write(upgradeHead('x'));
    expect((await client.head())[0]).toBe('HTTP/1.1 502 Bad Gateway');
    expect(await records.next()).toMatchObject({ status: 502, outcome: 'failed(UPSTREAM_CONNECT_FAILED)' });
  });

  test('for a while: the client does not notice, nothing is lost or comes twice, and order is kept', async () => {
    const clock = new ManualClock();
    const backend = await EventsBackend.start();
    const { connect, proxy } = await startGateway({ to: backend.url, clock });
    const client = await connect();
    client.socket.send('before');
    expect(await client.messages.next()).toBe('before');
    const idle = clock.pending;
    await backend.stop();
    for (let i = 0; i < 50; i++) client.socket.send(`while ${i}`);
    await eventually(() => proxy.sessions[0]!.messagesFromClient === 51, 'all came');
    // Two retries find nobody: after one second or two, and after two or three more.
    for (const ms of [2000, 3000]) {
      await eventually(() => clock.pending === idle + 1, 'it waits');
      clock.advance(ms);
      await settled();
    }
    await backend.listen();
    await until(
      () => client.messages.all.length === 51,
      () => clock.advance(1000),
    );
    expect(client.messages.all).toEqual(['before', ...Array.from({ length: 50 }, (_, i) => `while ${i}`)]);
    expect(backend.problems).toEqual([]);
    expect(client.socket.readyState).toBe(client.socket.OPEN);
  });

  test.each([502, 503, 504])('%i for a while is the same as away', async (status) => {
    const clock = new ManualClock();
    let isDown = false;
    const backend = await EventsBackend.start((post) => (isDown ? { status, body: 'down' } : obliging(post)));
    const { connect } = await startGateway({ to: backend.url, clock });
    const client = await connect();
    isDown = true;
    client.socket.send('one');
    await backend.posts.next(({ events }) => events[0] === 'TEXT one');
    client.socket.send('two');
    await until(
      () => backend.posts.all.length >= 4,
      () => clock.advance(1000),
    );
    isDown = false;
    await until(
      () => client.messages.all.length === 2,
      () => clock.advance(1000),
    );
    expect(client.messages.all).toEqual(['one', 'two']);
    // A repeat has the number of what it repeats, so that a backend can know it.
    const [open, first, ...repeats] = backend.posts.all as [Post, Post, ...Post[]];
    const seq = (post: Post): unknown => post.headers['tidegate-request-seq'];
    expect([seq(open), seq(first), seq(repeats[0]!), seq(repeats[1]!)]).toEqual(['1', '2', '2', '2']);
    expect(repeats[0]!.body).toEqual(first.body);
    expect(seq(backend.posts.all.at(-1)!)).toBe('3');
    expect(backend.problems).toEqual([]);
  });

  test('for longer than retries last: the client gets 1011, and the record says why', async () => {
    const clock = new ManualClock();
    const backend = await EventsBackend.start();
    const { connect, records, troubles } = await startGateway({ to: backend.url, clock });
    const client = await connect();
    await backend.stop();
    client.socket.send('lost');
    let isClosed = false;
    void client.closed.then(() => (isClosed = true));
    await until(
      () => isClosed,
      () => clock.advance(1000),
    );
    expect(await client.closed).toMatchObject({ code: 1011 });
    expect(await records.next()).toMatchObject({ closedBy: 'upstream', detail: 'the backend failed' });
    expect(await troubles.next((line) => line.includes('messages of the client lost: 1'))).toMatch(
      /gave no answer/,
    );
  });
});

describe('a backend that fails', () => {
  test.each([500, 404])('with %i: 1011, and it is told of the end', async (status) => {
    const backend = await EventsBackend.start((post) =>
      post.events[0] === 'TEXT x' ? { status, body: 'oops' } : obliging(post),
    );
    const { connect, records, troubles } = await startGateway({ to: backend.url });
    const client = await connect();
    client.socket.send('x');
    expect(await client.closed).toMatchObject({ code: 1011 });
    expect(await records.next()).toMatchObject({
      closedBy: 'upstream',
      closeCodeFromUpstream: 1011,
      detail: 'the backend failed',
    });
    expect(await troubles.next()).toContain(`answered ${status}`);
    await backend.posts.next(({ events }) => events[0] === 'DISCONNECT');
  });

  test('in the middle of a request: nobody knows whether it was read, so it is not sent again', async () => {
    const backend = await EventsBackend.start((post) => {
      if (post.events[0] !== 'TEXT x') return obliging(post);
      post.cut();
      return undefined;
    });
    const { connect } = await startGateway({ to: backend.url, gateway: { retries: { attempts: 5 } } });
    const client = await connect();
    // The first on a connection is no stale one.
    backend.dropConnections();
    await eventually(() => backend.openConnections === 0, 'the pool is empty');
    await settled();
    client.socket.send('x');
    expect(await client.closed).toMatchObject({ code: 1011 });
    expect(backend.eventsOf().filter((one) => one === 'TEXT x')).toHaveLength(1);
  });

  test('a kept connection that it has closed meanwhile is replaced by another', async () => {
    const backend = await EventsBackend.start();
    const { connect } = await startGateway({ to: backend.url });
    const client = await connect();
    for (let i = 0; i < 20; i++) {
      backend.dropConnections();
      client.socket.send(`m${i}`);
      expect(await client.messages.next()).toBe(`m${i}`);
    }
    expect(backend.eventsOf()).toHaveLength(21);
  });

  test('an answer that takes too long: 1011', async () => {
    const clock = new ManualClock();
    const backend = await EventsBackend.start((post) =>
      post.events[0] === 'TEXT x' ? undefined : obliging(post),
    );
    const { connect, troubles } = await startGateway({
      to: backend.url,
      clock,
      gateway: { requestTimeout: '7s' },
    });
    const client = await connect();
    client.socket.send('x');
    await backend.posts.next(({ events }) => events[0] === 'TEXT x');
    clock.advance(7000);
    expect(await client.closed).toMatchObject({ code: 1011 });
    expect(await troubles.next()).toContain('within 7s (`gateway.requestTimeout`)');
    await backend.posts.next(({ events }) => events[0] === 'DISCONNECT');
    expect(backend.problems).toEqual([]);
  });

  test('an answer that is too large: 1011', async () => {
    const backend = await EventsBackend.start((post) =>
      post.events[0] === 'TEXT x' ? { events: [text('y'.repeat(2000))] } : obliging(post),
    );
    const { connect, troubles } = await startGateway({
      to: backend.url,
      gateway: { maxResponseBytes: '1KiB' },
    });
    const client = await connect();
    client.socket.send('x');
    expect(await client.closed).toMatchObject({ code: 1011 });
    expect(client.messages.all).toEqual([]);
    expect(await troubles.next()).toContain('larger than 1KiB (`gateway.maxResponseBytes`)');
  });

  test('text that is not UTF-8 does not reach the client', async () => {
    const backend = await EventsBackend.start((post) =>
      post.events[0] === 'TEXT x' ? { body: Buffer.from('TEXT 1\r\n\xff\r\n', 'latin1') } : obliging(post),
    );
    const { connect } = await startGateway({ to: backend.url });
    const client = await connect();
    client.socket.send('x');
    expect(await client.closed).toMatchObject({ code: 1011 });
    expect(client.messages.all).toEqual([]);
  });

  test('to a DISCONNECT, whatever it answers is the last', async () => {
    const backend = await EventsBackend.start((post) =>
      post.events[0] === 'DISCONNECT' ? { status: 500, body: 'no such thing' } : obliging(post),
    );
    const { connect, proxy, troubles } = await startGateway({ to: backend.url });
    const client = await connect();
    client.socket.terminate();
    expect(await troubles.next()).toContain('answered 500');
    await proxy.stop();
    expect(backend.eventsOf()).toEqual(['OPEN', 'DISCONNECT']);
  });
});

describe('stopping', () => {
  test('clients get their Close, and the backend is told before the stop is over', async () => {
    const backend = await EventsBackend.start();
    const { connect, proxy, records } = await startGateway({
      to: backend.url,
      more: { drain: { spread: 0, reason: 'back soon' } },
    });
    const clients = [await connect(), await connect(), await connect()];
    await proxy.stop();
    for (const { closed } of clients) expect(await closed).toEqual({ code: 1001, reason: 'back soon' });
    for (let i = 0; i < 3; i++) {
      expect(await records.next()).toMatchObject({ closedBy: 'proxy', outcome: 'drained' });
    }
    expect(backend.eventsOf().sort()).toEqual([
      ...clients.map(() => 'CLOSE 1001 back soon'),
      ...clients.map(() => 'OPEN'),
    ]);
  });

  test('in the middle of a handshake: 503 at the deadline, and the backend is told', async () => {
    const clock = new ManualClock();
    const backend = await EventsBackend.start((post) =>
      post.events[0] === 'OPEN' ? undefined : obliging(post),
    );
    const { port, proxy, records } = await startGateway({
      to: backend.url,
      clock,
      more: { drain: { timeout: '3s', spread: 0 } },
    });
    const client = await RawPeer.connect(port);
    client.write(upgradeHead('x'));
    await backend.posts.next();
    const stopped = proxy.stop();
    clock.advance(3000);
    expect((await client.head())[0]).toBe('HTTP/1.1 503 Service Unavailable');
    expect(await records.next()).toMatchObject({ outcome: 'failed(PROXY_STOPPING)' });
    client.end();
    await stopped;
    expect(backend.eventsOf()).toEqual(['OPEN', 'DISCONNECT']);
  });

  test('a backend that hangs does not keep it up', async () => {
    const backend = await EventsBackend.start((post) =>
      post.events[0] === 'OPEN' ? { events: ['OPEN'] } : undefined,
    );
    const { connect, proxy } = await startGateway({ to: backend.url });
    const client = await connect();
    client.socket.send('x');
    await backend.posts.next(({ events }) => events[0] === 'TEXT x');
    // A second for the last word to the backend, which is not heard.
    await proxy.stop({ timeoutMs: 0 });
    expect(await client.closed).toMatchObject({ code: 1006 });
    expect(backend.eventsOf()).toEqual(['OPEN', 'TEXT x', 'DISCONNECT']);
  });

  test('nor does one that is away', async () => {
    const backend = await EventsBackend.start();
    const { connect, proxy } = await startGateway({ to: backend.url });
    const client = await connect();
    await backend.stop();
    client.socket.send('x');
    await eventually(() => proxy.sessions[0]!.messagesFromClient === 1, 'it came');
    await proxy.stop({ timeoutMs: 0 });
    expect(await client.closed).toMatchObject({ code: 1006 });
  });

  test('a reload that takes the route away closes its clients, if that is the plan', async () => {
    const backend = await EventsBackend.start();
    const { connect, proxy, records } = await startGateway({ to: backend.url });
    const client = await connect();
    await proxy.reload({
      listeners: ['127.0.0.1:0'],
      routes: [{ match: { path: '/other' }, gateway: { to: backend.url } }],
      reload: { changedRoutes: 'close' },
    });
    expect(await client.closed).toMatchObject({ code: 1012 });
    expect(await records.next()).toMatchObject({ closedBy: 'proxy' });
    await backend.posts.next(({ events }) => events[0] === 'CLOSE 1012 route changed');
  });

  test('a reload that keeps sessions keeps them with their backend', async () => {
    const backend = await EventsBackend.start();
    const { connect, proxy } = await startGateway({ to: backend.url });
    const client = await connect();
    await proxy.reload({
      listeners: ['127.0.0.1:0'],
      routes: [{ match: { path: '/other' }, gateway: { to: backend.url } }],
    });
    client.socket.send('still here');
    expect(await client.messages.next()).toBe('still here');
  });
});

/** Moves on, a step at a time, with room in between for what is real: sockets. */
async function until(holds: () => boolean, step: () => void): Promise<void> {
  for (let i = 0; i < 200 && !holds(); i++) {
    step();
    await settled();
  }
  expect(holds()).toBe(true);
}

function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 30));
}
