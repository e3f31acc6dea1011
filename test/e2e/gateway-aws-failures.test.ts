/** Gateways of the AWS dialect whose backend fails or hangs, or whose proxy stops: each tells what went wrong. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../src/base/manual-clock.js';
import { type AwsReply, type AwsRequest, startAwsBackend } from '../fixtures/aws-backend.js';
import { startGateway } from '../fixtures/gateway.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { upgradeHead } from '../fixtures/rfc6455.js';
import { running } from '../fixtures/running.js';
import { quietPort } from '../fixtures/ports.js';

const never = new Promise<never>(() => {});

/** The port of a server that says this to whatever it is asked, and goes. */
async function saying(answer: string): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => socket.end(answer));
  });
  onTestFinished(() => void server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function answer(status: number, body: string, fields = ''): string {
  return `HTTP/1.1 ${status} X\r\n${fields}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

async function startAws(reply: Parameters<typeof startAwsBackend>[0], setting: object = {}) {
  const backend = await running(startAwsBackend(reply));
  const house = await startGateway({ to: backend.url, gateway: { dialect: 'aws' }, ...setting });
  return { backend, ...house };
}

const isFor =
  (routeKey: string) =>
  ({ event }: AwsRequest): boolean =>
    event.requestContext.routeKey === routeKey;

describe('a $connect that fails', () => {
  interface Case {
    readonly says: string;
    readonly answers?: 'http' | 'lambda';
    readonly code: string;
    readonly why: RegExp;
  }
  const cases: Record<string, Case> = {
    'an end in place of an answer': {
      says: '',
      code: 'UPSTREAM_CLOSED_EARLY',
      why: /closed the connection before it had answered/,
    },
    'an answer that is no HTTP': { says: 'what?\r\n\r\n', code: 'UPSTREAM_ANSWER_MALFORMED', why: /HTTP/ },
    'half an answer': {
      says: 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc',
      code: 'UPSTREAM_RESPONSE_ABORTED',
      why: /its answer broke off after 3 bytes/,
    },
    'an answer that is too large': {
      says: answer(200, 'x'.repeat(2000)),
      code: 'UPSTREAM_ANSWER_TOO_LARGE',
      why: /larger than 1KiB \(`gateway\.maxResponseBytes`\)/,
    },
    'a coding that was not asked for': {
      says: answer(200, '', 'Content-Encoding: gzip\r\n'),
      code: 'UPSTREAM_ANSWER_MALFORMED',
      why: /Content-Encoding is gzip/,
    },
    'a function that failed': {
      says: answer(200, '{"errorMessage":"boom"}', 'X-Amz-Function-Error: Unhandled\r\n'),
      answers: 'lambda',
      code: 'UPSTREAM_ANSWER_MALFORMED',
      why: /127\.0\.0\.1:\d+: .*the function failed: "\{.*boom/,
    },
    'a function’s answer that is none': {
      says: answer(200, 'ok'),
      answers: 'lambda',
      code: 'UPSTREAM_ANSWER_MALFORMED',
      why: /returned no JSON object/,
    },
    'a function that cannot be called': {
      says: answer(503, ''),
      answers: 'lambda',
      code: 'UPSTREAM_ANSWER_MALFORMED',
      why: /the answer has the status 503, not 200/,
    },
  };

  test.each(Object.entries(cases))('%s', async (_, { says, answers = 'http', code, why }) => {
    const { port, records, troubles } = await startGateway({
      to: `http://127.0.0.1:${await saying(says)}`,
      gateway: { dialect: 'aws', maxResponseBytes: '1KiB', aws: { answers } },
    });
    const client = await RawPeer.connect(port);
    client.write(upgradeHead('x'));
    expect((await client.head())[0]).toBe('HTTP/1.1 502 Bad Gateway');
    const record = await records.next();
    expect(record).toMatchObject({ status: 502, outcome: `failed(${code})` });
    expect(record.detail).toMatch(why);
    expect(await troubles.next()).toBe(`$connect: ${record.detail}`);
  });

  test('nobody there', async () => {
    const { port, records } = await startGateway({
      to: `http://127.0.0.1:${await quietPort()}`,
      gateway: { dialect: 'aws' },
    });
    const client = await RawPeer.connect(port);
    client.write(upgradeHead('x'));
    expect((await client.head())[0]).toBe('HTTP/1.1 502 Bad Gateway');
    expect(await records.next()).toMatchObject({ status: 502, outcome: 'failed(UPSTREAM_CONNECT_FAILED)' });
  });

  test('no answer in time, and the backend is told, as it may have taken it', async () => {
    const clock = new ManualClock();
    const { backend, port, records } = await startAws(
      (request) => (isFor('$connect')(request) ? never : {}),
      { clock, gateway: { dialect: 'aws', requestTimeout: '7s' } },
    );
    const client = await RawPeer.connect(port);
    client.write(upgradeHead('x'));
    await backend.requests.next(isFor('$connect'));
    clock.advance(7000);
    expect((await client.head())[0]).toBe('HTTP/1.1 504 Gateway Timeout');
    const record = await records.next();
    expect(record).toMatchObject({ status: 504, outcome: 'failed(UPSTREAM_ANSWER_TIMEOUT)' });
    expect(record.detail).toContain('within 7s (`gateway.requestTimeout`)');
    await backend.requests.next(isFor('$disconnect'));
  });

  test.each([500, 503])('%i is the backend’s own word: it goes to the client, once', async (status) => {
    const { backend, port, records } = await startAws(() => ({ status, body: 'not now' }));
    const client = await RawPeer.connect(port);
    client.write(upgradeHead('x'));
    expect((await client.head())[0]).toContain(`HTTP/1.1 ${status} `);
    const record = await records.next();
    expect([record.status, record.outcome]).toEqual([status, undefined]);
    expect(backend.requests.all).toHaveLength(1);
  });
});

describe('a message', () => {
  test('that gets no answer in time: its client is told so, as API Gateway tells it', async () => {
    const clock = new ManualClock();
    const { backend, connect, troubles } = await startAws(({ event }) => (event.body === 'x' ? never : {}), {
      clock,
      gateway: { dialect: 'aws', requestTimeout: '7s' },
    });
    const client = await connect();
    client.socket.send('x');
    const { event } = await backend.requests.next(isFor('$default'));
    clock.advance(7000);
    const { connectionId, requestId } = event.requestContext;
    expect(JSON.parse((await client.messages.next()) as string)).toEqual({
      message: 'Endpoint request timed out',
      connectionId,
      requestId,
    });
    expect(await troubles.next()).toMatch(/\$default: a message is lost: .*no whole answer within 7s/);
  });
});

describe('stopping', () => {
  const drain = { drain: { spread: 0, reason: 'back soon' } };
  const silentTo =
    (...silent: readonly string[]) =>
    (request: AwsRequest): AwsReply | Promise<AwsReply> =>
      silent.includes(request.event.requestContext.routeKey) ? never : {};

  test('clients get their Close, and the backend is told with its code', async () => {
    const { backend, connect, proxy, records } = await startAws(() => ({}), { more: drain });
    const client = await connect();
    await proxy.stop();
    expect(await client.closed).toEqual({ code: 1001, reason: 'back soon' });
    expect(await records.next()).toMatchObject({ closedBy: 'proxy', outcome: 'drained' });
    const { event } = await backend.requests.next(isFor('$disconnect'));
    expect(event.requestContext).toMatchObject({ disconnectStatusCode: 1001, disconnectReason: 'back soon' });
  });

  test('a backend that hangs: the client has its Close, what is lost is told, and so is the backend', async () => {
    const clock = new ManualClock();
    const { backend, connect, proxy, troubles } = await startAws(silentTo('$default'), {
      clock,
      more: { drain: { spread: 0, timeout: '3s' } },
    });
    const client = await connect();
    for (const text of ['one', 'two', 'three']) client.socket.send(text);
    await backend.requests.next(isFor('$default'));
    await eventually(() => proxy.sessions[0]!.messagesFromClient === 3, 'all came');
    const stopped = proxy.stop();
    expect(await client.closed).toMatchObject({ code: 1001 });
    expect(troubles.all).toEqual([]);
    clock.advance(3000);
    await stopped;
    expect(troubles.all).toEqual([
      expect.stringMatching(/\$default: a message is lost: .*stopping/),
      'the proxy is stopping, and 2 more of its messages are lost',
    ]);
    expect(backend.requests.all.map(({ event }) => event.body ?? event.requestContext.routeKey)).toEqual([
      ...['$connect', 'one', '$disconnect'],
    ]);
  });

  test('with no time at all: the backend is told all the same', async () => {
    const { backend, connect, proxy, troubles } = await startAws(silentTo('$default'));
    const client = await connect();
    client.socket.send('x');
    await backend.requests.next(isFor('$default'));
    await proxy.stop({ timeoutMs: 0 });
    expect(await client.closed).toMatchObject({ code: 1006 });
    expect(troubles.all).toEqual([expect.stringMatching(/\$default: a message is lost: .*stopping/)]);
    await backend.requests.next(isFor('$disconnect'));
  });

  test('a backend that never answers: a moment for the last word, which is told to have failed', async () => {
    const { connect, proxy, troubles } = await startAws(silentTo('$default', '$disconnect'));
    const client = await connect();
    client.socket.send('x');
    await eventually(() => proxy.sessions[0]!.messagesFromClient === 1, 'it came');
    await proxy.stop({ timeoutMs: 0 });
    expect(troubles.all).toEqual([
      expect.stringMatching(/\$default: a message is lost: .*stopping/),
      expect.stringMatching(/\$disconnect: .*no whole answer within 1s/),
    ]);
  });

  test('one that says nothing to the last word of before is waited for no longer than that', async () => {
    const { backend, connect, proxy, troubles } = await startAws(silentTo('$disconnect'));
    const client = await connect();
    client.socket.terminate();
    await backend.requests.next(isFor('$disconnect'));
    await proxy.stop({ timeoutMs: 0 });
    expect(troubles.all).toEqual([expect.stringMatching(/\$disconnect: .*stopping/)]);
  });

  test('a backend that is away is not waited for either', async () => {
    const { backend, connect, proxy, troubles } = await startAws(() => ({}));
    const client = await connect();
    await backend.stop();
    client.socket.send('x');
    await eventually(() => proxy.sessions[0]!.messagesFromClient === 1, 'it came');
    await proxy.stop({ timeoutMs: 0 });
    expect(await client.closed).toMatchObject({ code: 1006 });
    expect(troubles.all).toEqual([
      expect.stringMatching(/\$default: a message is lost/),
      expect.stringMatching(/\$disconnect: .*ECONNREFUSED/),
    ]);
  });

  test('in the middle of a handshake: 503 at the deadline, and the backend is told', async () => {
    const clock = new ManualClock();
    const { backend, port, proxy, records } = await startAws(silentTo('$connect'), {
      clock,
      more: { drain: { timeout: '3s', spread: 0 } },
    });
    const client = await RawPeer.connect(port);
    client.write(upgradeHead('x'));
    await backend.requests.next(isFor('$connect'));
    const stopped = proxy.stop();
    clock.advance(3000);
    expect((await client.head())[0]).toBe('HTTP/1.1 503 Service Unavailable');
    expect(await records.next()).toMatchObject({ outcome: 'failed(PROXY_STOPPING)' });
    client.end();
    await stopped;
    expect(backend.requests.all.map(({ event }) => event.requestContext.routeKey)).toEqual([
      ...['$connect', '$disconnect'],
    ]);
  });

  test('a reload that takes the route away: 1012, and the backend is told', async () => {
    const { backend, connect, proxy } = await startAws(() => ({}));
    const client = await connect();
    await proxy.reload({
      listeners: ['127.0.0.1:0'],
      routes: [{ match: { path: '/other' }, gateway: { to: backend.url, dialect: 'aws' } }],
      reload: { changedRoutes: 'close' },
    });
    expect(await client.closed).toMatchObject({ code: 1012 });
    const { event } = await backend.requests.next(isFor('$disconnect'));
    expect(event.requestContext).toMatchObject({ disconnectStatusCode: 1012 });
  });
});
