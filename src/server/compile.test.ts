import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { afterAll, describe, expect, it } from 'vitest';
import { parseConfig } from '../config/parse.js';
import type { ConfigInput } from '../config/schema.js';
import { compile, type Plan } from './compile.js';

const dir = mkdtempSync(join(tmpdir(), 'tidegate-compile-'));
afterAll(() => rmSync(dir, { recursive: true }));

const routes = [{ to: 'http://127.0.0.1:3000' }];

describe('plans', () => {
  it('carry every setting, with its unit in its name', () => {
    const plan = compiled({
      listeners: [
        { address: '[::1]:8080', maxHeaderBytes: '8KiB', headerTimeout: '1s', keepAliveTimeout: '2s' },
      ],
      upstreams: {
        chat: {
          servers: [{ url: 'https://chat:8443', weight: 18, maxConnections: 19 }, 'unix:run/chat.sock'],
          connectTimeout: '4s',
          retries: 5,
          maxIdleConnections: 6,
          keepAliveTimeout: '7s',
          maxHeaderBytes: '32KiB',
          http2: 'auto',
          tls: { verify: false, serverName: 'chat.internal' },
          balance: 'hash',
          hash: { cookie: 'room' },
          sticky: { key: 'sixteen characters', whenGone: 'refuse' },
          slowStart: '20s',
          queue: { size: 21, timeout: '22s' },
          retryBudget: { share: '23%', minPerSecond: 24 },
          health: { path: '/up', interval: '25s', whenAllDown: 'try' },
          passiveHealth: { failures: 26 },
          onServerDown: 'close',
          resolve: { family: 'ipv6' },
        },
      },
      routes: [
        {
          name: 'live',
          match: { host: 'a.example', path: '/live' },
          to: 'chat',
          websocket: {
            generations: ['rfc6455'],
            handshakeTimeout: '8s',
            idleTimeout: '9s',
            halfCloseTimeout: 'never',
            maxAge: '10s',
            maxEarlyBytes: 11,
            observe: false,
          },
          responseTimeout: '12s',
          maxBodyBytes: '1KiB',
          idleTimeout: 'never',
          hostHeader: 'server',
          forwarded: 'both',
        },
        { to: 'chat', websocket: false },
      ],
      accessLog: { format: 'human' },
      log: { level: 'debug' },
      relay: 'stream',
      drain: { timeout: 0 },
    });
    expect(plan.listeners[0]).toMatchObject({
      id: '[::1]:8080',
      host: '::1',
      port: 8080,
      maxHeaderBytes: 8192,
      headerTimeoutMs: 1000,
      keepAliveTimeoutMs: 2000,
    });
    expect(plan.upstreams).toEqual([
      {
        id: 'chat',
        servers: [
          {
            id: 'https://chat:8443',
            address: { host: 'chat', port: 8443 },
            secure: true,
            host: 'chat:8443',
            weight: 18,
            maxConnections: 19,
            srv: false,
          },
          {
            id: 'unix:run/chat.sock',
            address: { socketPath: join(dir, 'run/chat.sock') },
            secure: false,
            host: 'localhost',
            weight: 1,
            maxConnections: 0,
            srv: false,
          },
        ],
        balance: 'hash',
        hash: { kind: 'cookie', name: 'room' },
        sticky: {
          cookie: 'tidegate',
          key: 'sixteen characters',
          path: '/',
          secure: 'auto',
          httpOnly: true,
          sameSite: 'lax',
          maxAgeMs: 0,
        },
        whenGone: 'refuse',
        slowStartMs: 20_000,
        queue: { size: 21, timeoutMs: 22_000 },
        retryBudget: { share: 0.23, minPerSecond: 24 },
        check: {
          check: { kind: 'http', path: '/up', statuses: [{ from: 200, to: 399 }], headers: [] },
          intervalMs: 25_000,
          timeoutMs: 2000,
          rise: 2,
          fall: 3,
        },
        whenAllDown: 'try',
        ejection: { failures: 26, windowMs: 10_000, baseMs: 10_000, maxMs: 300_000, maxShare: 0.5 },
        onServerDown: 'close',
        resolve: { family: 'ipv6', minTtlMs: 1000, maxTtlMs: 300_000, nameservers: [] },
        connectTimeoutMs: 4000,
        retries: 5,
        maxIdleConnections: 6,
        keepAliveTimeoutMs: 7000,
        maxHeaderBytes: 32_768,
        http2: 'auto',
        tls: { verify: false, ca: undefined, serverName: 'chat.internal' },
      },
    ]);
    const [live, rest] = plan.routes;
    expect(live).toMatchObject({
      id: 'live',
      upstream: 'chat',
      websocket: {
        generations: new Set(['rfc6455']),
        handshakeTimeoutMs: 8000,
        idleTimeoutMs: 9000,
        halfCloseTimeoutMs: 0,
        maxAgeMs: 10_000,
        maxEarlyBytes: 11,
        observe: false,
      },
      responseTimeoutMs: 12_000,
      maxBodyBytes: 1024,
      httpIdleTimeoutMs: 0,
      hostHeader: 'server',
      forwarded: 'both',
    });
    expect(live?.matches('a.example', '/live')).toBe(true);
    expect(live?.matches('b.example', '/live')).toBe(false);
    expect(rest).toMatchObject({ id: 'routes[1]', websocket: undefined });
    expect(plan).toMatchObject({
      accessLog: { format: 'human' },
      logLevel: 'debug',
      relay: 'stream',
      drain: { timeoutMs: 0, spreadMs: 10_000, code: 1001, reason: '' },
    });
  });

  it('are frozen, all the way down', () => {
    const plan = compiled({ listeners: [1], upstreams: { a: 'http://a' }, routes });
    const thawed: string[] = [];
    const look = (value: unknown, path: string) => {
      if (typeof value !== 'object' || value === null) return;
      if (!Object.isFrozen(value) && !(value instanceof Set)) thawed.push(path);
      for (const [key, child] of Object.entries(value)) look(child, `${path}.${key}`);
    };
    look(plan, 'plan');
    expect(thawed).toEqual([]);
  });

  it('give routes that name URLs an upstream of their own, one for the same URLs', () => {
    const plan = compiled({
      upstreams: { a: 'http://a' },
      routes: [
        { to: ['http://b', 'http://c/'] },
        { to: 'a' },
        { to: ['http://b', 'http://c'] },
        { to: 'http://b' },
      ],
    });
    expect(plan.upstreams.map(({ id }) => id)).toEqual(['a', 'http://b,http://c', 'http://b']);
    expect(plan.routes.map(({ upstream }) => upstream)).toEqual([
      'http://b,http://c',
      'a',
      'http://b,http://c',
      'http://b',
    ]);
    expect(plan.upstreams[1]).toMatchObject({ connectTimeoutMs: 3000, retries: 2 });
  });

  it('tell listeners apart that ask for any free port', () => {
    const plan = compiled({ listeners: [0, '127.0.0.1:0', 8080], routes });
    expect(plan.listeners.map(({ id }) => id)).toEqual(['listeners[0]', 'listeners[1]', '8080']);
  });
});

describe('trusted proxies', () => {
  it.each<[string[], string[], string[]]>([
    [[], [], ['127.0.0.1', '::1', '10.0.0.1', 'unix']],
    [['10.0.0.0/8'], ['10.0.0.1', '10.255.255.255', '::ffff:10.1.2.3'], ['11.0.0.1', '::1', 'unix', '']],
    [['10.1.2.3/8'], ['10.9.9.9'], ['11.0.0.1']],
    [['192.0.2.1'], ['192.0.2.1'], ['192.0.2.2', '0.0.0.0']],
    [
      ['2001:db8::/32', '::1'],
      ['2001:db8:1::1', '::1', '0:0::1'],
      ['2001:db9::1', '127.0.0.1'],
    ],
    [['::ffff:10.0.0.0/104'], ['10.1.2.3'], ['11.0.0.1', '::1']],
    [['0.0.0.0/0'], ['1.2.3.4'], ['::1']],
  ])('%j', (trustedProxies, trusted, others) => {
    const { isTrusted } = compiled({ listeners: [{ address: 1, trustedProxies }], routes }).listeners[0]!;
    expect(trusted.filter((address) => !isTrusted(address))).toEqual([]);
    expect(others.filter((address) => isTrusted(address))).toEqual([]);
  });
});

describe('certificate files', () => {
  it('are read from the folder of the configuration', () => {
    writeFileSync(join(dir, 'ca.pem'), rootCertificates[0]!);
    const plan = compiled({ upstreams: { a: { servers: 'https://a', tls: { ca: 'ca.pem' } } }, routes });
    expect(plan.upstreams[0]?.tls.ca).toBe(rootCertificates[0]);
  });

  it('that cannot be used are told all at once, with their place', () => {
    writeFileSync(join(dir, 'not.pem'), 'nothing');
    const upstream = (ca: string) => ({ servers: 'https://a', tls: { ca } });
    const input = {
      upstreams: { a: upstream('gone.pem'), b: upstream('not.pem'), c: upstream('.') },
      routes,
    };
    const source = { file: 'x.yaml', locate: () => ({ line: 3, column: 4 }) };
    expect(() => compile(parseConfig(input), dir, source)).toThrow(
      [
        `x.yaml:3:4: upstreams.a.tls.ca: expected a PEM file with certificates, but ${join(dir, 'gone.pem')} does not exist`,
        `x.yaml:3:4: upstreams.b.tls.ca: expected a PEM file with certificates, but ${join(dir, 'not.pem')} holds no certificate`,
        `x.yaml:3:4: upstreams.c.tls.ca: expected a PEM file with certificates, but ${dir} is a folder`,
      ].join('\n'),
    );
  });
});

function compiled(input: ConfigInput): Plan {
  return compile(parseConfig(input), dir);
}
