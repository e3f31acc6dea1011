import { describe, expect, onTestFinished, test } from 'vitest';
import { seededRandom } from '../../test/fixtures/random.js';
import { eventually, turn } from '../../test/fixtures/raw-peer.js';
import { RawServer } from '../../test/fixtures/raw-server.js';
import { ProxyError } from '../base/errors.js';
import { ManualClock } from '../base/manual-clock.js';
import { FieldLines } from '../protocol/http/field-lines.js';
import { HeaderList } from '../protocol/http/header-list.js';
import type { PooledServerPlan, UpstreamPlan } from '../upstream/plan.js';
import { openUpstream } from '../upstream/upstream.js';
import { Backend } from './backend.js';
import type { BackendFailure, Question } from './backend-question.js';
import { quietPort } from '../../test/fixtures/ports.js';

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

describe('a backend', () => {
  test('is asked with the server’s Host where the question has none, and its own where it has', async () => {
    const { ask, servers } = await start();
    const first = ask();
    const backend = await servers[0]!.accept();
    expect((await backend.until('\r\n\r\n')).toString()).toBe(
      'POST /x HTTP/1.1\r\nContent-Length: 3\r\nHost: of.server\r\nConnection: keep-alive\r\n\r\n',
    );
    expect((await backend.take(3)).toString()).toBe('one');
    backend.write(OK);
    expect(await first).toMatchObject({ status: 200, server: servers[0]!.url });
    const second = ask({
      headers: FieldLines.of(HeaderList.fromRaw(['Host', 'own', 'Content-Length', '3'])),
    });
    expect((await backend.until('one')).toString()).toContain('Host: own\r\n');
    backend.write(OK);
    await second;
    const third = ask({
      headers: FieldLines.of(HeaderList.fromRaw(['TE', 'trailers', 'Content-Length', '3'])),
    });
    expect((await backend.until('one')).toString()).toContain('Connection: keep-alive, TE\r\n');
    backend.write(OK);
    await third;
  });

  test('that closes a kept connection as it is asked is asked again on a new one, once', async () => {
    const { ask, servers, load } = await start();
    const first = ask();
    const backend = await servers[0]!.accept();
    backend.write(OK);
    await first;
    // In one turn: nobody has read the end of it yet.
    backend.end();
    const again = ask();
    const other = await servers[0]!.accept();
    expect((await other.until('one')).toString()).toContain('POST /x');
    other.end();
    // The second was new, so that it may have been read.
    expect(await failure(again)).toMatchObject({
      kind: 'ambiguous',
      error: { code: 'UPSTREAM_CLOSED_EARLY' },
    });
    expect(servers[0]!.accepted).toHaveLength(2);
    expect(load()).toEqual([0]);
  });

  test('that refuses has the next one asked', async () => {
    const { ask, servers, load } = await start({}, [`127.0.0.1:${await quietPort()}`]);
    const asked = ask();
    (await servers[0]!.accept()).write(OK);
    expect((await asked).server).toBe(servers[0]!.url);
    expect(load()).toEqual([0, 0]);
  });

  test('that is not there is not reached', async () => {
    const { ask, load } = await start({ servers: [] }, [`127.0.0.1:${await quietPort()}`]);
    expect(await failure(ask())).toMatchObject({
      kind: 'not-reached',
      error: { code: 'UPSTREAM_CONNECT_FAILED' },
    });
    expect(load()).toEqual([0]);
  });

  test('is not asked what cannot be written', async () => {
    const { ask, servers, load, clock } = await start();
    expect((await failure(ask({ path: '/a b' }))).kind).toBe('not-reached');
    expect((await failure(ask({ path: '/a\r\nX: 1' }))).message).toContain('request target');
    expect([load(), clock.pending, servers[0]!.accepted.length]).toEqual([[0], 0, 0]);
  });

  test('that hangs is given up after a while', async () => {
    const { ask, servers, clock, load } = await start();
    const asked = ask();
    const backend = await servers[0]!.accept();
    await backend.until('one');
    clock.advance(4999);
    expect(clock.pending).toBe(1);
    clock.advance(1);
    const { kind, message } = await failure(asked);
    expect(kind).toBe('ambiguous');
    expect(message).toContain('no whole answer within 5s (`gateway.requestTimeout`)');
    await eventually(() => backend.ending !== undefined);
    expect([load(), clock.pending]).toEqual([[0], 0]);
  });
});

describe('giving up', () => {
  const GONE = new ProxyError('CLIENT_GONE', 'gone');

  test('ends the question that is under way', async () => {
    const { ask, servers, load, clock } = await start();
    const over = new AbortController();
    const asked = ask({}, over.signal);
    const backend = await servers[0]!.accept();
    await backend.until('one');
    over.abort(GONE);
    expect(await failure(asked)).toMatchObject({ kind: 'ambiguous', error: GONE });
    await eventually(() => backend.ending !== undefined);
    expect([load(), clock.pending]).toEqual([[0], 0]);
  });

  test('before there is a connection leaves none', async () => {
    const { ask, servers, load, clock } = await start();
    const over = new AbortController();
    const asked = ask({}, over.signal);
    over.abort(GONE);
    expect(await failure(asked)).toMatchObject({ kind: 'not-reached', error: GONE });
    await turn();
    expect([
      load(),
      clock.pending,
      servers[0]!.accepted.every(({ received }) => received.length === 0),
    ]).toEqual([[0], 0, true]);
    expect(await failure(ask({}, over.signal))).toMatchObject({ kind: 'not-reached', error: GONE });
  });

  test('leaves the line of those who wait for a place', async () => {
    const { ask, servers, load, upstream } = await start({ maxConnections: 1 });
    const first = ask();
    const backend = await servers[0]!.accept();
    const over = new AbortController();
    const [given, waiting] = [ask({}, over.signal), ask()];
    expect(upstream.pool.waiting).toBe(2);
    over.abort(GONE);
    expect(await failure(given)).toMatchObject({ kind: 'not-reached', error: GONE });
    expect(upstream.pool.waiting).toBe(1);
    backend.write(OK);
    await first;
    await backend.until('POST');
    backend.write(OK);
    await waiting;
    expect(load()).toEqual([0]);
  });

  test('does nothing to what is answered', async () => {
    const { ask, servers } = await start();
    const over = new AbortController();
    const asked = ask({}, over.signal);
    const backend = await servers[0]!.accept();
    backend.write(OK);
    await asked;
    over.abort(GONE);
    const again = ask();
    await backend.until('POST');
    backend.write(OK);
    expect((await again).status).toBe(200);
    expect(servers[0]!.accepted).toHaveLength(1);
  });
});

interface Settings {
  readonly servers?: readonly RawServer[];
  readonly maxConnections?: number;
}

/** @param first servers that come before, `host:port` */
async function start({ servers: given, maxConnections = 0 }: Settings = {}, first: readonly string[] = []) {
  const servers = given ?? [await RawServer.listen()];
  const places = [...first, ...servers.map(({ port }) => `127.0.0.1:${port}`)];
  const clock = new ManualClock();
  const upstream = openUpstream(planOf(places, maxConnections), { deps: { clock, random: seededRandom(1) } });
  onTestFinished(() => upstream.close());
  const backend = new Backend({ upstream, want: {}, beneficiary: undefined!, clock });
  const ask = (question: Partial<Question> = {}, signal?: AbortSignal) =>
    backend.ask({ ...QUESTION, ...question, ...(signal && { signal }) });
  return {
    ask,
    servers,
    clock,
    upstream,
    load: () => [...upstream.pool.servers].map((server) => server.load),
  };
}

const QUESTION: Question = {
  method: 'POST',
  path: '/x',
  headers: FieldLines.of(HeaderList.fromRaw(['Content-Length', '3'])),
  body: Buffer.from('one'),
  timeoutMs: 5000,
  maxResponseBytes: 1000,
};

function planOf(places: readonly string[], maxConnections: number): UpstreamPlan {
  const servers = places.map((place): PooledServerPlan => {
    const [host, port] = place.split(':') as [string, string];
    const address = { host, port: Number(port) };
    return { id: `http://${place}`, address, secure: false, host: 'of.server', weight: 1, maxConnections };
  });
  return {
    id: 'app',
    servers,
    balance: 'round-robin',
    retries: 2,
    retryBudget: undefined,
    slowStartMs: 0,
    queue: { size: 5, timeoutMs: 60_000 },
    ejection: undefined,
    whenAllDown: 'refuse',
    whenGone: 'move',
    hash: undefined,
    sticky: undefined,
    check: undefined,
    resolve: undefined,
    onServerDown: 'keep',
    connectTimeoutMs: 4000,
    maxIdleConnections: 4,
    keepAliveTimeoutMs: 60_000,
    maxHeaderBytes: 4096,
    tls: { verify: true, ca: undefined, serverName: undefined },
  };
}

async function failure(asked: Promise<unknown>): Promise<BackendFailure> {
  return asked.then(
    () => {
      throw new Error('it was answered');
    },
    (thrown: unknown) => thrown as BackendFailure,
  );
}
