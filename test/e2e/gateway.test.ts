/** WebSockets that end in Tidegate, and a backend that is asked in plain HTTP: clients, messages, ends. */
import { describe, expect, test } from 'vitest';
import { ManualClock } from '../../src/base/manual-clock.js';
import { close, event, EventsBackend, obliging, text, type Post } from '../fixtures/events-backend.js';
import { startGateway } from '../fixtures/gateway.js';
import { hixie76Head, hixieText, hixieVectors } from '../fixtures/hixie.js';
import { Http2Client, readAnswer } from '../fixtures/http2-client.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { headOf } from '../fixtures/rfc6455.js';

describe('clients', () => {
  test('over HTTP/2', async () => {
    const backend = await EventsBackend.start((post) =>
      post.path === '/secret' ? { status: 403, body: 'no', fields: { 'X-Why': 'y' } } : obliging(post),
    );
    const { port, records } = await startGateway({
      to: backend.url,
      more: { listeners: [{ address: '127.0.0.1:0', http2: true }] },
    });
    const http2 = await Http2Client.connect(`http://127.0.0.1:${port}`);
    const client = await http2.open({ ':path': '/chat' });
    client.socket.send('over h2');
    expect(await client.messages.next()).toBe('over h2');
    client.socket.close(1000, 'done');
    expect(await client.closed).toEqual({ code: 1000, reason: 'done' });
    expect(await records.next()).toMatchObject({ via: 'h2', outcome: 'client-closed' });
    expect(backend.eventsOf()).toEqual(['OPEN', 'TEXT over h2', 'CLOSE 1000 done']);

    const refused = await readAnswer(http2.offer({ ':path': '/secret' }));
    expect(refused).toMatchObject({ status: 403, body: 'no', headers: { 'x-why': 'y' } });
  });

  test('a 2xx without events is no switch over HTTP/2', async () => {
    const backend = await EventsBackend.start(() => ({
      body: 'a page',
      fields: { 'Content-Type': 'text/html' },
    }));
    const { port, records } = await startGateway({
      to: backend.url,
      more: { listeners: [{ address: '127.0.0.1:0', http2: true }] },
    });
    const http2 = await Http2Client.connect(`http://127.0.0.1:${port}`);
    expect((await readAnswer(http2.offer())).status).toBe(502);
    expect(await records.next()).toMatchObject({ outcome: 'failed(UPSTREAM_REFUSAL_AMBIGUOUS)' });
  });

  test('of Hixie-76: text both ways, and its own end', async () => {
    const backend = await EventsBackend.start();
    const { port, records } = await startGateway({ to: backend.url });
    const vector = hixieVectors[0]!;
    const client = await RawPeer.connect(port);
    client.write(hixie76Head(vector, 'x'));
    client.writeHex(vector.key3 + hixieText('old'));
    expect((await client.head())[0]).toMatch(/^HTTP\/1\.1 101 /);
    expect((await client.take(16)).toString('hex')).toBe(vector.challenge);
    expect((await client.take(5)).toString('hex')).toBe(hixieText('old'));
    client.writeHex('ff00');
    expect((await client.take(2)).toString('hex')).toBe('ff00');
    client.end();
    expect(await client.ended).toBe('end');
    expect(await records.next()).toMatchObject({ generation: 'hixie-76', outcome: 'client-closed' });
    expect(backend.eventsOf().map((one) => one.split(' ')[0])).toEqual(['OPEN', 'TEXT', 'CLOSE']);
  });

  test('of Hixie-75', async () => {
    const backend = await EventsBackend.start();
    const { port } = await startGateway({ to: backend.url });
    const client = await RawPeer.connect(port);
    client.write(
      headOf(
        'GET /chat HTTP/1.1',
        'Upgrade: WebSocket',
        'Connection: Upgrade',
        'Host: x',
        'Origin: http://example.com',
      ),
    );
    client.writeHex(hixieText('older'));
    expect((await client.head())[0]).toMatch(/^HTTP\/1\.1 101 /);
    expect((await client.take(7)).toString('hex')).toBe(hixieText('older'));
    client.end();
    expect(['CLOSE', 'DISCONNECT']).toContain(
      (await backend.posts.next(({ events }) => /^(CLOSE|DISC)/.test(events[0]!))).events[0]!.split(' ')[0],
    );
  });

  test('with compression, where the route has it', async () => {
    const backend = await EventsBackend.start();
    const { connect } = await startGateway({ to: backend.url, gateway: { compression: true } });
    const client = await connect([], { perMessageDeflate: true });
    expect(client.socket.extensions).toBe('permessage-deflate');
    const long = 'deflate me '.repeat(1000);
    for (const message of [long, 'short', long]) {
      client.socket.send(message);
      expect(await client.messages.next()).toBe(message);
    }
    client.socket.close(1000);
    expect(await client.closed).toMatchObject({ code: 1000 });
    expect(backend.eventsOf()).toEqual(['OPEN', `TEXT ${long}`, 'TEXT short', `TEXT ${long}`, 'CLOSE 1000']);
  });

  test('without it otherwise', async () => {
    const backend = await EventsBackend.start();
    const { connect } = await startGateway({ to: backend.url });
    const client = await connect([], { perMessageDeflate: true });
    expect(client.socket.extensions).toBe('');
    client.socket.send('plain');
    expect(await client.messages.next()).toBe('plain');
  });
});

describe('messages', () => {
  test('go one request at a time, what comes meanwhile together and in order', async () => {
    let held: Post | undefined;
    const backend = await EventsBackend.start((post) => {
      if (post.events[0] === 'TEXT a') {
        held = post;
        return undefined;
      }
      return obliging(post);
    });
    const { connect, proxy } = await startGateway({ to: backend.url });
    const client = await connect();
    client.socket.send('a');
    await eventually(() => held !== undefined, 'the first is there');
    client.socket.send('b');
    client.socket.send(Buffer.from([0, 255, 16]));
    client.socket.send('');
    client.socket.send('frag', { fin: false });
    client.socket.send('mented', { fin: true });
    await eventually(() => proxy.sessions[0]!.messagesFromClient === 5, 'all five came');
    expect(backend.posts.all).toHaveLength(2);
    held!.answer({ body: held!.body });
    const seen = [];
    for (let i = 0; i < 5; i++) seen.push(await client.messages.next());
    expect(seen).toEqual(['a', 'b', Buffer.from([0, 255, 16]), '', 'fragmented']);
    expect(backend.posts.all.map(({ events }) => events)).toEqual([
      ['OPEN'],
      ['TEXT a'],
      ['TEXT b', 'BINARY 00ff10', 'TEXT ', 'TEXT fragmented'],
    ]);
  });

  test('two thousand in a burst keep their order, and none is lost', async () => {
    const backend = await EventsBackend.start();
    const { connect } = await startGateway({ to: backend.url });
    const clients = [await connect(), await connect()];
    for (let i = 0; i < 2000; i++) for (const { socket } of clients) socket.send(`message ${i}`);
    for (const { messages } of clients) {
      for (let i = 0; i < 2000; i++) expect(await messages.next()).toBe(`message ${i}`);
    }
    expect(backend.problems).toEqual([]);
    expect(backend.posts.all.length).toBeLessThan(4000);
  });

  test('that the backend takes in part come again with what follows', async () => {
    const backend = await EventsBackend.start((post) => {
      if (post.events[0] === 'TEXT [foo][hello') return { fields: { 'Content-Bytes-Accepted': '5' } };
      if (post.events.length === 2) return { events: [text('[ok]')] };
      return obliging(post);
    });
    const { connect } = await startGateway({ to: backend.url });
    const client = await connect();
    client.socket.send('[foo][hello');
    await backend.posts.next(({ events }) => events[0] !== 'OPEN');
    client.socket.send(' world]');
    expect(await client.messages.next()).toBe('[ok]');
    const last = backend.posts.all.at(-1)!;
    expect(last.events).toEqual(['TEXT [hello', 'TEXT  world]']);
    expect(last.headers['content-bytes-replayed']).toBe('6');
  });

  test('keep-alives come after their interval, with nothing in them', async () => {
    const clock = new ManualClock();
    const backend = await EventsBackend.start((post) =>
      post.body.length === 0
        ? { events: [text('tick')] }
        : {
            ...obliging(post),
            ...(post.events[0] === 'OPEN' && { fields: { 'Keep-Alive-Interval': '30' } }),
          },
    );
    const { connect } = await startGateway({ to: backend.url, clock });
    const client = await connect();
    client.socket.send('x');
    expect(await client.messages.next()).toBe('x');
    clock.advance(29_999);
    expect(backend.posts.all).toHaveLength(2);
    for (let i = 0; i < 3; i++) {
      clock.advance(i === 0 ? 1 : 30_000);
      expect(await client.messages.next()).toBe('tick');
      // Whether it was 30 s since the last answer is known once that is worked through.
    }
    expect(backend.posts.all.slice(2).map(({ headers }) => headers['content-length'])).toEqual([
      '0',
      '0',
      '0',
    ]);
  });

  test('pings are answered at the edge, and nobody else hears of them', async () => {
    const backend = await EventsBackend.start();
    const { connect } = await startGateway({ to: backend.url });
    const client = await connect();
    client.socket.ping('are you there');
    expect(await client.controls.next()).toBe('pong are you there');
    client.socket.send('x');
    expect(await client.messages.next()).toBe('x');
    expect(backend.eventsOf()).toEqual(['OPEN', 'TEXT x']);
  });

  test('pings go to a backend that wants them, and it answers', async () => {
    const backend = await EventsBackend.start((post) =>
      post.events[0] === 'PING who'
        ? { events: [event('PONG', 'me'), event('PING', 'you')] }
        : obliging(post),
    );
    const { connect } = await startGateway({ to: backend.url, gateway: { pings: 'forward' } });
    const client = await connect();
    client.socket.ping('who');
    expect(await client.controls.next()).toBe('pong me');
    expect(await client.controls.next()).toBe('ping you');
    // The pong of `ws` to that.
    await backend.posts.next(({ events }) => events[0] === 'PONG you');
    expect(client.controls.all).toEqual(['pong me', 'ping you']);
  });
});

describe('ends', () => {
  test('the backend closes: code and reason reach the client', async () => {
    const backend = await EventsBackend.start((post) =>
      post.events[0] === 'TEXT bye'
        ? { events: [text('so long'), close(4002, 'done'), text('lost')] }
        : obliging(post),
    );
    const { connect, records } = await startGateway({ to: backend.url });
    const client = await connect();
    client.socket.send('bye');
    expect(await client.closed).toEqual({ code: 4002, reason: 'done' });
    expect(client.messages.all).toEqual(['so long']);
    expect(await records.next()).toMatchObject({
      closedBy: 'upstream',
      outcome: 'upstream-closed',
      closeCodeFromUpstream: 4002,
    });
  });

  test('close code 0 of js-grip becomes 1000', async () => {
    const backend = await EventsBackend.start((post) =>
      post.events[0] === 'TEXT bye' ? { events: [close(0)] } : obliging(post),
    );
    const { connect } = await startGateway({ to: backend.url });
    const client = await connect();
    client.socket.send('bye');
    expect(await client.closed).toEqual({ code: 1000, reason: '' });
  });

  test('a Close without a code', async () => {
    const backend = await EventsBackend.start();
    const { connect, records } = await startGateway({ to: backend.url });
    const client = await connect();
    client.socket.close();
    expect(await client.closed).toMatchObject({ code: 1000 });
    expect(await records.next()).toMatchObject({ outcome: 'client-closed', closeCodeFromClient: 1005 });
    expect(backend.eventsOf()).toEqual(['OPEN', 'CLOSE']);
  });

  test('what was said before the Close comes before it', async () => {
    let held: Post | undefined;
    const backend = await EventsBackend.start((post) => {
      if (post.events[0] !== 'TEXT 1') return obliging(post);
      held = post;
      return undefined;
    });
    const { connect } = await startGateway({ to: backend.url });
    const client = await connect();
    client.socket.send('1');
    await eventually(() => held !== undefined, 'the first is there');
    client.socket.send('2');
    client.socket.close(1000, 'bye');
    held!.answer({});
    expect(await client.closed).toEqual({ code: 1000, reason: 'bye' });
    expect(backend.eventsOf()).toEqual(['OPEN', 'TEXT 1', 'TEXT 2', 'CLOSE 1000 bye']);
  });

  test('the client is lost: DISCONNECT, once', async () => {
    const backend = await EventsBackend.start();
    const { connect, records, proxy } = await startGateway({ to: backend.url });
    const client = await connect();
    client.socket.send('x');
    await client.messages.next();
    client.socket.terminate();
    expect(await records.next()).toMatchObject({ closedBy: 'client', outcome: 'client-lost' });
    await backend.posts.next(({ events }) => events[0] === 'DISCONNECT');
    await proxy.stop();
    expect(backend.eventsOf()).toEqual(['OPEN', 'TEXT x', 'DISCONNECT']);
  });

  test('the backend does not know the connection: the client gets 1011, and no more is asked', async () => {
    const backend = await EventsBackend.start((post) =>
      post.events[0] === 'TEXT x' ? { events: ['DISCONNECT'] } : obliging(post),
    );
    const { connect, proxy, records } = await startGateway({ to: backend.url });
    const client = await connect();
    client.socket.send('x');
    expect(await client.closed).toMatchObject({ code: 1011 });
    expect(await records.next()).toMatchObject({ closedBy: 'upstream', outcome: 'upstream-closed' });
    await proxy.stop();
    expect(backend.eventsOf()).toEqual(['OPEN', 'TEXT x']);
  });
});
