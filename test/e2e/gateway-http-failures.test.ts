/** GRIP over plain HTTP where something fails: backends that break off, clients that go away, gaps that nobody fills. */
import { describe, expect, test } from 'vitest';
import { chunk, gatewayHouse, until } from '../fixtures/gateway-http.js';
import { Http2Client } from '../fixtures/http2-client.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';

const held = (mode: 'stream' | 'response', channel: string, more: Record<string, string> = {}) => ({
  headers: { 'Grip-Hold': mode, 'Grip-Channel': channel, ...more },
  body: mode === 'stream' ? 'hello\n' : 'nothing yet\n',
});
const text = (content: string) => ({ 'http-stream': { content } });

describe('a gap', () => {
  test('in a stream without a next link cuts it, so that its client comes again', async () => {
    const house = await gatewayHouse();
    house.script('/', held('stream', 'room; prev-id=1'));
    const client = await house.get('/');
    await client.until(chunk('hello\n'));
    await house.publish('room', text('three'), { id: '3', 'prev-id': '2' });
    expect((await client.rest()).toString()).toBe('');
    expect(await house.records.next()).toMatchObject({
      outcome: 'failed(UPSTREAM_RESPONSE_ABORTED)',
      detail: expect.stringContaining('no next link') as string,
    });
    expect(house.clock.pending).toBe(0);
  });

  test('in a long poll whose body has gone by is a failure that the client can read', async () => {
    const house = await gatewayHouse();
    house.script('/', held('response', 'room; prev-id=1'));
    const client = await RawPeer.connect(house.port);
    client.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi');
    await house.held('room', 1);
    await house.publish('room', { 'http-response': { body: 'x' } }, { id: '3', 'prev-id': '2' });
    expect((await client.head())[0]).toBe('HTTP/1.1 502 Bad Gateway');
    expect(house.asked.all.length).toBe(1);
  });

  test('that the next link does not fill is told, and the stream goes on', async () => {
    const house = await gatewayHouse();
    const link = { 'Grip-Link': '</next>; rel=next' };
    house.script('/', held('stream', 'room; prev-id=1', link));
    house.script('/next', { ...held('stream', 'room; prev-id=1', link), body: '' });
    const client = await house.get('/');
    await client.until(chunk('hello\n'));
    await house.publish('room', text('three'), { id: '3', 'prev-id': '2' });
    await client.until(chunk('three'));
    expect((await house.troubles.next()).problem).toContain("behind '2' goes to a client that has had '1'");
    expect(house.asked.all.length).toBe(2);
    await house.publish('room', text('four'), { id: '4', 'prev-id': '3' });
    await client.until(chunk('four'));
  });
});

describe('a backend', () => {
  test('whose part of a stream breaks off has it cut', async () => {
    const house = await gatewayHouse();
    house.script('/', (_, res) => {
      res.writeHead(200, { 'Grip-Hold': 'stream', 'Grip-Channel': 'room' });
      res.write('half');
      setImmediate(() => res.destroy());
    });
    const client = await house.get('/');
    await client.until(chunk('half'));
    expect((await client.rest()).toString()).toBe('');
    expect(await house.records.next()).toMatchObject({ outcome: 'failed(UPSTREAM_RESPONSE_ABORTED)' });
    expect((await house.publish('room', text('x'))).delivered).toBe(0);
  });

  test('what is published while its part is on its way stands behind it', async () => {
    const house = await gatewayHouse();
    let end = (): void => {};
    house.script('/', (_, res) => {
      res.writeHead(200, { 'Grip-Hold': 'stream', 'Grip-Channel': 'room' });
      res.write('first ');
      end = () => res.end('second ');
    });
    const client = await house.get('/');
    await client.until(chunk('first '));
    expect((await house.publish('room', text('third'))).delivered).toBe(1);
    expect(client.unread.toString()).toBe('');
    end();
    await client.until(`${chunk('second ')}${chunk('third')}`);
  });

  test('whose kept response is on its way when two items come: the first is the answer', async () => {
    const house = await gatewayHouse();
    let end = (): void => {};
    house.script('/', (_, res) => {
      res.writeHead(200, { 'Grip-Hold': 'response', 'Grip-Channel': 'room' });
      res.write('{');
      end = () => res.end('}');
    });
    const client = await house.get('/', ['Connection: close']);
    await house.subscribed('room', 1);
    await house.publish('room', { 'http-response': { body: 'one' } });
    await house.publish('room', { 'http-response': { body: 'two' } });
    end();
    expect((await client.rest()).toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\none$/);
    expect(await house.records.next()).toMatchObject({ status: 200, bytesFromUpstream: 3 });
    expect(house.troubles.all).toEqual([]);
  });

  test('that cannot be asked again leaves a long poll to its time-out, which is told', async () => {
    const house = await gatewayHouse({ retries: { attempts: 1 } });
    house.script('/', held('response', 'room'), (req) => req.socket.destroy());
    const client = await house.get('/');
    await house.held('room', 1);
    await house.publish('room', { 'http-response': { action: 'hint' } });
    await eventually(() => {
      // The wait between two tries is of two seconds at most.
      if (house.clock.pending === 2) house.clock.advance(100);
      return house.troubles.all.length > 0;
    });
    expect(house.troubles.all[0]!.problem).toContain('cannot be asked again');
    house.clock.advance(55_000);
    await client.until('nothing yet\n');
  });

  test('that is being asked when the proxy stops is not waited for', async () => {
    const house = await gatewayHouse();
    let isAsked = false;
    house.script('/', held('response', 'room'), () => (isAsked = true));
    const client = await house.get('/');
    await house.held('room', 1);
    await house.publish('room', { 'http-response': { action: 'hint' } });
    await until(
      () => isAsked,
      () => 'it was not asked again',
    );
    const stopped = house.proxy.stop({ timeoutMs: 60_000, spreadMs: 0 });
    house.clock.advance(1);
    expect(await client.head()).toContain('Connection: close');
    await client.until('nothing yet\n');
    await stopped;
    expect(house.clock.pending).toBe(0);
  });
});

describe('a client', () => {
  test('of HTTP/2 that takes back its request is let go of', async () => {
    const house = await gatewayHouse({}, {}, { listeners: [{ address: '127.0.0.1:0', http2: true }] });
    house.script('/', held('response', 'room'));
    const client = await Http2Client.connect(`http://127.0.0.1:${house.port}`);
    const stream = client.session.request({ ':path': '/', ':authority': 'shop.example' });
    stream.on('error', () => {});
    await house.subscribed('room', 1);
    stream.close(8);
    expect(await house.records.next()).toMatchObject({ outcome: 'failed(CLIENT_GONE)', via: 'h2' });
    await house.subscribed('room', 0);
  });

  test('of HTTP/1.0 has a stream that ends with its connection, and a reset where it was cut', async () => {
    const house = await gatewayHouse();
    house.script('/', held('stream', 'room'));
    for (const [action, ending] of [
      ['close', 'end'],
      ['gap', 'reset'],
    ] as const) {
      if (action === 'gap') house.script('/', held('stream', 'room; prev-id=1'));
      const client = await RawPeer.connect(house.port);
      client.write('GET / HTTP/1.0\r\nHost: a\r\n\r\n');
      await client.until('hello\n');
      if (action === 'close') await house.publish('room', { 'http-stream': { action: 'close' } });
      else await house.publish('room', text('x'), { id: '3', 'prev-id': '2' });
      expect(await client.ended).toBe(ending);
    }
  });

  test.each(['drop-oldest', 'drop-newest'])(
    'that is slow loses items by policy %s, and how many is told',
    async (policy) => {
      const house = await gatewayHouse({ slowConsumer: { policy, maxBytes: '128KiB' } });
      house.script('/', held('stream', 'room'));
      const client = await house.get('/');
      await client.until(chunk('hello\n'));
      client.pause();
      let published = 0;
      while (house.troubles.all.length === 0) {
        await house.publish('room', text(String(++published).padEnd(60_000, '.')));
        if (published > 1000) throw new Error('it lost nothing');
      }
      expect(house.troubles.all[0]!.problem).toContain('is being lost');
      await house.publish('room', { 'http-stream': { action: 'close' } });
      client.resume();
      await client.until('\r\n0\r\n\r\n');
      const [, count] = /^(\d+) items were lost/.exec(
        (await house.troubles.next(({ problem }) => /^\d/.test(problem))).problem,
      )!;
      const numbers = client.received
        .toString('latin1')
        .match(/\d+(?=\.{100})/g)!
        .map(Number);
      expect(numbers.length).toBe(published - Number(count));
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
      expect(numbers.includes(published)).toBe(policy === 'drop-oldest');
    },
  );

  test('hears what others hear, each from the place where it stands', async () => {
    const house = await gatewayHouse();
    house.script('/', held('stream', 'room; filter=var-subst', { 'Grip-Set-Meta': 'who="one"' }));
    const first = await house.get('/');
    await first.until(chunk('hello\n'));
    house.script('/', held('stream', 'room'));
    const second = await house.get('/');
    await second.until(chunk('hello\n'));
    expect((await house.publish('room', text('to %(who)s'))).delivered).toBe(2);
    await first.until(chunk('to one'));
    await second.until(chunk('to %(who)s'));
  });
});
