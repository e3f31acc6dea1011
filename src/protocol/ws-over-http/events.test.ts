import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeEvents, encodeEvents } from './events.js';
import type { ContentType, WsEvent } from './types.js';

const bytes = (text: string) => Buffer.from(text, 'latin1');
const event = (type: ContentType, content = ''): WsEvent => ({ type, content: bytes(content) });
const decode = (text: string) => decodeEvents(bytes(text));

describe('encodeEvents', () => {
  it.each<[string, WsEvent[], string]>([
    ['types without content', [{ type: 'OPEN' }, { type: 'DISCONNECT' }], 'OPEN\r\nDISCONNECT\r\n'],
    ['lengths in lower-case hex', [event('TEXT', 'x'.repeat(28))], `TEXT 1c\r\n${'x'.repeat(28)}\r\n`],
    ['the length of an empty message', [event('TEXT'), event('BINARY')], 'TEXT 0\r\n\r\nBINARY 0\r\n\r\n'],
    [
      'no length of an empty control event',
      [event('PING'), event('PONG'), event('CLOSE')],
      'PING\r\nPONG\r\nCLOSE\r\n',
    ],
    ['the content of a ping', [event('PING', 'a')], 'PING 1\r\na\r\n'],
    ['bytes, not characters', [{ type: 'TEXT', content: Buffer.from('ü') }], 'TEXT 2\r\n\xc3\xbc\r\n'],
    ['nothing', [], ''],
  ])('writes %s', (_name, events, expected) => {
    expect(encodeEvents(events).toString('latin1')).toBe(expected);
  });
});

describe('decodeEvents', () => {
  it.each<[string, string, WsEvent[]]>([
    ['an empty body', '', []],
    ['an empty text without a length', 'TEXT\r\n', [event('TEXT')]],
    ['an empty text with one', 'TEXT 0\r\n\r\n', [event('TEXT')]],
    [
      'hex in either case',
      `TEXT 1C\r\n${'x'.repeat(28)}\r\nTEXT 1c\r\n${'y'.repeat(28)}\r\n`,
      [event('TEXT', 'x'.repeat(28)), event('TEXT', 'y'.repeat(28))],
    ],
    ['OPEN with a length', 'OPEN 0\r\n\r\n', [{ type: 'OPEN' }]],
    ['OPEN with content', 'OPEN 3\r\nabc\r\nTEXT 1\r\nx\r\n', [{ type: 'OPEN' }, event('TEXT', 'x')]],
    ['DISCONNECT with content', 'DISCONNECT 1\r\nx\r\n', [{ type: 'DISCONNECT' }]],
    ['content that looks like events', 'BINARY 8\r\nCLOSE\r\n\n\r\n', [event('BINARY', 'CLOSE\r\n\n')]],
    ['CLOSE with code and reason', 'CLOSE 5\r\n\x03\xe8bye\r\n', [event('CLOSE', '\x03\xe8bye')]],
    ['leading zeros', 'TEXT 0001\r\nx\r\n', [event('TEXT', 'x')]],
  ])('takes %s', (_name, body, events) => {
    expect(decode(body)).toEqual({ events, skipped: [] });
  });

  it('passes over unknown types with their content, and names them', () => {
    expect(decode('PAUSE\r\ntext 6\r\nTEXT\r\n\r\nPONG\r\n')).toEqual({
      events: [event('PONG')],
      skipped: ['PAUSE', 'text'],
    });
  });

  it.each([
    ['a type without CRLF', 'TEXT', 'at byte 0: a type without its CRLF'],
    ['a type that ends with LF alone', 'OPEN\nTEXT\r\n', 'not a type with an optional length'],
    ['content cut short', 'OPEN\r\nTEXT 5\r\nhell', 'at byte 6: "TEXT 5" announces more than the 4 bytes'],
    ['content without its CRLF at the end', 'TEXT 5\r\nhello', 'announces more than the 5 bytes'],
    ['half a CRLF at the end', 'TEXT 5\r\nhello\r', 'announces more than the 6 bytes'],
    ['content without its CRLF in the middle', 'TEXT 5\r\nhello!!PING\r\n', 'no CRLF behind the content'],
    ['content longer than it says', 'TEXT 4\r\nhello\r\n', 'no CRLF behind the content'],
    [
      'a length that is no hex',
      'TEXT 5g\r\nhello\r\n',
      'not a type with an optional length in hex: "TEXT 5g"',
    ],
    ['a length with a prefix', 'TEXT 0x5\r\nhello\r\n', 'not a type'],
    ['a negative length', 'TEXT -1\r\nhello\r\n', 'not a type'],
    ['a length that is missing', 'TEXT \r\nhello\r\n', 'not a type'],
    ['a length beyond all numbers', `TEXT ${'f'.repeat(40)}\r\nhello\r\n`, 'not a type'],
    ['two spaces', 'TEXT  5\r\nhello\r\n', 'not a type'],
    ['no type', '\r\n', 'not a type'],
    ['a line that does not end', 'X'.repeat(1000), 'a type without its CRLF'],
    ['a line that is very long', `${'X'.repeat(1000)}\r\n`, 'a type longer than 64 bytes'],
  ])('does not take %s', (_name, body, problem) => {
    const decoded = decode(body);
    expect(decoded.events).toBeUndefined();
    expect(decoded.problem).toContain(problem);
    expect(decoded.problem).not.toContain('\n');
  });

  const content = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
  const anyEvent: fc.Arbitrary<WsEvent> = fc.oneof(
    fc.constantFrom<WsEvent>({ type: 'OPEN' }, { type: 'DISCONNECT' }),
    fc.record({
      type: fc.constantFrom<ContentType>('TEXT', 'BINARY', 'PING', 'PONG', 'CLOSE'),
      content,
    }),
  );

  it('reads back what is written', () => {
    fc.assert(
      fc.property(fc.array(anyEvent), (events) => {
        expect(decodeEvents(encodeEvents(events))).toEqual({ events, skipped: [] });
      }),
    );
  });

  it('takes no body that is cut anywhere but between two events', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { minLength: 1, maxLength: 4 }), (events) => {
        const body = encodeEvents(events);
        const whole = new Set(events.map((_, i) => encodeEvents(events.slice(0, i)).length));
        for (let end = 0; end < body.length; end++) {
          expect(decodeEvents(body.subarray(0, end)).problem === undefined).toBe(whole.has(end));
        }
      }),
    );
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (array) => {
        decodeEvents(Buffer.from(array));
      }),
    );
  });
});
