/** What bounds WebSockets that end in Tidegate: sizes, slowness, silence and age; and that nothing is left of them. */
import { randomBytes } from 'node:crypto';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Connection, Status } from '../../src/admin/target.js';
import { ManualClock } from '../../src/base/manual-clock.js';
import { systemDeps } from '../../src/base/system.js';
import { createProxy, type Proxy } from '../../src/server/proxy.js';
import { CountingClock } from '../fixtures/counting-clock.js';
import { EventsBackend, obliging, text, type Post } from '../fixtures/events-backend.js';
import { startGateway } from '../fixtures/gateway.js';
import { hixie76Head, hixieText, hixieVectors } from '../fixtures/hixie.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { frames, upgradeHead } from '../fixtures/rfc6455.js';

const KiB = 1024;

describe('sizes', () => {
  test('a message that is too large: 1009, and the backend hears of the end', async () => {
    const backend = await EventsBackend.start();
    const { connect, records } = await startGateway({
      to: backend.url,
      gateway: { maxMessageBytes: '1KiB' },
    });
    const client = await connect();
    client.socket.send('a'.repeat(KiB));
    expect(await client.messages.next()).toHaveLength(KiB);
    client.socket.send('a'.repeat(KiB + 1));
    expect(await client.closed).toMatchObject({ code: 1009 });
    expect(await records.next()).toMatchObject({ closedBy: 'proxy', outcome: 'limit' });
    await backend.posts.next(({ events }) => events[0] === 'DISCONNECT' || events[0]!.startsWith('CLOSE'));
    expect(backend.problems).toEqual([]);
  });

  test('frames that are none: 1002', async () => {
    const backend = await EventsBackend.start();
    const { port, records } = await startGateway({ to: backend.url });
    const client = await RawPeer.connect(port);
    client.write(upgradeHead('x'));
    await client.head();
    client.writeHex('838000000000');
    expect((await client.take(4)).toString('hex')).toBe('880203ea');
    await client.ended;
    client.end();
    expect(await records.next()).toMatchObject({ closedBy: 'client', outcome: 'client-lost' });
  });

  test('a backend that hangs: the client is not read any more, and goes on where it was', async () => {
    let held: Post | undefined;
    const backend = await EventsBackend.start((post) => {
      if (held !== undefined || post.events[0] === 'OPEN') return obliging(post);
      held = post;
      return undefined;
    });
    const { connect, proxy } = await startGateway({
      to: backend.url,
      gateway: { maxBufferedBytes: '256KiB', slowConsumer: { maxBytes: '128MiB' } },
    });
    const client = await connect();
    const message = 'x'.repeat(64 * KiB);
    const COUNT = 300;
    for (let i = 0; i < COUNT; i++) client.socket.send(message);
    await eventually(() => held !== undefined, 'the backend hangs');
    // What the kernel holds is gone by then: the rest waits in the client.
    let before = -1;
    while (before !== client.socket.bufferedAmount) {
      before = client.socket.bufferedAmount;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(client.socket.bufferedAmount).toBeGreaterThan(COUNT * message.length * 0.4);
    // Up to the limit, one more, and what was read in the same go.
    expect(proxy.sessions[0]!.messagesFromClient).toBeLessThan(20);
    held!.answer({ body: held!.body });
    for (let i = 0; i < COUNT; i++) expect(await client.messages.next()).toBe(message);
    expect(backend.problems).toEqual([]);
  });
});

describe('a client that does not read', () => {
  const big = 'b'.repeat(100 * KiB);
  /** 100 × 100 KiB at a go, and a mark behind it. */
  const flood = ({ events }: Post) =>
    events[0] === 'TEXT flood'
      ? { events: [...Array.from({ length: 100 }, (_, i) => text(`${i} ${big}`)), text('end')] }
      : undefined;

  async function start(policy: string) {
    const backend = await EventsBackend.start((post) => flood(post) ?? obliging(post));
    const house = await startGateway({
      to: backend.url,
      gateway: { slowConsumer: { policy, maxBytes: '1MiB' }, maxResponseBytes: '64MiB' },
      websocket: { closeTimeout: '1s' },
      more: { admin: '127.0.0.1:0', publish: '127.0.0.1:0' },
    });
    const client = await RawPeer.connect(house.port, { paused: true });
    client.write(upgradeHead('x'));
    await eventually(() => house.proxy.sessions.length === 1, 'it is open');
    // TEXT flood, masked with zeros.
    client.write(Buffer.concat([Buffer.from('818500000000', 'hex'), Buffer.from('flood')]));
    return { ...house, backend, client };
  }

  test('is closed with 1013, which is told', async () => {
    const { client, records, troubles } = await start('close');
    expect(await troubles.next()).toContain('`gateway.slowConsumer`');
    expect(await records.next()).toMatchObject({
      closedBy: 'proxy',
      outcome: 'limit',
      closeCodeFromUpstream: 1013,
    });
    client.destroy();
  });

  test('and comes back to it finds what it got, then 1013', async () => {
    const { client, troubles } = await start('close');
    await troubles.next();
    client.resume();
    await client.until(Buffer.from('880f03f5736c6f7720636f6e73756d6572', 'hex'));
  });

  test.each(['drop-oldest', 'drop-newest'])('%s: it loses messages, and stays', async (policy) => {
    const { client, proxy, records, troubles } = await start(policy);
    await eventually(() => proxy.sessions[0]!.bytesFromUpstream > 0, 'something was sent');
    await new Promise((resolve) => setTimeout(resolve, 100));
    client.resume();
    if (policy === 'drop-oldest') await client.until(Buffer.from('8103656e64', 'hex'));
    else await client.until('0 bbb');
    client.writeHex(frames.maskedHello);
    await client.until(Buffer.from(frames.hello, 'hex'));
    const seen = client.received
      .toString('latin1')
      .match(/\d+ bbb/g)!
      .map((one) => Number.parseInt(one));
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(seen.length).toBeLessThan(100);
    // The newest are kept by the one, the oldest by the other.
    if (policy === 'drop-oldest') expect(seen.at(-1)).toBe(99);
    expect(seen[0]).toBe(0);
    // Whatever it got, and the echo, and what it lost: all that there was.
    const { id } = proxy.sessions[0]!;
    const { messagesDropped } = await ask<Connection>(proxy.admin, `connections/${id}`);
    expect(messagesDropped).toBeGreaterThan(0);
    expect((await ask<Status>(proxy.admin, 'status')).sessions).toMatchObject({ open: 1, messagesDropped });
    expect(await ask(proxy.publish, `sessions/${id}`)).toMatchObject({ dropped: messagesDropped });
    client.destroy();
    expect(await records.next()).toMatchObject({
      messagesDropped,
      messagesFromUpstream: 102 - messagesDropped!,
    });
    expect(await troubles.next()).toBe(
      `${messagesDropped} messages were lost to a slow client (\`gateway.slowConsumer\`)`,
    );
    const { sessions, routes } = await ask<Status>(proxy.admin, 'status');
    expect(sessions).toMatchObject({ open: 0, messagesDropped });
    expect(routes[0]!.sessions).toEqual(sessions);
  });
});

test('a client that does not read what is compressed for it loses the oldest, and no more waits than may', async () => {
  const backend = await EventsBackend.start((post) => {
    if (post.events[0] !== 'TEXT flood') return obliging(post);
    const large = () => randomBytes(50 * KiB).toString('hex');
    return { events: Array.from({ length: 100 }, (_, i) => text(`${i} ${large()}`)) };
  });
  const { connect, proxy } = await startGateway({
    to: backend.url,
    gateway: {
      compression: true,
      slowConsumer: { policy: 'drop-oldest', maxBytes: '1MiB' },
      maxResponseBytes: '64MiB',
    },
    more: { publish: '127.0.0.1:0' },
  });
  const { socket, messages } = await connect();
  expect(socket.extensions).toContain('permessage-deflate');
  socket.pause();
  socket.send('flood');
  const { id } = proxy.sessions[0]!;
  const dropped = async () => (await ask<{ dropped: number }>(proxy.publish, `sessions/${id}`)).dropped;
  while ((await dropped()) === 0);
  socket.resume();
  await messages.next((message) => String(message).startsWith('99 '));
  const got = messages.all.map((message) => Number.parseInt(String(message)));
  expect(got).toEqual(got.toSorted((a, b) => a - b));
  expect(got).toHaveLength(100 - (await dropped()));
});

async function ask<T>(address: Proxy['admin'], path: string, order?: RequestInit): Promise<T> {
  const { port } = address as { port: number };
  return (await (await fetch(`http://127.0.0.1:${port}/v1/${path}`, order)).json()) as T;
}

describe('silence and age', () => {
  test('nothing either way for as long as it may be: 1001, and the backend is told', async () => {
    const clock = new ManualClock();
    const backend = await EventsBackend.start((post) => (post.events[0] === 'OPEN' ? obliging(post) : {}));
    const { connect, records, proxy } = await startGateway({
      to: backend.url,
      clock,
      // Time passes while the answer is on its way.
      gateway: { requestTimeout: '10m' },
      websocket: { idleTimeout: '60s' },
    });
    const client = await connect();
    await backend.posts.next();
    clock.advance(50_000);
    client.socket.send('x');
    await backend.posts.next();
    clock.advance(59_000);
    expect(proxy.sessions).toHaveLength(1);
    clock.advance(1000);
    expect(await client.closed).toMatchObject({ code: 1001, reason: 'idle' });
    expect(await records.next()).toMatchObject({ closedBy: 'proxy', outcome: 'idle-timeout' });
    await backend.posts.next(({ events }) => events[0] === 'CLOSE 1001 idle');
  });

  test('where only the backend speaks, the last word counts to the millisecond', async () => {
    const clock = new ManualClock();
    const backend = await EventsBackend.start((post) => (post.events[0] === 'OPEN' ? obliging(post) : {}));
    const { connect, records, proxy } = await startGateway({
      to: backend.url,
      clock,
      gateway: { subscribe: 'all' },
      websocket: { idleTimeout: '60s' },
      more: { publish: '127.0.0.1:0' },
    });
    const client = await connect();
    const { port } = proxy.publish as { port: number };
    clock.advance(5000);
    const items = [{ channel: 'all', formats: { 'ws-message': { content: 'news' } } }];
    const body = JSON.stringify({ items });
    await fetch(`http://127.0.0.1:${port}/publish/`, { method: 'POST', body });
    expect(await client.messages.next()).toBe('news');
    clock.advance(59_999);
    expect(proxy.sessions).toHaveLength(1);
    clock.advance(1);
    expect(await client.closed).toMatchObject({ code: 1001, reason: 'idle' });
    expect(await records.next()).toMatchObject({ outcome: 'idle-timeout', messagesFromUpstream: 1 });
  });

  test('older than it may get', async () => {
    const clock = new ManualClock();
    const backend = await EventsBackend.start();
    const { connect, records } = await startGateway({
      to: backend.url,
      clock,
      websocket: { maxAge: '60s', maxAgeJitter: '0%' },
    });
    const client = await connect();
    clock.advance(61_000);
    expect(await client.closed).toEqual({ code: 1001, reason: 'maximum age reached' });
    expect(await records.next()).toMatchObject({
      closedBy: 'proxy',
      outcome: 'limit',
      detail: 'maxAge reached',
    });
    await backend.posts.next(({ events }) => events[0] === 'CLOSE 1001 maximum age reached');
  });

  const ping = { interval: '10s', timeout: '5s', sides: 'client' };

  test('a client that answers pings lives; one that does not is lost', async () => {
    const clock = new ManualClock();
    const backend = await EventsBackend.start();
    const { connect, port, proxy, records } = await startGateway({
      to: backend.url,
      clock,
      websocket: { ping },
    });
    const live = await connect();
    const dead = await RawPeer.connect(port);
    dead.write(upgradeHead('x'));
    await dead.head();
    clock.advance(11_000);
    expect(await live.controls.next()).toMatch(/^ping /);
    const [lively] = proxy.sessions;
    await eventually(
      () => lively!.bytesFromClient > 0 || proxy.sessions[0]!.bytesFromClient > 0,
      'it answered',
    );
    for (let i = 0; i < 8; i++) clock.advance(1000);
    expect(await records.next()).toMatchObject({
      outcome: 'client-lost',
      detail: 'no answer to a ping within 5s',
    });
    await backend.posts.next(({ events }) => events[0] === 'DISCONNECT');
    live.socket.send('x');
    expect(await live.messages.next()).toBe('x');
  });

  test('a client of Hixie knows no pings, and is not lost for it', async () => {
    const clock = new ManualClock();
    const backend = await EventsBackend.start();
    const { port, proxy } = await startGateway({ to: backend.url, clock, websocket: { ping } });
    const vector = hixieVectors[0]!;
    const client = await RawPeer.connect(port);
    client.write(hixie76Head(vector, 'x'));
    client.writeHex(vector.key3);
    await client.head();
    await client.take(16);
    for (let i = 0; i < 60; i++) clock.advance(1000);
    expect(proxy.sessions).toHaveLength(1);
    client.writeHex(hixieText('still'));
    expect((await client.take(7)).toString('hex')).toBe(hixieText('still'));
  });

  test('a Close that may take for ever is not cut at once', async () => {
    const backend = await EventsBackend.start((post) =>
      post.events[0] === 'TEXT Hello' ? { events: [text('bye'), 'CLOSE'] } : obliging(post),
    );
    const { port } = await startGateway({ to: backend.url, websocket: { closeTimeout: 'never' } });
    const client = await RawPeer.connect(port);
    client.write(upgradeHead('x'));
    await client.head();
    client.writeHex(frames.maskedHello);
    expect((await client.take(9)).toString('hex')).toBe('8103627965880203e8');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(client.ending).toBeUndefined();
    client.writeHex('88820000000003e8');
    expect(await client.ended).toBe('end');
  });
});

test('nothing is left of clients that are cut at any point of their lives', { timeout: 60_000 }, async () => {
  const backend = await EventsBackend.start();
  const clock = new CountingClock();
  const proxy = createProxy(
    { listeners: ['127.0.0.1:0'], routes: [{ gateway: { to: backend.url } }] },
    { deps: { ...systemDeps, clock } },
  );
  await proxy.start();
  onTestFinished(() => proxy.stop({ timeoutMs: 0 }));
  const { port } = proxy.listeners[0]!;
  const whole = Buffer.concat([
    Buffer.from(upgradeHead('x')),
    Buffer.from(frames.maskedHello.repeat(3), 'hex'),
  ]);
  const life = async (i: number): Promise<void> => {
    const client = await RawPeer.connect(port);
    client.write(whole.subarray(0, (i * 37) % (whole.length + 1)));
    if (i % 3 === 0) await client.head().catch(() => {});
    if (i % 5 === 0) client.end();
    else client.reset();
    client.socket.destroy();
  };
  for (let i = 0; i < 600; i += 20) {
    await Promise.all(
      Array.from({ length: 20 }, (_, j) =>
        (i + j) % 3 === 0 && ((i + j) * 37) % (whole.length + 1) < upgradeHead('x').length
          ? Promise.resolve()
          : life(i + j),
      ),
    );
  }
  await eventually(() => proxy.sessions.length === 0, 'all sessions are over');
  await proxy.stop();
  const opened = new Set(backend.posts.all.map(({ headers }) => headers['connection-id'] as string));
  expect(opened.size).toBeGreaterThan(50);
  for (const id of opened) {
    const events = backend.eventsOf(id);
    expect([events[0], events.at(-1), events.filter((one) => /^(CLOSE|DISC)/.test(one)).length]).toEqual([
      'OPEN',
      'DISCONNECT',
      1,
    ]);
  }
  expect(backend.problems).toEqual([]);
  expect(clock.pending).toBe(0);
});
