import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutAt, cuts, feed, singleBytes } from '../../../test/fixtures/chunking.js';
import { writeResponseHead } from './head.js';
import { HeaderList } from './header-list.js';
import { HeadError, ResponseHeadReader } from './response-head.js';

interface Read {
  httpVersion: string;
  status: number;
  reason: string;
  headers: string[];
  /** Everything behind the head, later chunks included. */
  rest: string;
}

type Result = Read | { error: string; message: string } | 'incomplete';

function read(chunks: readonly Buffer[], maxBytes = 16_384): Result {
  const reader = new ResponseHeadReader({ maxBytes });
  let found: Read | undefined;
  try {
    feed(chunks, (chunk) => {
      if (found !== undefined) {
        found.rest += chunk.toString('latin1');
        return;
      }
      const result = reader.push(chunk);
      if (result === undefined) return;
      const { headers, ...line } = result.head;
      found = { ...line, headers: headers.toRaw(), rest: result.rest.toString('latin1') };
    });
  } catch (error) {
    if (!(error instanceof HeadError)) throw error;
    return { error: error.kind, message: error.message };
  }
  return found ?? 'incomplete';
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('heads that are right', () => {
  it.each<[string, Omit<Read, 'rest'>]>([
    [
      'HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n',
      {
        httpVersion: '1.1',
        status: 101,
        reason: 'Web Socket Protocol Handshake',
        headers: ['Upgrade', 'WebSocket', 'Connection', 'Upgrade'],
      },
    ],
    ['HTTP/1.0 200 OK\r\n\r\n', { httpVersion: '1.0', status: 200, reason: 'OK', headers: [] }],
    ['HTTP/1.1 204 \r\n\r\n', { httpVersion: '1.1', status: 204, reason: '', headers: [] }],
    ['HTTP/1.1 204\r\n\r\n', { httpVersion: '1.1', status: 204, reason: '', headers: [] }],
    ['HTTP/1.1 599  x \t\r\n\r\n', { httpVersion: '1.1', status: 599, reason: ' x \t', headers: [] }],
    ['HTTP/1.1 100 \xe9\r\n\r\n', { httpVersion: '1.1', status: 100, reason: '\xe9', headers: [] }],
    [
      "HTTP/1.1 200 OK\r\nA:1\r\na: \t 2 \t\r\nEmpty:\r\nBlank: \r\nE: x:y  z\r\n!#$%&'*+-.^_`|~: \xff\xa0\r\n\r\n",
      {
        httpVersion: '1.1',
        status: 200,
        reason: 'OK',
        headers: ['A', '1', 'a', '2', 'Empty', '', 'Blank', '', 'E', 'x:y  z', "!#$%&'*+-.^_`|~", '\xff\xa0'],
      },
    ],
  ])('%j', (text, head) => {
    const rest = '\0\xffHTTP/1.1 200 OK\r\n\r\n';
    const whole = bytes(text + rest);
    const expected = { ...head, rest };
    expect(read([whole])).toEqual(expected);
    expect(read(singleBytes(whole))).toEqual(expected);
    for (let i = 0; i <= whole.length; i++) expect(read(cutAt(whole, [i]))).toEqual(expected);
  });

  it('hands the rest back without copying it', () => {
    const chunk = bytes('HTTP/1.1 200 OK\r\n\r\nrest');
    const { rest } = new ResponseHeadReader({ maxBytes: 100 }).push(chunk)!;
    expect(rest.buffer).toBe(chunk.buffer);
    expect(rest.toString()).toBe('rest');
  });

  it('waits for the end of the blank line', () => {
    expect(read([bytes('HTTP/1.1 200 OK\r\nA: b\r\n\r')])).toBe('incomplete');
    expect(read([bytes('')])).toBe('incomplete');
  });
});

describe('heads that are wrong', () => {
  const line = 'HTTP/1.1 200 OK\r\n';

  it.each([
    ['bare LF', 'HTTP/1.1 200 OK\n', 'LF alone'],
    ['bare LF behind a header', `${line}A: b\n\r\n`, 'LF alone'],
    ['bare LF as the blank line', `${line}A: b\r\n\n`, 'LF alone'],
    ['bare LF at the very start of a chunk', `${line}\n`, 'LF alone'],
    ['bare CR in a value', `${line}A: b\rc\r\n\r\n`, 'control character'],
    ['CR CR LF', `${line}A: b\r\r\n\r\n`, 'control character'],
    ['bare CR in the status line', 'HTTP/1.1 200 O\rK\r\n\r\n', 'control character'],
    ['NUL in a value', `${line}A: b\0c\r\n\r\n`, 'control character'],
    ['NUL in the phrase', 'HTTP/1.1 200 O\0K\r\n\r\n', 'control character'],
    ['ESC in a value', `${line}A: \x1b[31m\r\n\r\n`, 'control character'],
    ['vertical tab before a value', `${line}Transfer-Encoding: \vchunked\r\n\r\n`, 'control character'],
    ['DEL in a value', `${line}A: \x7f\r\n\r\n`, 'control character'],
    ['a folded header', `${line}A: b\r\n c\r\n\r\n`, 'folded'],
    ['a header folded with a tab', `${line}A: b\r\n\tc: d\r\n\r\n`, 'folded'],
    ['whitespace in front of the first header', `${line} A: b\r\n\r\n`, 'folded'],
    ['a blank line of blanks', `${line}A: b\r\n \r\n\r\n`, 'folded'],
    ['a space before the colon', `${line}Transfer-Encoding : chunked\r\n\r\n`, 'whitespace before its colon'],
    ['a tab before the colon', `${line}A\t: b\r\n\r\n`, 'whitespace before its colon'],
    ['no name', `${line}: b\r\n\r\n`, 'no name'],
    ['no colon', `${line}A b\r\n\r\n`, 'no colon'],
    ['a name with a space', `${line}A b: c\r\n\r\n`, 'not a token'],
    ['a name with NUL', `${line}A\0: c\r\n\r\n`, 'not a token'],
    ['a name with a byte of latin-1', `${line}\xc4: c\r\n\r\n`, 'not a token'],
    ['a name in parentheses', `${line}(A): c\r\n\r\n`, 'not a token'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n', 'status line'],
    ['a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n', 'status line'],
    ['status 099', 'HTTP/1.1 099 OK\r\n\r\n', 'status line'],
    ['status 600', 'HTTP/1.1 600 OK\r\n\r\n', 'status line'],
    ['a status with a sign', 'HTTP/1.1 +20 OK\r\n\r\n', 'status line'],
    ['no status', 'HTTP/1.1\r\n\r\n', 'status line|does not begin'],
    ['two spaces before the status', 'HTTP/1.1  200 OK\r\n\r\n', 'status line'],
    ['a tab before the status', 'HTTP/1.1\t200 OK\r\n\r\n', 'status line'],
    ['a tab behind the status', 'HTTP/1.1 200\tOK\r\n\r\n', 'status line'],
    ['a phrase without a space', 'HTTP/1.1 200OK\r\n\r\n', 'status line'],
    ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n\r\n', 'status line'],
    ['HTTP/1.10', 'HTTP/1.10 200 OK\r\n\r\n', 'status line'],
    ['HTTP/2', 'HTTP/2 200\r\n\r\n', 'does not begin with "HTTP/1."'],
    ['lower case', 'http/1.1 200 OK\r\n\r\n', 'does not begin'],
    ['a blank line first', '\r\nHTTP/1.1 200 OK\r\n\r\n', 'does not begin'],
    ['a space first', ' HTTP/1.1 200 OK\r\n\r\n', 'does not begin'],
    ['HTTP/0.9', '<html>', 'does not begin'],
    ['SSH', 'SSH-2.0-OpenSSH_9.2\r\n', 'does not begin'],
    ['a TLS alert', '\x15\x03\x01\x00\x02\x02\x16', 'does not begin'],
    ['HTTP/2 SETTINGS', '\0\0\x12\x04\0\0\0\0\0', 'does not begin'],
  ])('%s', (_, text, message) => {
    for (const chunks of [[bytes(text)], singleBytes(bytes(text))]) {
      const result = read(chunks);
      expect(result).toMatchObject({ error: 'malformed' });
      expect((result as { message: string }).message).toMatch(new RegExp(message));
      // One line, with nothing in it that a terminal would obey.
      expect((result as { message: string }).message).toMatch(/^[\x20-\x7e\xa0-\uffff]{10,250}$/);
    }
  });

  it('are told of as soon as it is certain', () => {
    expect(read([bytes('SSH')])).toMatchObject({ error: 'malformed' });
    expect(read([bytes(`${line}A b\r\n`)])).toMatchObject({ error: 'malformed' });
  });
});

describe('maxBytes', () => {
  const head = 'HTTP/1.1 200 OK\r\nA: b\r\n\r\n';

  it('counts the head with its blank line, and nothing behind it', () => {
    for (const chunks of [[bytes(`${head}rest`)], singleBytes(bytes(`${head}rest`))]) {
      expect(read(chunks, head.length)).toMatchObject({ status: 200, rest: 'rest' });
      expect(read(chunks, head.length - 1)).toEqual({
        error: 'too-large',
        message: `response head is larger than ${head.length - 1} bytes`,
      });
    }
  });

  it('holds for a line that never ends', () => {
    expect(read([bytes(`HTTP/1.1 200 ${'x'.repeat(100)}`)], 100)).toMatchObject({ error: 'too-large' });
    expect(read(singleBytes(bytes(`HTTP/1.1 200 ${'x'.repeat(100)}`)), 100)).toMatchObject({
      error: 'too-large',
    });
    expect(read([bytes(`HTTP/1.1 200 ${'x'.repeat(80)}`)], 100)).toBe('incomplete');
  });

  it('holds for many small headers', () => {
    expect(read([bytes(`HTTP/1.1 200 OK\r\n${'a:\r\n'.repeat(5000)}\r\n`)])).toMatchObject({
      error: 'too-large',
    });
  });
});

describe('properties', () => {
  const name = fc.stringMatching(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,12}$/);
  const value = fc.stringMatching(
    /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]{0,20}[\x21-\x7e\x80-\xff])?)?$/,
  );
  const reason = fc.stringMatching(/^[\t\x20-\x7e\x80-\xff]{0,20}$/);
  const status = fc.integer({ min: 100, max: 599 });
  const headers = fc.array(fc.tuple(name, value), { maxLength: 10 }).map((pairs) => pairs.flat());
  const rest = fc.uint8Array({ maxLength: 50 }).map((array) => Buffer.from(array).toString('latin1'));

  it('reads what the writer writes, however it is cut', () => {
    fc.assert(
      fc.property(status, reason, headers, rest, cuts(600), (status, reason, raw, rest, offsets) => {
        const head = writeResponseHead(status, reason, HeaderList.fromRaw(raw));
        const chunks = cutAt(Buffer.concat([head, bytes(rest)]), offsets);
        expect(read(chunks)).toEqual({ httpVersion: '1.1', status, reason, headers: raw, rest });
      }),
    );
  });

  it('makes the same of any bytes, however they are cut', () => {
    const piece = fc.oneof(
      {
        arbitrary: fc.constantFrom(
          'HTTP/1.1 200 OK',
          '\r\n',
          '\r\n',
          'A: b',
          ' ',
          ':',
          '\n',
          '\r',
          '\0',
          'x',
        ),
        weight: 8,
      },
      { arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 5 }), weight: 1 },
    );
    const stream = fc
      .tuple(fc.constantFrom('', 'HTTP/1.1 200 OK\r\n'), fc.array(piece))
      .map(([start, parts]) => {
        return bytes(start + parts.join(''));
      });
    const withoutMessage = (result: Result) =>
      typeof result === 'object' && 'error' in result ? { error: result.error } : result;
    fc.assert(
      fc.property(stream, fc.integer({ min: 10, max: 80 }), cuts(200), (stream, maxBytes, offsets) => {
        const cut = read(cutAt(stream, offsets), maxBytes);
        expect(withoutMessage(cut)).toEqual(withoutMessage(read([stream], maxBytes)));
      }),
      { numRuns: 2000 },
    );
  });

  it('is linear in the bytes, also for a large head that comes a byte at a time', () => {
    // A megabyte: a reader that looked at all of it again with every byte would need minutes.
    const head = bytes(`HTTP/1.1 200 OK\r\nA: ${'x'.repeat(500_000)}\r\n${'b: c\r\n'.repeat(80_000)}\r\n`);
    expect(read(singleBytes(head), 2_000_000)).toMatchObject({ status: 200 });
  });
});
