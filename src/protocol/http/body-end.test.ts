import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutAt, cuts, singleBytes } from '../../../test/fixtures/chunking.js';
import { BodyEnd, type BodyEndLimits } from './body-end.js';
import type { ResponseHead } from './head.js';
import { HeaderList } from './header-list.js';
import { HeadError } from './response-head.js';

function head(raw: string[], status = 200, httpVersion = '1.1'): ResponseHead {
  return { httpVersion, status, reason: '', headers: HeaderList.fromRaw(raw) };
}

const CHUNKED = ['Transfer-Encoding', 'chunked'];

/** How much of the chunks was body, and whether it ended; or what was wrong. */
function follow(
  body: BodyEnd,
  chunks: readonly Buffer[],
): { taken: number; done: boolean } | { error: string } {
  let taken = 0;
  try {
    for (const chunk of chunks) {
      const before = body.done;
      const count = body.push(chunk);
      expect(count === chunk.length || body.done).toBe(true);
      if (before) expect(count).toBe(0);
      taken += count;
    }
  } catch (error) {
    if (!(error instanceof HeadError)) throw error;
    return { error: error.kind };
  }
  return { taken, done: body.done };
}

describe('which rule holds (RFC 9112 §6.3)', () => {
  it.each<[string, ResponseHead, string]>([
    ['an answer to HEAD', head(['Content-Length', '5']), 'HEAD'],
    ['an answer to HEAD that would be chunked', head(CHUNKED), 'HEAD'],
    ['100', head([], 100), 'GET'],
    ['103', head(['Content-Length', '5'], 103), 'GET'],
    ['204', head([], 204), 'GET'],
    ['304 with the length of what it stands for', head(['Content-Length', '5'], 304), 'GET'],
    ['a length of 0', head(['Content-Length', '0']), 'GET'],
  ])('no body: %s', (_, head, method) => {
    const body = BodyEnd.of(head, method);
    expect(body).toMatchObject({ done: true, untilClose: false });
    expect(body.push(Buffer.from('HTTP/1.1 200 OK'))).toBe(0);
  });

  it('a length: so many bytes', () => {
    for (const raw of [
      ['Content-Length', '5'],
      ['content-length', ' 5\t'],
      ['Content-Length', '0000000005'],
    ]) {
      const body = BodyEnd.of(head(raw), 'GET');
      expect(body).toMatchObject({ done: false, untilClose: false, contentLength: 5 });
      expect([body.push(Buffer.from('abc')), body.done]).toEqual([3, false]);
      expect([body.push(Buffer.from('')), body.done]).toEqual([0, false]);
      expect([body.push(Buffer.from('deHTTP')), body.done]).toEqual([2, true]);
      expect(body.push(Buffer.from('x'))).toBe(0);
    }
  });

  it('neither: until the connection ends', () => {
    for (const version of ['1.1', '1.0']) {
      const body = BodyEnd.of(head(['Connection', 'close'], 200, version), 'GET');
      expect(body).toMatchObject({ done: false, untilClose: true, contentLength: undefined });
      expect([body.push(Buffer.alloc(70_000)), body.push(Buffer.alloc(1)), body.done]).toEqual([
        70_000,
        1,
        false,
      ]);
    }
  });

  it('chunked, in any case', () => {
    for (const value of ['chunked', 'Chunked', ' CHUNKED\t']) {
      const body = BodyEnd.of(head(['Transfer-Encoding', value]), 'GET');
      expect(body).toMatchObject({ done: false, untilClose: false });
      expect([body.push(Buffer.from('0\r\n\r\nHTTP')), body.done]).toEqual([5, true]);
    }
  });

  it('takes the same length twice, and says what it is so that one can be sent on', () => {
    expect(BodyEnd.of(head(['Content-Length', '5', 'content-length', '5']), 'GET').contentLength).toBe(5);
    expect(BodyEnd.of(head(['Content-Length', '5, 5']), 'GET').contentLength).toBe(5);
  });

  it.each([
    ['both', [...CHUNKED, 'Content-Length', '5']],
    ['lengths that differ', ['Content-Length', '5', 'Content-Length', '6']],
    ['lengths that differ in one field', ['Content-Length', '5, 6']],
    ['lengths that differ in spelling', ['Content-Length', '5', 'Content-Length', '05']],
    ['an empty length', ['Content-Length', '']],
    ['an empty length beside a good one', ['Content-Length', '5', 'Content-Length', '']],
    ['an empty element', ['Content-Length', ',5']],
    ['a sign', ['Content-Length', '+5']],
    ['a negative length', ['Content-Length', '-5']],
    ['hexadecimal', ['Content-Length', '0x5']],
    ['a fraction', ['Content-Length', '5.0']],
    ['an exponent', ['Content-Length', '5e1']],
    ['two numbers', ['Content-Length', '5 5']],
    ['a no-break space', ['Content-Length', '\u00a05']],
    ['2^53', ['Content-Length', '9007199254740992']],
    ['more than any computer has', ['Content-Length', '9'.repeat(400)]],
    ['gzip', ['Transfer-Encoding', 'gzip']],
    ['gzip, chunked', ['Transfer-Encoding', 'gzip, chunked']],
    ['chunked, chunked', ['Transfer-Encoding', 'chunked, chunked']],
    ['chunked twice', [...CHUNKED, ...CHUNKED]],
    ['chunked and identity', [...CHUNKED, 'Transfer-Encoding', 'identity']],
    ['an empty coding', ['Transfer-Encoding', '']],
    ['an empty coding beside chunked', ['Transfer-Encoding', '', ...CHUNKED]],
    ['a coding with a control character', ['Transfer-Encoding', '\vchunked']],
    ['a coding behind a no-break space', ['Transfer-Encoding', '\u00a0chunked']],
    ['a quoted coding', ['Transfer-Encoding', '"chunked"']],
  ])('refuses %s', (_, raw) => {
    for (const method of ['GET', 'HEAD']) {
      const attempt = () => BodyEnd.of(head(raw), method);
      expect(attempt).toThrow(HeadError);
      expect(attempt).toThrow(expect.objectContaining({ kind: 'malformed' }) as Error);
    }
  });

  it('refuses Transfer-Encoding in HTTP/1.0 (RFC 9112 §6.1)', () => {
    expect(() => BodyEnd.of(head(CHUNKED, 200, '1.0'), 'GET')).toThrow(HeadError);
  });
});

describe('chunked (RFC 9112 §7.1)', () => {
  const start = (limits?: BodyEndLimits) => BodyEnd.of(head(CHUNKED), 'GET', limits);
  const every = (text: string, offsets?: number[]) => {
    const bytes = Buffer.from(text, 'latin1');
    return offsets === undefined ? [bytes] : cutAt(bytes, offsets);
  };

  it.each([
    '0\r\n\r\n',
    '5\r\nhello\r\n0\r\n\r\n',
    '5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n',
    'A\r\n0123456789\r\n0\r\n\r\n',
    'a\r\n0\r\n\r\n5\r\n\r\n\r\n0\r\n\r\n',
    '0010\r\n0123456789abcdef\r\n000\r\n\r\n',
    '0000000000000001\r\nx\r\n0\r\n\r\n',
    '5;name=value;other="quo;ted"\r\nhello\r\n0;last\r\n\r\n',
    '5 ; spaced\r\nhello\r\n0\r\n\r\n',
    '5;\t\xe9\r\nhello\r\n0\r\n\r\n',
    '0\r\nTrailer: x\r\nOther:\ty\r\n\r\n',
  ])('%j is one body', (text) => {
    for (const rest of ['', 'HTTP/1.1 200 OK\r\n\r\n', '0\r\n\r\n', '\r\n']) {
      const expected = { taken: text.length, done: true };
      expect(follow(start(), every(text + rest))).toEqual(expected);
      expect(follow(start(), singleBytes(Buffer.from(text + rest, 'latin1')))).toEqual(expected);
      for (let i = 0; i <= text.length + rest.length; i++) {
        expect(follow(start(), every(text + rest, [i]))).toEqual(expected);
      }
    }
  });

  it.each(['', '5', '5\r', '5\r\nhell', '5\r\nhello', '5\r\nhello\r\n', '0\r\n', '0\r\n\r', '0\r\nA: b\r\n'])(
    '%j is not all of it',
    (text) => {
      expect(follow(start(), every(text))).toEqual({ taken: text.length, done: false });
    },
  );

  it.each([
    ['no size', '\r\nhello\r\n'],
    ['only an extension', ';x\r\n'],
    ['a sign', '+5\r\nhello\r\n'],
    ['a negative size', '-5\r\nhello\r\n'],
    ['0x', '0x5\r\nhello\r\n'],
    ['letters', '5g\r\nhello\r\n'],
    ['whitespace before the size', ' 5\r\nhello\r\n'],
    ['whitespace behind the size', '5 \r\nhello\r\n'],
    ['two sizes', '5 5\r\nhello\r\n'],
    ['bare LF behind the size', '5\nhello\r\n'],
    ['bare LF behind an extension', '5;x\nhello\r\n'],
    ['bare CR behind the size', '5\rhello\r\n'],
    ['NUL in an extension', '5;\0\r\nhello\r\n'],
    ['DEL in an extension', '5;\x7f\r\nhello\r\n'],
    ['a chunk that is longer than it says', '5\r\nhello!\r\n'],
    ['a chunk that ends in bare LF', '5\r\nhello\n0\r\n\r\n'],
    ['a chunk that ends in bare CR', '5\r\nhello\r0\r\n\r\n'],
    ['a chunk that is shorter than it says', '5\r\nhell\r\n0\r\n\r\n'],
    ['another byte for the LF behind the size', '5\rXhello\r\n0\r\n\r\n'],
    ['another byte for the CR behind the data', '5\r\nhelloX\n0\r\n\r\n'],
    ['another byte for the LF behind the data', '5\r\nhello\rX0\r\n\r\n'],
    ['another byte for the LF behind a trailer', '0\r\nA: b\rX\r\n'],
    ['17 digits', '00000000000000001\r\nx\r\n'],
    ['2^53', '20000000000000\r\n'],
    ['2^64', 'ffffffffffffffff1\r\n'],
    ['16 digits of f', 'ffffffffffffffff\r\n'],
    ['a folded trailer', '0\r\nA: b\r\n c\r\n\r\n'],
    ['a trailer of a blank', '0\r\n \r\n\r\n'],
    ['bare LF behind the last chunk', '0\r\n\n'],
    ['bare LF behind a trailer', '0\r\nA: b\n\r\n'],
    ['bare CR in a trailer', '0\r\nA: b\rc\r\n\r\n'],
    ['bare CR at the end', '0\r\n\rx'],
    ['NUL in a trailer', '0\r\nA: \0\r\n\r\n'],
  ])('refuses %s', (_, text) => {
    expect(follow(start(), every(text))).toEqual({ error: 'malformed' });
    expect(follow(start(), singleBytes(Buffer.from(text, 'latin1')))).toEqual({ error: 'malformed' });
  });

  it('knows sizes up to 2^53 - 1', () => {
    expect(follow(start(), every('1fffffffffffff\r\nx'))).toEqual({ taken: 17, done: false });
  });

  it('limits the size line, for each chunk anew', () => {
    const limits = { maxChunkLineBytes: 10 };
    // 10 bytes with the CR; the LF is not counted.
    const chunk = '1;3456789\r\nx\r\n';
    expect(follow(start(limits), every(`${chunk.repeat(5)}0\r\n\r\n`))).toEqual({ taken: 75, done: true });
    expect(follow(start(limits), every('1;34567890\r\nx\r\n'))).toEqual({ error: 'too-large' });
    expect(follow(start(), every(`1;${'x'.repeat(4000)}\r\nx\r\n`))).toMatchObject({ done: false });
    expect(follow(start(), every(`1;${'x'.repeat(5000)}\r\nx\r\n`))).toEqual({ error: 'too-large' });
    expect(follow(start(), every(`1${' '.repeat(5000)};\r\nx\r\n`))).toEqual({ error: 'too-large' });
  });

  it('limits all trailers together', () => {
    expect(follow(start(), every(`0\r\n${'a: b\r\n'.repeat(2000)}\r\n`))).toMatchObject({ done: true });
    expect(follow(start(), every(`0\r\n${'a: b\r\n'.repeat(4000)}\r\n`))).toEqual({ error: 'too-large' });
    expect(follow(start({ maxTrailerBytes: 3 }), every('0\r\na:\r\n\r\n'))).toEqual({ error: 'too-large' });
  });

  it('finds the end of any body, however it is cut', () => {
    const extension = fc.constantFrom('', '', ';a', ';a="b"', ' ;\tc');
    const chunk = fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 300 }), extension, fc.boolean());
    const trailers = fc.constantFrom('', 'A: b\r\n', 'A: b\r\nC:\r\n');
    const rest = fc.uint8Array({ maxLength: 20 });
    fc.assert(
      fc.property(
        fc.array(chunk, { maxLength: 8 }),
        trailers,
        rest,
        cuts(1500),
        (chunks, trailers, rest, offsets) => {
          const parts = chunks.map(([data, extension, upper]) => {
            const size = data.length.toString(16);
            const line = (upper ? size.toUpperCase() : size) + extension;
            return Buffer.concat([Buffer.from(`${line}\r\n`), data, Buffer.from('\r\n')]);
          });
          const body = Buffer.concat([...parts, Buffer.from(`0\r\n${trailers}\r\n`)]);
          const stream = cutAt(Buffer.concat([body, rest]), offsets);
          expect(follow(start(), stream)).toEqual({ taken: body.length, done: true });
        },
      ),
    );
  });

  it('makes the same of any bytes, however they are cut', () => {
    const piece = fc.constantFrom(
      '0',
      '1',
      '3',
      '\r\n',
      '\r\n',
      '\r',
      '\n',
      ';',
      'a',
      ' ',
      'x: y',
      '\0',
      'ff',
    );
    const stream = fc.array(piece, { maxLength: 30 }).map((parts) => Buffer.from(parts.join('')));
    fc.assert(
      fc.property(stream, cuts(60), (bytes, offsets) => {
        const limits = { maxChunkLineBytes: 6, maxTrailerBytes: 10 };
        expect(follow(start(limits), cutAt(bytes, offsets))).toEqual(follow(start(limits), [bytes]));
      }),
      { numRuns: 3000 },
    );
  });
});
