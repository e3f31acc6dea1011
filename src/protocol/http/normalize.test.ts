import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { normalizeHost, normalizePath } from './normalize.js';

describe('normalizeHost', () => {
  it.each([
    ['chat.example.com', 'chat.example.com'],
    ['Chat.Example.COM:8080', 'chat.example.com'],
    ['chat.example.com.', 'chat.example.com'],
    ['chat.example.com.:80', 'chat.example.com'],
    ['chat.example.com:', 'chat.example.com'],
    ['127.0.0.1:9000', '127.0.0.1'],
    ['[::1]', '[::1]'],
    ['[::1]:8080', '[::1]'],
    ['[0:0:0:0:0:0:0:1]:8080', '[::1]'],
    ['[2001:DB8::0:1]', '[2001:db8::1]'],
    ['[not an address]:1', '[not an address]'],
    ['', ''],
    [':80', ':80'],
  ])('%j is compared as %j', (host, normal) => {
    expect(normalizeHost(host)).toBe(normal);
  });
});

describe('normalizePath', () => {
  it.each([
    ['/', '/'],
    ['/live', '/live'],
    ['/live?token=a/../b', '/live'],
    ['/live#/../admin', '/live'],
    ['*', '*'],
    // Dot segments, as in RFC 3986 §5.2.4.
    ['/public/../admin', '/admin'],
    ['/public/./../admin', '/admin'],
    ['/../../admin', '/admin'],
    ['/a/b/c/./../../g', '/a/g'],
    ['/a/b/..', '/a/'],
    ['/a/b/.', '/a/b/'],
    ['/..', '/'],
    ['/.', '/'],
    ['/a//../b', '/a/b'],
    ['/...', '/...'],
    ['/.hidden/..x/x..', '/.hidden/..x/x..'],
    // Escapes.
    ['/public/%2e%2E/admin', '/admin'],
    ['/public/.%2e/admin', '/admin'],
    ['/%61dm%69n', '/admin'],
    ['/%7Euser', '/~user'],
    ['/a%2fb', '/a%2Fb'],
    ['/a%2Fb', '/a%2Fb'],
    ['/%252e%252e/admin', '/%252e%252e/admin'],
    ['/100%', '/100%'],
    ['/%zz/%4', '/%zz/%4'],
    ['/caf\xc3\xa9', '/caf%C3%A9'],
    ['/caf%c3%a9', '/caf%C3%A9'],
    // Left alone.
    ['//admin', '//admin'],
    ['/a//b', '/a//b'],
    ['/Admin', '/Admin'],
    ['/a;x=1/b', '/a;x=1/b'],
  ])('%j is compared as %j', (target, normal) => {
    expect(normalizePath(target)).toBe(normal);
  });

  it('gives every path one form: normalising again changes nothing', () => {
    fc.assert(
      fc.property(path, (target) => {
        const once = normalizePath(target);
        expect(normalizePath(once)).toBe(once);
      }),
    );
  });

  it('leaves no dot segment, however it is written', () => {
    fc.assert(
      fc.property(path, (target) => {
        const segments = normalizePath(target).split('/');
        expect(segments.filter((segment) => segment === '.' || segment === '..')).toEqual([]);
      }),
    );
  });

  it('agrees with the WHATWG URL parser on paths made of plain segments and dots', () => {
    const segment = fc.constantFrom('a', 'b', '.', '..', '%2e', '%2E%2e', '.%2e', 'a.b', '...');
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1 }), (segments) => {
        const target = `/${segments.join('/')}`;
        expect(normalizePath(target)).toBe(new URL(`http://h${target}`).pathname);
      }),
    );
  });

  it('does not care which unreserved characters are escaped', () => {
    const text = fc.array(fc.constantFrom(...Array.from('abcXYZ019-._~/')), { maxLength: 30 });
    fc.assert(
      fc.property(text, fc.infiniteStream(fc.boolean()), (characters, coin) => {
        const plain = `/${characters.join('')}`;
        const escaped = characters.map((char) => {
          const keep = char === '/' || coin.next().value === true;
          return keep ? char : `%${char.charCodeAt(0).toString(16)}`;
        });
        expect(normalizePath(`/${escaped.join('')}`)).toBe(normalizePath(plain));
      }),
    );
  });
});

const path = fc
  .array(fc.constantFrom('/', '.', '..', '%2e', '%2E', '%2f', '%', '%25', 'a', '\xe9', '?', '//'), {
    maxLength: 40,
  })
  .map((parts) => `/${parts.join('')}`);
