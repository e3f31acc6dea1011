import { describe, expect, it } from 'vitest';
import { parseHostPattern } from '../config/host-pattern.js';
import type { Parsed } from '../config/leaf.js';
import { parsePathPattern } from '../config/path-pattern.js';
import { compileMatch } from './match.js';
import type { RoutePlan } from './plan.js';
import { RouteTable } from './table.js';

describe('RouteTable', () => {
  const routes = [
    route('admin', { path: '/admin/*' }),
    route('chat', { host: 'chat.example.com', path: '/socket.io/*' }),
    route('chat-rest', { host: 'chat.example.com' }),
    route('tenants', { host: '*.example.com' }),
    route('loopback', { host: '[::1]' }),
  ];
  const table = new RouteTable(routes);

  it.each([
    ['chat.example.com', '/socket.io/?EIO=4', 'chat'],
    ['CHAT.example.com.:8080', '/socket.io', 'chat'],
    ['chat.example.com', '/', 'chat-rest'],
    ['x.example.com', '/', 'tenants'],
    ['[0::1]:80', '/', 'loopback'],
    ['example.com', '/', undefined],
    ['', '/', undefined],
    ['example.com', '*', undefined],
    // What a backend would read as /admin must meet the rule for /admin.
    ['chat.example.com', '/socket.io/../admin', 'admin'],
    ['chat.example.com', '/socket.io/%2e%2e/admin/x', 'admin'],
    ['', '/%61dmin?x', 'admin'],
  ])('%j %j goes to %j', (host, target, id) => {
    expect(table.find(host, target, false)?.id).toBe(id);
  });

  it('leaves what is secure to the routes behind a redirect', () => {
    const away = { ...route('away', { path: '/a/*' }), redirect: { port: 443, status: 308 as const } };
    const redirecting = new RouteTable([away, route('rest', {})]);
    expect(redirecting.find('', '/a/b', false)?.id).toBe('away');
    expect(redirecting.find('', '/a/b', true)?.id).toBe('rest');
    expect(redirecting.find('', '/b', false)?.id).toBe('rest');
  });
});

function route(id: string, match: { host?: string; path?: string }): RoutePlan {
  return {
    id,
    key: id,
    matches: compileMatch({
      host: match.host === undefined ? undefined : [must(parseHostPattern(match.host))],
      path: match.path === undefined ? undefined : [must(parsePathPattern(match.path))],
    }),
    upstream: 'a',
    websocket: undefined,
    limits: { connections: 0, connectionsPerAddress: 0, handshakesPerSecondPerAddress: 0 },
    responseTimeoutMs: 1,
    maxBodyBytes: 0,
    httpIdleTimeoutMs: 0,
    hostHeader: 'client',
    forwarded: 'off',
  };
}

function must<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(parsed.wrong);
  return parsed.value;
}
