import { describe, expect, expectTypeOf, it } from 'vitest';
import { generations } from '../protocol/handshake/types.js';
import { ConfigError } from './issues.js';
import { parseConfig } from './parse.js';
import { defineConfig, type Config, type ConfigInput } from './schema.js';

const route = { to: 'http://127.0.0.1:3000' };

const unlimited = { connections: 0, connectionsPerAddress: 0, handshakesPerSecondPerAddress: 0 };

describe('what is understood', () => {
  it('fills in every default', () => {
    const config = parseConfig({
      listeners: [8080],
      upstreams: { chat: 'http://chat' },
      routes: [{ to: 'chat' }],
    });
    expect(config).toEqual({
      listeners: [
        {
          address: { host: undefined, port: 8080 },
          trustedProxies: [],
          maxHeaderBytes: 16_384,
          headerTimeout: 10_000,
          keepAliveTimeout: 75_000,
          http2: 'auto',
          limits: unlimited,
        },
      ],
      upstreams: {
        chat: {
          servers: [
            {
              url: { text: 'http://chat', secure: false, address: { host: 'chat', port: 80 }, host: 'chat' },
              weight: 1,
              maxConnections: 0,
              srv: false,
            },
          ],
          balance: 'round-robin',
          hash: { kind: 'client-address' },
          sticky: undefined,
          slowStart: 0,
          queue: { size: 100, timeout: 5000 },
          retryBudget: { share: 0.2, minPerSecond: 10 },
          health: undefined,
          passiveHealth: { failures: 5, window: 10_000, time: 10_000, maxTime: 300_000, maxShare: 0.5 },
          onServerDown: 'keep',
          resolve: undefined,
          connectTimeout: 3000,
          retries: 2,
          maxIdleConnections: 128,
          keepAliveTimeout: 30_000,
          maxHeaderBytes: 65_536,
          http2: false,
          tls: { verify: true },
        },
      },
      routes: [
        {
          match: {},
          to: { upstream: 'chat' },
          websocket: {
            generations,
            upstreamGeneration: 'same',
            maxTranslatedBytes: 1_048_576,
            maxTranslatedFragments: 10_000,
            handshakeTimeout: 10_000,
            idleTimeout: 3_600_000,
            halfCloseTimeout: 30_000,
            maxAge: 0,
            maxAgeJitter: 0.1,
            closeTimeout: 10_000,
            ping: undefined,
            maxMessageBytes: { client: 0, upstream: 0 },
            maxMessagesPerSecond: { client: 0, upstream: 0 },
            maxBytesPerSecond: { client: 0, upstream: 0 },
            maxEarlyBytes: 65_536,
            observe: true,
          },
          limits: unlimited,
          responseTimeout: 60_000,
          maxBodyBytes: 0,
          idleTimeout: 300_000,
          hostHeader: 'client',
          forwarded: 'x-forwarded',
        },
      ],
      relay: 'auto',
      relayThreads: 'auto',
      channels: { rules: [], maxHistoryChannels: 100_000, maxHistoryBytes: 268_435_456 },
      accessLog: { format: 'auto' },
      log: { level: 'info' },
      limits: unlimited,
      drain: { timeout: 30_000, spread: 10_000, closeCode: 1001, reason: '' },
      reload: { changedRoutes: 'keep', removedServers: 'keep', watch: false },
    });
  });

  it('takes shorthands for what they stand for', () => {
    const written = parseConfig({
      listeners: ['127.0.0.1:80', { address: 81, trustedProxies: '10.0.0.0/8' }],
      upstreams: { a: ['http://a', 'unix:/a'], b: { servers: 'http://b' } },
      routes: [
        { match: { host: 'a.example', path: '/a' }, to: ['a'], websocket: true },
        { match: { host: ['b.example'] }, to: 'b', websocket: false },
        { to: ['http://c', 'http://d'], websocket: { generations: ['rfc6455'], idleTimeout: 'never' } },
      ],
      accessLog: true,
    });
    expect(written.listeners?.map(({ trustedProxies }) => trustedProxies)).toEqual([[], ['10.0.0.0/8']]);
    expect(written.upstreams['a']?.servers.map(({ url }) => url.text)).toEqual(['http://a', 'unix:/a']);
    expect(written.upstreams['b']?.servers).toHaveLength(1);
    expect(written.routes[0]?.to).toEqual({ upstream: 'a' });
    expect(written.routes[0]?.websocket?.observe).toBe(true);
    expect(written.routes[1]?.websocket).toBeUndefined();
    expect(written.routes[2]?.websocket).toMatchObject({ generations: ['rfc6455'], idleTimeout: 0 });
    expect(written.accessLog).toEqual({ format: 'auto' });
    expect(parseConfig({ routes: [route], accessLog: false }).accessLog).toBeUndefined();
  });

  it('takes limits for the client alone, or for each side', () => {
    const websocket = {
      ping: true,
      maxMessageBytes: '1MiB',
      maxMessagesPerSecond: { client: 0.5, upstream: 20 },
      maxBytesPerSecond: { upstream: '64KiB' },
    };
    const limits = { connections: 100, handshakesPerSecondPerAddress: '2.5' };
    const written = parseConfig({ routes: [{ to: 'http://a', websocket, limits }], limits });
    expect(written.routes[0]).toMatchObject({
      websocket: {
        ping: { interval: 30_000, timeout: 10_000, sides: 'both' },
        maxMessageBytes: { client: 1_048_576, upstream: 0 },
        maxMessagesPerSecond: { client: 0.5, upstream: 20 },
        maxBytesPerSecond: { client: 0, upstream: 65_536 },
      },
      limits: { connections: 100, connectionsPerAddress: 0, handshakesPerSecondPerAddress: 2.5 },
    });
    expect(written.limits).toEqual(written.routes[0]?.limits);
  });

  it('needs no listeners, unless told so', () => {
    expect(parseConfig({ routes: [route] }).listeners).toBeUndefined();
    for (const listeners of [undefined, []]) {
      const issues = problems({ listeners, routes: [route] }, { needsListeners: true });
      expect(issues).toEqual([
        'listeners: expected at least one listener, such as `- address: 0.0.0.0:8080`; found none',
      ]);
    }
  });

  it('gives programs the types of both sides', () => {
    expectTypeOf(defineConfig).returns.toEqualTypeOf<ConfigInput>();
    expectTypeOf<Config['drain']['timeout']>().toEqualTypeOf<number>();
    expectTypeOf<NonNullable<ConfigInput['drain']>['timeout']>().toEqualTypeOf<string | number | undefined>();
    // @ts-expect-error -- an unknown key is an error while typing already
    expect(() => parseConfig(defineConfig({ routes: [route], lisetners: [] }))).toThrow(ConfigError);
  });
});

describe('what is wrong', () => {
  it('is told all at once', () => {
    const issues = problems({
      listeners: [{ address: 'x:99999', header_timeout: '3s' }, true, 8080, '0.0.0.0:8080'],
      upstreams: {
        chat: { servers: ['ws://x', 3000], connectTimeout: '3sec', retries: -1, balance: 'least' },
        'a b': 'http://a',
        empty: {},
      },
      routes: [
        {
          name: 'r',
          to: 'chta',
          match: { path: ['/a*'] },
          websocket: { generations: ['rfc6544'], idleTimeout: 30 },
        },
        { name: 'r' },
        { to: ['http://ok', 'chat'], hostHeader: 'clint' },
        5,
      ],
      relay: 'quick',
      accessLog: 'json',
      drain: null,
    });
    expect(issues).toEqual([
      'listeners[0].address: expected a port from 0 to 65535, found 99999',
      'listeners[0].header_timeout: unknown key; did you mean "headerTimeout"?',
      'listeners[1]: expected [HOST:]PORT or unix:PATH, or an object with `address`, found true',
      'upstreams.chat.servers[0]: expected the URL of a server, such as http://127.0.0.1:3001, https://chat.internal or unix:/run/chat.sock, found "ws://x"; did you mean "http://x"?',
      'upstreams.chat.servers[1]: expected the URL of a server, or an object with `url`, found 3000',
      'upstreams.chat.balance: expected one of round-robin, least-connections, random-two, hash, found "least"',
      'upstreams.chat.connectTimeout: expected a duration such as 250ms, 30s, 5m or 1h, found "3sec"; did you mean "3s"?',
      'upstreams.chat.retries: expected at least 0, found -1',
      'upstreams["a b"]: a name consists of letters, digits, `_`, `.` and `-`',
      'upstreams.empty.servers: is missing; expected a URL, or a list of servers',
      'routes[0].match.path[0]: `*` stands for a whole segment of the path, found "/a*"; did you mean "/a/*"?',
      'routes[0].websocket.generations[0]: expected one of hixie-75, hixie-76, hybi-01, hybi-04, hybi-07, hybi-08, rfc6455, unknown, found "rfc6544"; did you mean "rfc6455"?',
      'routes[0].websocket.idleTimeout: expected a duration such as 250ms, 30s, 5m or 1h, or never, found 30; did you mean "30s"?',
      'routes[1].to: is missing; expected the name of an upstream, a URL, or a list of URLs (or `gateway`, or `redirect: https`)',
      'routes[2].to[1]: expected the URL of a server, such as http://127.0.0.1:3001, https://chat.internal or unix:/run/chat.sock, found "chat"',
      'routes[2].hostHeader: expected one of client, server, found "clint"; did you mean "client"?',
      'routes[3]: expected an object, found 5',
      'relay: expected one of auto, native, stream, found "quick"',
      'accessLog: expected true, false, or an object with `format` and `file`, found "json"',
      'drain: expected an object, found nothing',
      'listeners[3]: 0.0.0.0:8080 is taken by listeners[2] (8080)',
      'routes[0].to: no upstream named "chta"; did you mean "chat"?',
      'routes[1].name: the name "r" is taken by routes[0]',
    ]);
  });

  it.each([
    [
      'a key that belongs elsewhere',
      { connectTimeout: '3s', routes: [route] },
      'connectTimeout: unknown key here; it belongs in `upstreams.*` or `backplane`',
    ],
    [
      'a key that a redirect has no use for',
      { routes: [{ name: 'away', match: { host: 'a' }, redirect: 'https', limits: {} }, route] },
      'routes[0].limits: has no effect beside `redirect`, which takes only `name` and `match`; leave it out',
    ],
    [
      'a key nobody knows',
      { routes: [{ ...route, wibble: 1 }] },
      'routes[0].wibble: unknown key; known here: name, match, to, gateway, redirect, websocket, limits, responseTimeout, maxBodyBytes, idleTimeout, hostHeader, forwarded',
    ],
    [
      'a key of a shorthand object',
      { routes: [route], upstreams: { a: { servers: [{ url: 'http://a', wieght: 1 }] } } },
      'upstreams.a.servers[0].wieght: unknown key; did you mean "weight"?',
    ],
    [
      'a bad shorthand',
      { routes: [route], listeners: ['nope'] },
      'listeners[0]: expected [HOST:]PORT or unix:PATH, such as 8080, 127.0.0.1:8080, "[::1]:8080" or unix:/run/tidegate.sock, found "nope"',
    ],
    [
      'no upstreams at all',
      { routes: [{ to: 'chat' }] },
      'routes[0].to: no upstream named "chat"; there are none, or write a URL such as http://127.0.0.1:3001',
    ],
    [
      'an upstream that is not near any',
      { upstreams: { a: 'http://a', b: 'http://b' }, routes: [{ to: 'chat' }] },
      'routes[0].to: no upstream named "chat"; there are a, b, or write a URL such as http://127.0.0.1:3001',
    ],
    [
      'a name that JavaScript keeps to itself',
      JSON.parse('{"upstreams":{"__proto__":"http://a"},"routes":[{"to":"http://b"}]}'),
      'upstreams.__proto__: this name cannot be used',
    ],
    [
      'a close code that nobody may send',
      { routes: [route], drain: { closeCode: 1006 } },
      'drain.closeCode: expected a close code: 1000-1003, 1007-1014 or 3000-4999, found 1006',
    ],
    [
      'a reason that fits no Close frame',
      { routes: [route], drain: { reason: 'ü'.repeat(62) } },
      'drain.reason: expected at most 123 bytes of UTF-8',
    ],
    [
      'a limit of nothing',
      { routes: [{ ...route, limits: { connections: 0 } }] },
      'routes[0].limits.connections: expected a whole number above zero, or unlimited, found 0',
    ],
    [
      'a limit on messages that is no size',
      { routes: [{ ...route, websocket: { maxMessageBytes: '1MB' } }] },
      'routes[0].websocket.maxMessageBytes: expected a size such as 512B, 16KiB or 1MiB, found "1MB"; did you mean "1MiB"?',
    ],
    [
      'a limit for a side that does not exist',
      { routes: [{ ...route, websocket: { maxMessageBytes: { server: '1MiB' } } }] },
      'routes[0].websocket.maxMessageBytes.server: unknown key; known here: client, upstream',
    ],
    [
      'sides to ping that do not exist',
      { routes: [{ ...route, websocket: { ping: { sides: 'all' } } }] },
      'routes[0].websocket.ping.sides: expected one of client, upstream, both, found "all"',
    ],
    ['no routes', {}, 'routes: is missing; expected a list of routes'],
    ['an empty list of routes', { routes: [] }, 'routes: expected at least one route, found an empty list'],
    ['an empty file', null, 'expected an object with `listeners`, `upstreams` and `routes`, found nothing'],
    ['a list', [route], 'expected an object with `listeners`, `upstreams` and `routes`, found a list'],
    [
      'a function',
      () => route,
      'expected an object with `listeners`, `upstreams` and `routes`, found a function',
    ],
    [
      'an empty list of hosts',
      { routes: [{ ...route, match: { host: [] } }] },
      'routes[0].match.host: expected a host name, or a list of them, found an empty list',
    ],
    [
      'an empty list of generations',
      { routes: [{ ...route, websocket: { generations: [] } }] },
      'routes[0].websocket.generations: expected a list of at least 1, found an empty list',
    ],
  ])('%s', (_, written, message) => {
    expect(problems(written)).toEqual([message]);
  });

  it('names the file when it is known', () => {
    const source = { file: 'x.mjs', locate: undefined };
    expect(() => parseConfig({}, source)).toThrow('x.mjs: routes: is missing; expected a list of routes');
  });
});

function problems(written: unknown, options: { needsListeners?: boolean } = {}): string[] {
  try {
    parseConfig(written, {}, options);
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown.message.split('\n');
    throw thrown;
  }
  return [];
}
