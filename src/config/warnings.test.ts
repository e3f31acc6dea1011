import { describe, expect, it } from 'vitest';
import { formatIssue } from './issues.js';
import { parseConfig } from './parse.js';
import type { ConfigInput } from './schema.js';
import { findWarnings } from './warnings.js';

const to = 'http://127.0.0.1:3000';

describe('routes that are never reached', () => {
  it.each<[string, ConfigInput['routes'][number]['match'][], string[]]>([
    ['behind one that takes everything', [{}, { host: 'a.example' }], ['routes[1]']],
    ['behind /*', [{ path: '/*' }, {}, { path: '/x' }], ['routes[1]', 'routes[2]']],
    ['behind a wider prefix', [{ path: '/a/*' }, { path: '/a/b/*' }, { path: '/b' }], ['routes[1]']],
    ['behind the same host', [{ host: 'a.example' }, { host: 'A.example', path: '/x' }], ['routes[1]']],
    ['behind a wildcard host', [{ host: '*.example' }, { host: ['a.example', 'b.example'] }], ['routes[1]']],
    ['not when only some hosts are taken', [{ host: 'a.example' }, { host: ['a.example', 'b.example'] }], []],
    ['not when only some paths are taken', [{ path: '/a/*' }, { path: ['/a/b', '/c'] }], []],
    ['not when the narrow one comes first', [{ path: '/a/b' }, { path: '/a/*' }, {}], []],
    [
      'not when only the host fits',
      [
        { host: 'a.example', path: '/x' },
        { host: 'a.example', path: '/y' },
      ],
      [],
    ],
  ])('%s', (_, matches, expected) => {
    const config = parseConfig({ routes: matches.map((match) => ({ match, to })) });
    expect(findWarnings(config).map(({ path }) => path)).toEqual(expected);
  });

  it('names the route that takes their requests', () => {
    const config = parseConfig({
      routes: [
        { name: 'all', to },
        { match: { path: '/x' }, to },
      ],
    });
    expect(findWarnings(config).map(formatIssue)).toEqual([
      'routes[1]: never reached: routes[0] (all) comes first and takes every request that fits here',
    ]);
  });
});

it('upstreams: unused, TLS without https, a server listed twice', () => {
  const config = parseConfig({
    upstreams: {
      unused: 'http://a',
      plain: { servers: 'http://a', tls: { verify: false } },
      secure: { servers: ['https://a', 'https://b', 'https://a/'], tls: { serverName: 'c' } },
    },
    routes: [
      { match: { path: '/1' }, to: 'plain' },
      { match: { path: '/2' }, to: 'secure' },
    ],
  });
  expect(findWarnings(config).map(formatIssue)).toEqual([
    'upstreams.unused: no route leads to this upstream',
    'upstreams.plain.tls: has no effect: no server has an https: URL',
    'upstreams.secure.servers[2]: https://a is listed twice; it gets two turns',
  ]);
});

it('upstreams: keys that do nothing without another one', () => {
  const warningsOf = (upstream: object) =>
    findWarnings(parseConfig({ upstreams: { a: upstream as never }, routes: [{ to: 'a' }] })).map(
      formatIssue,
    );
  const alone = 'upstreams.a.sticky: has no effect: there is only one server to stick to';
  expect(warningsOf({ servers: 'http://10.0.0.1', sticky: true })).toEqual([alone]);
  expect(warningsOf({ servers: 'http://chat', sticky: true })).toEqual([alone]);
  expect(warningsOf({ servers: 'http://10.0.0.1', sticky: true, resolve: true })).toEqual([alone]);
  for (const servers of [
    'http://_ws._tcp.chat',
    [{ url: 'http://chat', srv: true }],
    ['http://a', 'http://b'],
  ]) {
    expect(warningsOf({ servers, sticky: true })).toEqual([]);
  }
  expect(warningsOf({ servers: 'http://chat', sticky: true, resolve: true })).toEqual([]);
  expect(warningsOf({ servers: ['http://a', 'http://b'], hash: 'path', onServerDown: 'close' })).toEqual([
    'upstreams.a.hash: has no effect: balance is round-robin, not hash',
    'upstreams.a.onServerDown: has no effect: without health no server is ever found down',
  ]);
  const whole = { balance: 'hash', hash: 'path', onServerDown: 'close', health: true };
  expect(warningsOf({ servers: ['http://a', 'http://b'], ...whole })).toEqual([]);
});

it('generations that are taken, but cannot be translated', () => {
  const warningsOf = (websocket: object) =>
    findWarnings(parseConfig({ routes: [{ to, websocket }] })).map(formatIssue);
  const generations = ['hybi-04', 'rfc6455', 'unknown'];
  expect(warningsOf({ generations, upstreamGeneration: 'hixie-76' })).toEqual([
    'routes[0].websocket.generations: hybi-04, unknown: answered 426, for there is no translation into hixie-76',
  ]);
  expect(warningsOf({ generations })).toEqual([]);
  expect(warningsOf({ upstreamGeneration: 'hixie-76' })).toEqual([]);
  expect(warningsOf({ generations: ['hybi-08'], upstreamGeneration: 'rfc6455' })).toEqual([]);
});
