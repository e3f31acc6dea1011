import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { requestHeadText, writeResponseHead } from './head.js';
import { HeaderList } from './header-list.js';

const none = new HeaderList();

describe('requestHeadText', () => {
  it('writes what it was given, byte for byte', () => {
    const headers = HeaderList.fromRaw([
      'Host',
      'a.example',
      'x-ODD',
      '',
      'Cookie',
      'n=\u00e9',
      'Cookie',
      'm',
    ]);
    expect(requestHeadText('GET', '/chat?x=%20', headers)).toBe(
      'GET /chat?x=%20 HTTP/1.1\r\nHost: a.example\r\nx-ODD: \r\nCookie: n=\u00e9\r\nCookie: m\r\n\r\n',
    );
  });

  it('writes one byte a character', () => {
    const bytes = writeResponseHead(200, '\u00ff', HeaderList.fromRaw(['X', '\u0080']));
    expect(bytes).toEqual(Buffer.from('485454502f312e312032303020ff0d0a583a20800d0a0d0a', 'hex'));
    expect(requestHeadText('GET', '/\u00ff', none)).toBe('GET /\u00ff HTTP/1.1\r\n\r\n');
  });

  it.each(['', 'GE T', 'GET\r\n', 'GET\0', 'GÉT', 'GET:'])('refuses the method %j', (method) => {
    expect(() => requestHeadText(method, '/', none)).toThrow(RangeError);
  });

  it.each(['', '/a b', '/a\r\nX: y', '/\n', '/\0', '/\t', '/\x7f', '/\u010d\u010a'])(
    'refuses the target %j',
    (target) => {
      expect(() => requestHeadText('GET', target, none)).toThrow(RangeError);
    },
  );
});

describe('writeResponseHead', () => {
  it('writes what it was given, the phrase too', () => {
    const headers = HeaderList.fromRaw(['Upgrade', 'WebSocket', 'Connection', 'Upgrade']);
    expect(writeResponseHead(101, 'Web Socket Protocol Handshake', headers).toString('latin1')).toBe(
      'HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n',
    );
  });

  it('keeps the space before an empty phrase (RFC 9112 §4)', () => {
    expect(writeResponseHead(204, '', none).toString('latin1')).toBe('HTTP/1.1 204 \r\n\r\n');
  });

  it.each(['OK\r\nX: y', '\n', '\0', 'O\x7fK', '\u010d\u010a'])('refuses the phrase %j', (reason) => {
    expect(() => writeResponseHead(200, reason, none)).toThrow(RangeError);
  });

  it.each([0, 99, 1000, 200.5, -200, Number.NaN])('refuses the status %d', (status) => {
    expect(() => writeResponseHead(status, 'OK', none)).toThrow(RangeError);
  });
});

describe('both', () => {
  it.each([
    ['', 'x'],
    ['a b', 'x'],
    ['a:', 'x'],
    ['a\r\nb', 'x'],
    ['a\0', 'x'],
    ['a', 'x\r\ny: z'],
    ['a', '\n'],
    ['a', '\r'],
    ['a', '\0'],
    ['a', '\x7f'],
    ['a', 'x\u010d\u010ay'],
  ])('refuse the field %j: %j', (name, value) => {
    const headers = HeaderList.fromRaw(['Host', 'a', name, value]);
    expect(() => requestHeadText('GET', '/', headers)).toThrow(RangeError);
    expect(() => writeResponseHead(200, 'OK', headers)).toThrow(RangeError);
  });

  it('never let out a line break, a NUL or a field that was not asked for', () => {
    const hostile = fc.string({
      unit: fc.constantFrom('a', 'B', ' ', ':', '\r', '\n', '\0', '\t', 'é', '\u010a', '\u010d'),
    });
    fc.assert(
      fc.property(hostile, hostile, hostile, hostile, (first, second, name, value) => {
        const headers = HeaderList.fromRaw(['Host', 'a', name, value]);
        for (const write of [
          () => requestHeadText(first, second, headers),
          () => writeResponseHead(200, first, headers),
        ]) {
          let text: string;
          try {
            text = write().toString('latin1');
          } catch (error) {
            expect(error).toBeInstanceOf(RangeError);
            continue;
          }
          expect(text.endsWith('\r\n\r\n')).toBe(true);
          const lines = text.slice(0, -4).split('\r\n');
          expect(lines).toHaveLength(3);
          expect(lines.join('')).not.toMatch(/[\r\n\0]/);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
