import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseHostPattern } from '../config/host-pattern.js';
import type { Parsed } from '../config/leaf.js';
import { parsePathPattern } from '../config/path-pattern.js';
import { normalizeHost, normalizePath } from '../protocol/http/normalize.js';
import { compileMatch } from './match.js';

describe('host patterns', () => {
  it.each([
    [
      'chat.example.com',
      ['chat.example.com', 'CHAT.example.com:8080', 'chat.example.com.'],
      ['example.com', 'x.chat.example.com', 'chat.example.com.evil', ''],
    ],
    ['Chat.Example.com.', ['chat.example.com'], ['chat.example']],
    [
      '*.example.com',
      ['chat.example.com', 'a.b.EXAMPLE.com:1', 'a.example.com.'],
      ['example.com', 'notexample.com', '.example.com', 'example.com.evil.com', ''],
    ],
    ['192.0.2.1', ['192.0.2.1', '192.0.2.1:80'], ['192.0.2.10', '1.192.0.2.1']],
    ['[::1]', ['[::1]:8080', '[0:0::0:1]'], ['[::2]', '::1']],
    ['müller.example', ['xn--mller-kva.example'], ['muller.example']],
    ['localhost', ['localhost', 'LOCALHOST:3000'], ['localhost.example.com']],
  ])('%s', (pattern, taken, passed) => {
    const matches = compileMatch({ host: [must(parseHostPattern(pattern))] });
    expect(taken.filter((host) => !matches(normalizeHost(host), '/'))).toEqual([]);
    expect(passed.filter((host) => matches(normalizeHost(host), '/'))).toEqual([]);
  });

  it('takes every host, and none at all, when there is no pattern', () => {
    const matches = compileMatch({});
    expect(matches('chat.example.com', '/x')).toBe(true);
    expect(matches('', '/')).toBe(true);
  });
});

describe('path patterns', () => {
  it.each([
    ['/', ['/', '/?x=1', '/a/..'], ['', '//', '/a', '*']],
    [
      '/live',
      ['/live', '/live?x', '/%6cive', '/x/../live'],
      ['/live/', '/Live', '/lives', '/live/x', '//live', '/'],
    ],
    ['/live/', ['/live/', '/live/.'], ['/live']],
    [
      '/socket.io/*',
      ['/socket.io', '/socket.io/', '/socket.io/?EIO=4', '/socket.io/1/websocket/42', '/socket.io//'],
      ['/socket.iox', '/socket', '/', '/x/socket.io/', '/socket.io%2F'],
    ],
    ['/*', ['/', '/a', '/a/b', '//', '*'], []],
    [
      '/rooms/*/events',
      ['/rooms/1/events', '/rooms/a%20b/events?x'],
      ['/rooms//events', '/rooms/1/2/events', '/rooms/events', '/rooms/1/events/', '/rooms/1/events/x'],
    ],
    [
      '/rooms/*/events/*',
      ['/rooms/1/events', '/rooms/1/events/', '/rooms/1/events/2/3'],
      ['/rooms/1', '/rooms/1/event'],
    ],
    ['/*/x', ['/a/x'], ['/x', '//x', '/a/b/x']],
    ['/a/*/*', ['/a/b', '/a/b/', '/a/b/c/d'], ['/a', '/a/']],
    ['/café', ['/caf%C3%A9', '/caf%c3%a9', '/caf\xc3\xa9'], ['/cafe']],
    ['/a b'.replace(' ', '%20'), ['/a%20b'], ['/a+b']],
    ['/%7euser', ['/~user', '/%7Euser'], []],
    ['/a.c', ['/a.c'], ['/abc']],
    ['/(x)+[y]|$^', ['/(x)+[y]|$^'], ['/x', '/xx']],
  ])('%s', (pattern, taken, passed) => {
    const matches = compileMatch({ path: [must(parsePathPattern(pattern))] });
    expect(taken.filter((path) => !matches('', normalizePath(path)))).toEqual([]);
    expect(passed.filter((path) => matches('', normalizePath(path)))).toEqual([]);
  });

  it('fits when any of several does, host and path both', () => {
    const matches = compileMatch({
      host: ['a.example', '*.b.example'].map((text) => must(parseHostPattern(text))),
      path: ['/x', '/y/*'].map((text) => must(parsePathPattern(text))),
    });
    expect(matches('a.example', '/x')).toBe(true);
    expect(matches('c.b.example', '/y/z')).toBe(true);
    expect(matches('c.b.example', '/z')).toBe(false);
    expect(matches('b.example', '/x')).toBe(false);
  });

  it('agrees with a plain reading of the rules on any path', () => {
    const segment = fc.constantFrom('a', 'b', '*', '');
    const pattern = fc
      .array(segment, { minLength: 1, maxLength: 4 })
      .map((segments) => `/${segments.join('/')}`);
    const path = fc
      .array(fc.constantFrom('a', 'b', 'c', ''), { minLength: 1, maxLength: 5 })
      .map((segments) => `/${segments.join('/')}`);
    fc.assert(
      fc.property(pattern, path, (pattern, path) => {
        const matches = compileMatch({ path: [must(parsePathPattern(pattern))] });
        expect(matches('', path)).toBe(plainly(pattern, path));
      }),
      { numRuns: 2000 },
    );
  });
});

/** The rules as the reference page states them, without a thought for speed. */
function plainly(pattern: string, path: string): boolean {
  if (pattern === '/*') return true;
  const below = pattern.endsWith('/*');
  const wanted = (below ? pattern.slice(0, -2) : pattern).slice(1).split('/');
  const found = path.slice(1).split('/');
  if (below ? found.length < wanted.length : found.length !== wanted.length) return false;
  return wanted.every((segment, i) => (segment === '*' ? found[i] !== '' : segment === found[i]));
}

function must<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(parsed.wrong);
  return parsed.value;
}
