import { describe, expect, it } from 'vitest';
import type { ConfigError } from './issues.js';
import { parseConfig } from './parse.js';

const URL_1 = 'http://127.0.0.1:3000';

function gateway(written: object) {
  return parseConfig({ listeners: [8080], routes: [{ gateway: { to: URL_1, ...written } }] }).routes[0]!
    .gateway!;
}

function problems(config: object): readonly string[] {
  try {
    parseConfig({ listeners: [8080], ...config });
    return [];
  } catch (thrown) {
    return (thrown as ConfigError).issues.map(({ path, message }) => `${path}: ${message}`);
  }
}

describe('a gateway route', () => {
  it('has defaults that an open WebSocket can live with', () => {
    expect(gateway({})).toMatchObject({
      to: { servers: [{ text: URL_1 }] },
      grip: { issuer: 'tidegate' },
      channelPrefix: '',
      subscribe: [],
      maxSubscriptions: 100,
      compression: false,
      maxMessageBytes: 1024 ** 2,
      maxBufferedBytes: 256 * 1024,
      maxResponseBytes: 1024 ** 2,
      pings: 'edge',
      requestTimeout: 60_000,
      retries: { attempts: 5, statuses: [502, 503, 504] },
      slowConsumer: { policy: 'close', maxBytes: 1024 ** 2 },
    });
  });

  it('can be without GRIP', () => {
    expect(gateway({ grip: false }).grip).toBeUndefined();
  });

  it('names an upstream, as a tunnel does', () => {
    expect(problems({ upstreams: { chat: URL_1 }, routes: [{ gateway: { to: 'caht' } }] })).toEqual([
      'routes[0].gateway.to: no upstream named "caht"',
    ]);
  });

  it.each([
    [
      { gateway: { to: URL_1 }, websocket: { maxMessageBytes: '1KiB' } },
      'routes[0].websocket.maxMessageBytes: has no effect beside `gateway`: `gateway.maxMessageBytes` is what counts; leave it out',
    ],
    [
      { gateway: { to: URL_1 }, websocket: { maxMessagesPerSecond: 5 } },
      'routes[0].websocket.maxMessagesPerSecond: has no effect beside `gateway`: leave it out',
    ],
    [
      { to: URL_1, gateway: { to: URL_1 } },
      'a route has one of `to`, `gateway` and `redirect`, found `to` and `gateway`',
    ],
    [{ gateway: {} }, 'is missing; expected the name of an upstream, a URL, or a list of URLs'],
    [
      { gateway: { to: URL_1, slowConsumer: { policy: 'wait' } } },
      'expected one of close, drop-oldest, drop-newest',
    ],
    [{ gateway: { to: URL_1, retries: { attempts: 21 } } }, 'expected a whole number from 0 to 20'],
  ])('%j: one line', (route, line) => {
    const found = problems({ routes: [route] });
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(line);
  });
});

describe('where backends publish', () => {
  const routes = [{ gateway: { to: URL_1 } }];

  it('may be just an address', () => {
    const { publish } = parseConfig({ listeners: [8080], routes, publish: '127.0.0.1:5561' });
    expect(publish).toMatchObject({
      address: { host: '127.0.0.1', port: 5561 },
      auth: { tokens: [], jwt: [], basic: [], aws: [] },
      maxBodyBytes: 1024 ** 2,
      maxConnections: 4096,
    });
    const unlimited = { address: '127.0.0.1:5561', maxConnections: 'unlimited' };
    expect(parseConfig({ listeners: [8080], routes, publish: unlimited }).publish).toMatchObject({
      maxConnections: 0,
    });
  });

  it.each([
    ['0.0.0.0:5561', 'publish: others than this machine can reach'],
    [{ address: '0.0.0.0:5561', auth: { jwt: { issuer: 'chat' } } }, 'publish.auth.jwt'],
    ['127.0.0.1:8080', 'publish: 127.0.0.1:8080 is taken by listeners[0] (8080)'],
  ])('%j: one line', (publish, line) => {
    const found = problems({ routes, publish });
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(line);
  });

  it('is not where the admin API is', () => {
    expect(problems({ routes, admin: '127.0.0.1:9090', publish: { address: '127.0.0.1:9090' } })).toEqual([
      'publish.address: 127.0.0.1:9090 is taken by `admin` (127.0.0.1:9090)',
    ]);
  });
});

describe('where nodes meet', () => {
  const routes = [{ gateway: { to: URL_1 } }];

  it('may be just a URL', () => {
    const { backplane } = parseConfig({ listeners: [8080], routes, backplane: 'redis://127.0.0.1:6379' });
    expect(backplane).toEqual({
      url: ['redis://127.0.0.1:6379'],
      cluster: false,
      prefix: 'tidegate',
      connectTimeout: 5000,
      answerTimeout: 5000,
      lostAfter: 10_000,
    });
  });

  it.each([
    ['127.0.0.1:6379', 'backplane: expected redis://HOST:PORT or nats://HOST:PORT, found "127.0.0.1:6379"'],
    [{ url: ['redis://a', 'nats://b'] }, 'backplane.url: expected servers of Redis or of NATS, found both'],
    [{ url: 'nats://b', cluster: true }, 'backplane.cluster: has a meaning for Redis only; leave it out'],
    [
      { url: 'nats://b', prefix: 'a b' },
      'backplane.prefix: a prefix consists of letters, digits, `_` and `-`',
    ],
  ])('%j: one line', (backplane, line) => {
    expect(problems({ routes, backplane })).toEqual([line]);
  });
});
