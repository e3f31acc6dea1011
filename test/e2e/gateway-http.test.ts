/** GRIP over plain HTTP: long polls and streams that a backend has held, and what ends them. */
import { Channel, GripInstruct, HttpStreamFormat, Publisher, validateSig } from '@fanoutio/grip';
import { jwtVerify } from 'jose';
import { describe, expect, test } from 'vitest';
import { chunk, gatewayHouse } from '../fixtures/gateway-http.js';
import { Http2Client } from '../fixtures/http2-client.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';

const KEY = 'a key that is long enough for HS256';
const streamOf = (channel: string, more: Record<string, string | string[]> = {}, body = 'hello\n') => ({
  headers: { 'Content-Type': 'text/plain', 'Grip-Hold': 'stream', 'Grip-Channel': channel, ...more },
  body,
});
const pollOf = (channel: string, more: Record<string, string | string[]> = {}, body = 'nothing yet\n') => ({
  headers: { 'Content-Type': 'text/plain', 'Grip-Hold': 'response', 'Grip-Channel': channel, ...more },
  body,
});
const text = (content: string) => ({ 'http-stream': { content } });

describe('what a server is told', () => {
  test('who asks it, and nothing that a client says in the name of the gateway', async () => {
    const house = await gatewayHouse({ grip: { key: KEY, issuer: 'edge' } });
    house.script('/', { body: 'plain' });
    const client = await house.get('/', [
      'Grip-Sig: forged',
      'Grip_Feature: forged',
      'Meta-User: root',
      'meta_user: root',
      'Connection-Id: 1',
      'X-Own: stays',
      'Connection: close',
    ]);
    expect((await client.rest()).toString()).toMatch(
      /^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n5\r\nplain\r\n0\r\n\r\n$/,
    );
    const { headers } = await house.asked.next();
    const { payload } = await jwtVerify(String(headers['grip-sig']), new TextEncoder().encode(KEY));
    expect(payload.iss).toBe('edge');
    expect(headers['grip-feature']).toContain('link:next');
    expect(headers['x-own']).toBe('stays');
    expect(Object.keys(headers).filter((name) => /^(meta|connection-id|grip_)/.test(name))).toEqual([]);
  });

  test('without grip there is nothing of it, and its answer is left as it is', async () => {
    const house = await gatewayHouse({ grip: false });
    house.script('/', streamOf('room'));
    const client = await house.get('/', ['Connection: close', 'Meta-User: root']);
    expect((await client.rest()).toString()).toMatch(/Grip-Hold: stream[^]*hello\n\r\n0\r\n\r\n$/);
    const { headers } = await house.asked.next();
    expect(Object.keys(headers).filter((name) => /^(grip|meta)/.test(name))).toEqual([]);
  });
});

describe('an answer that asks for nothing', () => {
  test('is passed on as it comes, without the headers of GRIP', async () => {
    const house = await gatewayHouse();
    let more = (): void => {};
    house.script('/', (_, res) => {
      res.writeHead(200, { 'Grip-Channel': 'room', 'Grip-Set-Meta': 'a="b"', 'X-Own': 'stays' });
      res.write('first');
      more = () => res.end('second');
    });
    const client = await house.get('/');
    const head = (await client.head()).join('\n');
    expect(head).toContain('X-Own: stays');
    expect(head).not.toMatch(/grip/i);
    await client.until(chunk('first'));
    more();
    await client.until(`${chunk('second')}0\r\n\r\n`);
    expect(await house.records.next()).toMatchObject({ status: 200, bytesFromUpstream: 11 });
  });

  test('Grip-Status and Grip-Expose-Headers count there too', async () => {
    const house = await gatewayHouse();
    const headers = { 'Grip-Status': '404 Nowhere', 'Grip-Expose-Headers': 'x-a', 'X-A': '1', 'X-B': '2' };
    house.script('/', { headers, body: 'gone' });
    const client = await house.get('/');
    const head = await client.head();
    expect(head[0]).toBe('HTTP/1.1 404 Nowhere');
    expect(head).toContain('X-A: 1');
    expect(head.join('\n')).not.toContain('X-B');
    await client.until(`${chunk('gone')}0\r\n\r\n`);
  });

  test.each<[string, Record<string, string>, string]>([
    ['a hold that nobody knows', { 'Grip-Hold': 'forever' }, '502 UPSTREAM_ANSWER_MALFORMED'],
    [
      'an instruction that is no JSON',
      { 'Content-Type': 'application/grip-instruct' },
      '502 UPSTREAM_ANSWER_MALFORMED',
    ],
    [
      'a stream in an encoding that nothing can be put behind',
      { 'Grip-Hold': 'stream', 'Grip-Channel': 'room', 'Content-Encoding': 'gzip' },
      '502 UPSTREAM_RESPONSE_ABORTED',
    ],
    [
      'a kept response that is too large',
      { 'Grip-Hold': 'response', 'Grip-Channel': 'room' },
      '502 UPSTREAM_ANSWER_TOO_LARGE',
    ],
  ])('%s is a failure of the server', async (_, headers, code) => {
    const house = await gatewayHouse({ maxResponseBytes: '10B' });
    const isLarge = headers['Grip-Hold'] === 'response';
    house.script('/', { headers, body: isLarge ? 'eleven byte' : 'x' });
    const client = await house.get('/', ['Connection: close']);
    expect((await client.rest()).toString()).toContain(code);
    expect((await house.publish('room', text('x'))).delivered).toBe(0);
  });
});

describe('Grip-Hold: stream', () => {
  test('head and body at once, then what is published, until a close', async () => {
    const house = await gatewayHouse({ channelPrefix: 'app-' });
    house.script('/', streamOf('room'));
    const client = await house.get('/');
    const head = await client.head();
    expect(head).toContain('Transfer-Encoding: chunked');
    expect(head.join('\n')).not.toMatch(/grip|content-length/i);
    await client.until(chunk('hello\n'));
    expect((await house.publish('room', text('x'))).delivered).toBe(0);
    expect((await house.publish('app-room', text('one\n'))).delivered).toBe(1);
    await client.until(chunk('one\n'));
    expect((await house.publish('app-room', { 'ws-message': { content: 'no' } })).delivered).toBe(0);
    // Far beyond every idle time-out of the route.
    house.clock.advance(3_600_000);
    await house.publish('app-room', text('two\n'));
    await client.until(chunk('two\n'));
    await house.publish('app-room', { 'http-stream': { action: 'close' } });
    await client.until('0\r\n\r\n');
    const record = await house.records.next();
    expect(record).toMatchObject({ status: 200, bytesFromUpstream: 14, path: '/' });
    expect(record.outcome).toBeUndefined();
    expect(record.durationMs).toBeGreaterThanOrEqual(3_600_000);
    // The connection serves the next request.
    client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.until(chunk('hello\n'));
  });

  test('the same in HTTP/2', async () => {
    const house = await gatewayHouse({}, {}, { listeners: [{ address: '127.0.0.1:0', http2: true }] });
    house.script('/', streamOf('room'));
    const client = await Http2Client.connect(`http://127.0.0.1:${house.port}`);
    const asking = client.ask({ ':path': '/', ':authority': 'shop.example' });
    await house.subscribed('room', 1);
    await house.publish('room', text('one\n'));
    await house.publish('room', { 'http-stream': { action: 'close' } });
    const answer = await asking;
    expect(answer).toMatchObject({ status: 200, rstCode: 0 });
    expect(answer.body).toBe('hello\none\n');
    expect(Object.keys(answer.headers).filter((name) => name.startsWith('grip'))).toEqual([]);
  });

  test('holds no place at its server, and counts among connections', async () => {
    const house = await gatewayHouse({}, { limits: { connections: 1 } });
    house.script('/', streamOf('room'));
    const first = await house.get('/');
    await first.until(chunk('hello\n'));
    const second = await house.get('/', ['Connection: close']);
    expect((await second.rest()).toString()).toMatch(/^HTTP\/1\.1 503 [^]*CONNECTIONS_EXCEEDED/);
    first.destroy();
    expect(await house.records.next(({ status }) => status === 200)).toMatchObject({
      outcome: 'failed(CLIENT_GONE)',
    });
    const third = await house.get('/');
    await third.until(chunk('hello\n'));
    expect((await house.publish('room', text('x'))).delivered).toBe(1);
  });

  test('keep-alives, when nothing was sent or always', async () => {
    const house = await gatewayHouse();
    house.script('/idle', streamOf('room', { 'Grip-Keep-Alive': ':\\n\\n; format=cstring; timeout=20' }));
    const idle = await house.get('/idle');
    await idle.until(chunk('hello\n'));
    house.clock.advance(18_000);
    await house.publish('room', text('one\n'));
    await idle.until(chunk('one\n'));
    house.clock.advance(18_000);
    await house.publish('room', text('two\n'));
    expect((await idle.until(chunk('two\n'))).toString()).toBe(chunk('two\n'));
    house.clock.advance(20_000);
    await idle.until(chunk(':\n\n'));

    house.script('/always', streamOf('hall', { 'Grip-Keep-Alive': 'x; timeout=20; mode=interval' }));
    const always = await house.get('/always');
    await always.until(chunk('hello\n'));
    house.clock.advance(18_000);
    await house.publish('hall', text('one\n'));
    await always.until(chunk('one\n'));
    house.clock.advance(2000);
    await always.until(chunk('x'));
  });

  test('filters and meta; ids that the server has left open in its own part', async () => {
    const house = await gatewayHouse();
    house.script(
      '/',
      streamOf(
        'room; prev-id=7; filter=build-id; filter=skip-self',
        { 'Grip-Set-Meta': ['id_format="at-%(room)s"', 'user="ann"'] },
        'id: %I\n',
      ),
    );
    const client = await house.get('/');
    await client.until(chunk('id: at-7\n'));
    await house.publish('room', text('not for ann'), { id: '8', 'prev-id': '7', meta: { sender: 'ann' } });
    await house.publish('room', text('id: %I\n'), { id: '9', 'prev-id': '8' });
    await client.until(chunk('id: at-9\n'));
  });

  test('a client that takes nothing is cut, which is told, and cannot be taken for an end', async () => {
    const house = await gatewayHouse({ slowConsumer: { maxBytes: '64KiB' } });
    house.script('/', streamOf('room', { 'Grip-Link': '</gone>; rel=gone' }));
    house.script('/gone', { body: '' });
    const client = await house.get('/');
    await client.until(chunk('hello\n'));
    client.pause();
    const large = 'x'.repeat(60_000);
    let dropped = 0;
    for (let n = 0; n < 400 && dropped === 0; n++)
      dropped = (await house.publish('room', text(large))).dropped;
    expect(dropped).toBe(1);
    expect((await house.troubles.next()).problem).toContain('gateway.slowConsumer');
    expect(await house.records.next()).toMatchObject({ outcome: 'failed(CLIENT_GONE)' });
    await house.asked.next(({ url }) => url === '/gone');
    client.resume();
    expect((await client.rest()).toString('latin1').endsWith('0\r\n\r\n')).toBe(false);
    expect((await house.publish('room', text('x'))).delivered).toBe(0);
  });

  test('no more channels than the route allows, which is told', async () => {
    const house = await gatewayHouse({ maxSubscriptions: 1 });
    house.script('/', streamOf('one, two'));
    const client = await house.get('/');
    await client.until(chunk('hello\n'));
    expect((await house.troubles.next()).problem).toContain('gateway.maxSubscriptions');
    expect((await house.publish('two', text('x'))).delivered).toBe(0);
    expect((await house.publish('one', text('x'))).delivered).toBe(1);
  });

  test('a HEAD has all of it at once', async () => {
    const house = await gatewayHouse();
    house.script('/', streamOf('room'));
    const client = await RawPeer.connect(house.port);
    client.write('HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    expect((await client.rest()).toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*\r\n\r\n$/);
    expect((await house.publish('room', text('x'))).delivered).toBe(0);
  });
});

describe('links of a stream', () => {
  const next = (path: string, timeout = 120) => ({ 'Grip-Link': `<${path}>; rel=next; timeout=${timeout}` });

  test('what was missed is asked of the next link, from the last id on, and nothing comes twice', async () => {
    const house = await gatewayHouse({}, {});
    house.script('/', streamOf('room; prev-id=1', next('/more?a=b')));
    let answer = (): void => {};
    house.script('/more', (_, res) => {
      answer = () => {
        res.writeHead(200, { 'Grip-Hold': 'stream', 'Grip-Channel': 'room; prev-id=3', ...next('/more') });
        res.end('two\nthree\n');
      };
    });
    const client = await house.get('/', ['Cookie: who=ann']);
    await client.until(chunk('hello\n'));
    await house.publish('room', text('three\n'), { id: '3', 'prev-id': '2' });
    const asked = await house.asked.next(({ url }) => url === '/more?a=b');
    expect(asked).toMatchObject({
      method: 'GET',
      headers: { 'grip-last': 'room; last-id=1', cookie: 'who=ann' },
    });
    await house.publish('room', text('four\n'), { id: '4', 'prev-id': '3' });
    answer();
    await client.until(`${chunk('two\nthree\n')}${chunk('four\n')}`);
    expect(house.asked.all.length).toBe(2);
  });

  test('it is followed when nothing has come for its time; one without a hold ends the stream', async () => {
    const house = await gatewayHouse();
    house.script('/', streamOf('room', next('/last', 60)));
    house.script('/last', { status: 503 }, { body: 'bye\n' });
    const client = await house.get('/');
    await client.until(chunk('hello\n'));
    house.clock.advance(59_000);
    expect(house.asked.all.length).toBe(1);
    house.clock.advance(1000);
    await house.asked.next(({ url }) => url === '/last');
    // The first try failed; the next one is a second or two away.
    await eventually(() => {
      house.clock.advance(500);
      return house.asked.all.length === 3;
    });
    await client.until(`${chunk('bye\n')}0\r\n\r\n`);
    expect((await house.records.next()).outcome).toBeUndefined();
  });

  test('keep-alives do not put it off', async () => {
    const house = await gatewayHouse();
    const keepAlive = { 'Grip-Keep-Alive': 'k; timeout=20; mode=interval' };
    house.script('/', streamOf('room', { ...next('/more', 60), ...keepAlive }));
    house.script('/more', { body: 'bye\n' });
    const client = await house.get('/');
    await client.until(chunk('hello\n'));
    for (let n = 0; n < 2; n++) {
      house.clock.advance(20_000);
      await client.until(chunk('k'));
    }
    house.clock.advance(20_000);
    await house.asked.next(({ url }) => url === '/more');
  });

  test('without a hold, an answer goes on at its next link at once', async () => {
    const house = await gatewayHouse();
    house.script('/', { headers: next('/2'), body: 'one\n' });
    house.script('/2', { headers: next('http://shop.example/3'), body: 'two\n' });
    house.script('/3', { body: 'three\n' });
    const client = await house.get('/');
    await client.until(chunk('one\n'));
    await eventually(() => {
      house.clock.advance(1);
      return client.received.toString().endsWith(`${chunk('two\n')}${chunk('three\n')}0\r\n\r\n`);
    });
  });

  test('a link to a stranger cuts the stream', async () => {
    const house = await gatewayHouse();
    house.script('/', { headers: next('http://elsewhere.example/'), body: 'one\n' });
    const client = await house.get('/');
    await client.until(chunk('one\n'));
    house.clock.advance(1);
    expect((await client.rest()).toString()).toBe('');
    expect(await house.records.next()).toMatchObject({
      outcome: 'failed(UPSTREAM_RESPONSE_ABORTED)',
      detail: expect.stringContaining('elsewhere.example') as string,
    });
  });

  test('the backend hears of a client that has gone', async () => {
    const house = await gatewayHouse({ grip: { key: KEY } });
    house.script('/', streamOf('room; prev-id=5', { 'Grip-Link': '</gone?who=1>; rel=gone' }));
    house.script('/gone', { body: '' });
    const client = await house.get('/');
    await client.until(chunk('hello\n'));
    client.destroy();
    const gone = await house.asked.next(({ url }) => url === '/gone?who=1');
    expect(gone).toMatchObject({
      method: 'POST',
      headers: { 'content-length': '0', 'grip-last': 'room; last-id=5' },
    });
    expect(gone.headers['grip-sig']).toBeDefined();
    await house.records.next();
    await eventually(() => house.clock.pending === 0);
  });
});

describe('Grip-Hold: response', () => {
  test('what is published is the answer, over the headers of the one that was kept', async () => {
    const house = await gatewayHouse();
    house.script('/', pollOf('room', { 'X-Kept': 'yes', ETag: '"1"' }));
    const client = await house.get('/');
    await house.held('room', 1);
    const response = { code: 201, headers: { 'X-Own': 'é', ETag: '"2"' }, body: 'news\n' };
    expect((await house.publish('room', { 'http-response': response })).delivered).toBe(1);
    const head = await client.head();
    expect(head[0]).toBe('HTTP/1.1 201 Created');
    expect(head).toEqual(expect.arrayContaining(['X-Kept: yes', 'ETag: "2"', 'Content-Length: 5']));
    expect(head.filter((line) => /^etag/i.test(line)).length).toBe(1);
    await client.until('news\n');
    expect(await house.records.next()).toMatchObject({ status: 201, bytesFromUpstream: 5 });
    expect((await house.publish('room', { 'http-response': response })).delivered).toBe(0);
  });

  test('the kept response is the answer when the time is up: 55 seconds, 5 at least', async () => {
    const house = await gatewayHouse();
    house.script('/55', pollOf('room'));
    house.script('/5', pollOf('room', { 'Grip-Timeout': '1' }));
    const long = await house.get('/55');
    const short = await house.get('/5');
    await house.held('room', 2);
    house.clock.advance(4999);
    expect(short.unread.toString()).toBe('');
    house.clock.advance(1);
    expect((await short.head()).join('\n')).not.toMatch(/grip/i);
    await short.until('nothing yet\n');
    expect(long.unread.toString()).toBe('');
    house.clock.advance(50_000);
    await long.until('nothing yet\n');
    await house.records.next();
    await house.records.next();
    expect(house.clock.pending).toBe(0);
  });

  test('a patch of the kept body', async () => {
    const house = await gatewayHouse();
    house.script('/', pollOf('room', { 'Content-Type': 'application/json' }, '{"n":1}'));
    const client = await house.get('/');
    const patch = [{ op: 'replace', path: '/n', value: 2 }];
    await house.held('room', 1);
    expect((await house.publish('room', { 'http-response': { 'body-patch': patch } })).delivered).toBe(1);
    await client.until('{"n":2}');
  });

  test('a hint, and an item behind one that was missed, have the backend asked again', async () => {
    const house = await gatewayHouse();
    house.script('/', pollOf('room; prev-id=1'), pollOf('room; prev-id=2'), { body: 'seen\n' });
    const client = await house.get('/');
    await house.asked.next();
    await house.held('room', 1);
    expect((await house.publish('room', { 'http-response': { action: 'hint' } })).delivered).toBe(1);
    expect((await house.asked.next()).headers['grip-last']).toBe('room; last-id=1');
    await house.held('room', 1);
    await house.publish('room', { 'http-response': { body: 'not this' } }, { id: '4', 'prev-id': '3' });
    expect((await house.asked.next()).headers['grip-last']).toBe('room; last-id=2');
    await client.until('seen\n');
  });

  test('a channel that is further than its backend knew has it asked again, once', async () => {
    const house = await gatewayHouse();
    house.script('/first', streamOf('room'));
    await (await house.get('/first')).until(chunk('hello\n'));
    await house.publish('room', text('x'), { id: '9' });
    house.script('/', pollOf('room; prev-id=8'));
    const client = await house.get('/');
    await house.asked.next(({ url, headers }) => url === '/' && headers['grip-last'] === undefined);
    const again = await house.asked.next(({ url }) => url === '/');
    expect(again.headers['grip-last']).toBe('room; last-id=8');
    await house.subscribed('room', 2);
    await eventually(() => house.clock.pending === 1);
    house.clock.advance(55_000);
    await client.until('nothing yet\n');
    expect(house.asked.all.length).toBe(3);
  });

  test.each(['end', 'destroy'] as const)(
    'a client that goes away (%s) leaves nothing behind',
    async (how) => {
      const house = await gatewayHouse();
      house.script('/', pollOf('room'));
      const client = await house.get('/');
      await house.held('room', 1);
      client[how]();
      expect(await house.records.next()).toMatchObject({ outcome: 'failed(CLIENT_GONE)', status: 499 });
      expect((await house.publish('room', { 'http-response': { body: 'x' } })).delivered).toBe(0);
      await house.subscribed('room', 0);
      expect(house.clock.pending).toBe(0);
    },
  );
});

describe('@fanoutio/grip', () => {
  test('its instructions hold a client, its publisher reaches it', async () => {
    const house = await gatewayHouse({ grip: { key: KEY } });
    house.script('/', (_, res) => {
      const instruct = new GripInstruct(new Channel('room', '1'));
      instruct.setHoldStream();
      instruct.setKeepAlive('\n', 20);
      res.writeHead(200, { 'Content-Type': 'text/event-stream', ...instruct.toHeaders() });
      res.end('data: open\n\n');
    });
    const client = await house.get('/');
    await client.until(chunk('data: open\n\n'));
    const { headers } = await house.asked.next();
    expect(await validateSig(String(headers['grip-sig']), KEY, 'tidegate')).toBe(true);
    const publisher = new Publisher({ control_uri: `http://127.0.0.1:${house.publishPort}` });
    await publisher.publishHttpStream('room', 'data: one\n\n', '2', '1');
    await client.until(chunk('data: one\n\n'));
    house.clock.advance(20_000);
    await client.until(chunk('\n'));
    await publisher.publishFormats('room', new HttpStreamFormat(null, true), '3', '2');
    await client.until('0\r\n\r\n');
  });
});

describe('instructions in JSON', () => {
  const instruct = (value: object) => ({
    headers: { 'Content-Type': 'application/grip-instruct', 'X-Hidden': '1' },
    body: JSON.stringify(value),
  });

  test('hold a stream', async () => {
    const house = await gatewayHouse();
    const hold = {
      mode: 'stream',
      channels: [{ name: 'room' }],
      'keep-alive': { content: 'k', timeout: 10 },
    };
    house.script('/', instruct({ hold, response: { code: 202, headers: { 'X-A': '1' }, body: 'hello\n' } }));
    const client = await house.get('/');
    const head = await client.head();
    expect(head[0]).toBe('HTTP/1.1 202 Accepted');
    expect(head).toContain('X-A: 1');
    expect(head.join('\n')).not.toContain('X-Hidden');
    await client.until(chunk('hello\n'));
    house.clock.advance(10_000);
    await client.until(chunk('k'));
    await house.publish('room', text('one'));
    await client.until(chunk('one'));
  });

  test('keep a response, or none', async () => {
    const house = await gatewayHouse();
    house.script('/', instruct({ response: { code: 404, body: 'no' } }));
    const client = await house.get('/');
    expect((await client.head())[0]).toBe('HTTP/1.1 404 Not Found');
    await client.until('no');
    house.script(
      '/',
      instruct({ hold: { channels: [{ name: 'room' }], timeout: 10 }, response: { body: 'late' } }),
    );
    client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await house.held('room', 1);
    house.clock.advance(10_000);
    await client.until('\r\nContent-Length: 4\r\n');
    await client.until('late');
  });
});

describe('a stop', () => {
  test('ends streams in order and answers long polls with what was kept', async () => {
    const house = await gatewayHouse();
    house.script('/stream', streamOf('room'));
    house.script('/poll', pollOf('room'));
    const stream = await house.get('/stream');
    const poll = await house.get('/poll');
    await stream.until(chunk('hello\n'));
    await house.subscribed('room', 2);
    await eventually(() => house.clock.pending === 1);
    const stopped = house.proxy.stop({ timeoutMs: 60_000, spreadMs: 0 });
    house.clock.advance(1);
    await stream.until('0\r\n\r\n');
    await poll.until('nothing yet\n');
    await stopped;
    expect(house.records.all.map(({ outcome }) => outcome)).toEqual([undefined, undefined]);
    expect(house.clock.pending).toBe(0);
  });

  test('one that does not wait cuts them', async () => {
    const house = await gatewayHouse();
    house.script('/stream', streamOf('room'));
    house.script('/poll', pollOf('room'));
    const stream = await house.get('/stream');
    const poll = await house.get('/poll');
    await stream.until(chunk('hello\n'));
    await house.subscribed('room', 2);
    await eventually(() => house.clock.pending === 1);
    await house.proxy.stop({ timeoutMs: 0 });
    expect((await stream.rest()).toString()).toBe('');
    expect((await poll.rest()).toString()).toMatch(/^(HTTP\/1\.1 503 |$)/);
    expect(house.records.all.map(({ outcome }) => outcome)).toEqual([
      'failed(PROXY_STOPPING)',
      'failed(PROXY_STOPPING)',
    ]);
  });
});
