import { describe, expect, it } from 'vitest';
import { ConfigError } from './issues.js';
import { parseConfig } from './parse.js';
import { findWarnings } from './warnings.js';

const routes = [{ to: 'http://127.0.0.1:3000' }];

describe('listeners[].proxyProtocol', () => {
  it.each([
    [{ proxyProtocol: false }, undefined],
    [{}, undefined],
    [{ trustedProxies: '10.0.0.1', proxyProtocol: true }, { maxBytes: 4096 }],
    [
      { proxyProtocol: { from: ['10.0.0.0/8', 'unix'], timeout: '3s', maxBytes: '1KiB' } },
      { from: ['10.0.0.0/8', 'unix'], timeout: 3000, maxBytes: 1024 },
    ],
  ])('%j', (listener, expected) => {
    const config = parseConfig({ listeners: [{ address: 8080, ...listener }], routes });
    expect(config.listeners?.[0]?.proxyProtocol).toEqual(expected);
  });

  it.each([
    [{ proxyProtocol: true }, /whose PROXY headers to take: add .* to `trustedProxies`/],
    [{ proxyProtocol: { timeout: '1s' } }, /whose PROXY headers to take/],
    [{ proxyProtocol: { from: [] }, trustedProxies: '10.0.0.1' }, /whose PROXY headers to take/],
    [{ proxyProtocol: 'v2', trustedProxies: '10.0.0.1' }, /expected true, false, or an object with `from`/],
    [{ proxyProtocol: { from: '10.0.0.0/99' } }, /expected an address, a network .* or unix; found/],
    [{ proxyProtocol: { from: 'unix:' } }, /did you mean "unix"/],
    [{ proxyProtocol: { from: '10.0.0.1', maxBytes: '1MiB' } }, /maxBytes/],
  ])('%j is an error', (listener, message) => {
    expect(() => parseConfig({ listeners: [{ address: 8080, ...listener }], routes })).toThrow(message);
  });
});

describe('upstreams.*.proxyProtocol', () => {
  it.each([
    ['v1', 'v1'],
    ['v2', 'v2'],
    [false, undefined],
    [undefined, undefined],
  ] as const)('%s', (proxyProtocol, expected) => {
    const servers = 'http://127.0.0.1:3000';
    const { upstreams } = parseConfig({
      upstreams: { a: { servers, ...(proxyProtocol !== undefined && { proxyProtocol }) } },
      routes: [{ to: 'a' }],
    });
    expect(upstreams['a']?.proxyProtocol).toBe(expected);
  });

  it('takes no other version', () => {
    const wrong = { upstreams: { a: { servers: 'http://a', proxyProtocol: true } }, routes: [{ to: 'a' }] };
    expect(() => parseConfig(wrong as never)).toThrow(/expected v1, v2 or false, found true/);
  });
});

describe('unix sockets', () => {
  it.each([
    ['0660', 0o660],
    ['666', 0o666],
  ])('mode %s', (mode, expected) => {
    const { listeners } = parseConfig({ listeners: [{ address: 'unix:a.sock', mode }], routes });
    expect(listeners?.[0]).toMatchObject({ address: { socketPath: 'a.sock' }, mode: expected });
  });

  it.each(['0999', '60', 'rw-rw----', 660])('mode %j is an error', (mode) => {
    const wrong = { listeners: [{ address: 'unix:a.sock', mode }], routes };
    expect(() => parseConfig(wrong as never)).toThrow(/such as '0660'/);
  });

  it('one for each', () => {
    const twice = { listeners: ['unix:a.sock', 'unix:b.sock', 'unix:a.sock'], routes };
    expect(() => parseConfig(twice)).toThrow(/unix:a\.sock is taken by listeners\[0\]/);
    const withAdmin = { listeners: ['unix:a.sock'], admin: 'unix:a.sock', routes };
    expect(() => parseConfig(withAdmin)).toThrow(ConfigError);
  });

  it('what is only for them, or not for them, is told', () => {
    const config = parseConfig({
      listeners: [
        { address: 8080, mode: '0660', trustedProxies: ['10.0.0.1', 'unix'] },
        { address: 'unix:a.sock', trustedProxies: ['10.0.0.1'], proxyProtocol: { from: ['unix', '::1'] } },
        { address: 'unix:b.sock', trustedProxies: 'unix', proxyProtocol: true },
      ],
      routes,
    });
    expect(findWarnings(config).map(({ path, message }) => `${path}: ${message}`)).toEqual([
      'listeners[0].trustedProxies: unix has no effect: nobody comes to a port by a unix socket',
      'listeners[0].mode: has no effect: only a unix socket has a mode',
      'listeners[1].trustedProxies: 10.0.0.1 has no effect: everybody who comes by a unix socket is `unix`',
      'listeners[1].proxyProtocol.from: ::1 has no effect: everybody who comes by a unix socket is `unix`',
    ]);
  });
});
