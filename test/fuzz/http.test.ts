import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { BodyEnd } from '../../src/protocol/http/body-end.js';
import { type ResponseHead, writeResponseHead } from '../../src/protocol/http/head.js';
import { HeadError, ResponseHeadReader } from '../../src/protocol/http/response-head.js';
import { cutAt, cuts, feed } from '../fixtures/chunking.js';
import { damaged, fuzz, some } from './fuzz.js';

const bytes = (...texts: string[]): Buffer[] => texts.map((text) => Buffer.from(text, 'latin1'));

const heads = bytes(
  'HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'HTTP/1.0 204 \r\n',
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n',
  'Set-Cookie: a=\xe9; Path=/\r\nset-cookie:\tb \r\n',
  'Content-Length: 5, 5\r\n',
  '\r\n',
);
const chunked = fc
  .tuple(
    some(bytes('5\r\nhello\r\n', '1;a="b"\r\nx\r\n', '0010\r\n0123456789abcdef\r\n'), 3),
    fc.constantFrom(...bytes('0\r\n\r\n', '000\r\nA: b\r\n\r\n', '0;x\r\nA: b\r\nC:\r\n\r\n')),
    fc.constantFrom(...bytes('', 'HTTP/1.1 200 OK\r\n\r\n')),
  )
  .map((parts) => Buffer.concat(parts));

const withStatusLine = damaged(some(heads)).map((stream) =>
  stream.subarray(0, 5).toString() === 'HTTP/'
    ? stream
    : Buffer.concat([...bytes('HTTP/1.1 200 OK\r\n'), stream]),
);

it('response heads: any chunking is the same as none', () => {
  fuzz(fc.tuple(withStatusLine, cuts(300)), ([stream, offsets]) => {
    const whole = readHead([stream]);
    const cut = readHead(cutAt(stream, offsets));
    expect(typeof cut === 'string' ? cut : shown(cut)).toEqual(
      typeof whole === 'string' ? whole : shown(whole),
    );
  });
});

it('response heads: what is read and written again reads the same', () => {
  fuzz(withStatusLine, (stream) => {
    const first = readHead([stream]);
    if (typeof first === 'string') return;
    const { status, reason, headers } = first.head;
    const again = readHead([writeResponseHead(status, reason, headers)]);
    if (typeof again === 'string') throw new Error(`written head is ${again}`);
    expect({ ...shown(again), rest: '', httpVersion: '' }).toEqual({
      ...shown(first),
      rest: '',
      httpVersion: '',
    });
    // No reader could find another end in it, or another line.
    expect(stream.indexOf('\r\n\r\n')).toBe(stream.length - first.rest.length - 4);
  });
});

it('response bodies: any chunking is the same as none', () => {
  fuzz(fc.tuple(withStatusLine, cuts(300)), ([stream, offsets]) => {
    const read = readHead([stream]);
    if (typeof read === 'string') return;
    expect(follow(read.head, cutAt(read.rest, offsets))).toEqual(follow(read.head, [read.rest]));
  });
});

it('chunked bodies: any chunking is the same as none', () => {
  fuzz(fc.tuple(damaged(chunked), cuts(200)), ([stream, offsets]) => {
    const head = readHead(bytes('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'));
    if (typeof head === 'string') throw new Error(head);
    expect(follow(head.head, cutAt(stream, offsets))).toEqual(follow(head.head, [stream]));
  });
});

it('chunked bodies: agrees with a plain reading of the RFC', () => {
  fuzz(damaged(chunked), (stream) => {
    const head = readHead(bytes('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'));
    if (typeof head === 'string') throw new Error(head);
    const end = endOfChunked(stream.toString('latin1'));
    const ours = follow(head.head, [stream]);
    if (ours === 'too-large') return;
    if (end === undefined) expect(ours).not.toMatchObject({ done: true });
    else expect(ours).toEqual({ taken: end, done: true });
  });
});

/** RFC 9112 §7.1, with the whole body at hand. Undefined when it does not end, or not in order. */
function endOfChunked(text: string): number | undefined {
  for (let at = 0; ; at += 2) {
    const line = /^([0-9a-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n/i.exec(text.slice(at));
    if (line === null) return undefined;
    at += line[0].length;
    const size = Number.parseInt(line[1]!, 16);
    if (size === 0) {
      const trailers = /^(?:[\x21-\x7e\x80-\xff][\t\x20-\x7e\x80-\xff]*\r\n)*\r\n/.exec(text.slice(at));
      return trailers === null ? undefined : at + trailers[0].length;
    }
    at += size;
    if (text.slice(at, at + 2) !== '\r\n') return undefined;
  }
}

interface Read {
  head: ResponseHead;
  rest: Buffer;
}

/** The head and all that came behind it, or what is wrong, or `incomplete`. */
function readHead(stream: readonly Buffer[]): Read | string {
  const reader = new ResponseHeadReader({ maxBytes: 200 });
  let read: Read | undefined;
  try {
    feed(stream, (chunk) => {
      if (read !== undefined) {
        read.rest = Buffer.concat([read.rest, chunk]);
        return;
      }
      const found = reader.push(chunk);
      // A copy, since the chunk will be wiped.
      if (found !== undefined) read = { head: found.head, rest: Buffer.from(found.rest) };
    });
  } catch (error) {
    if (error instanceof HeadError) return error.kind;
    throw error;
  }
  return read ?? 'incomplete';
}

function shown({ head, rest }: Read) {
  return { ...head, headers: head.headers.toRaw(), rest: rest.toString('latin1') };
}

function follow(head: ResponseHead, stream: readonly Buffer[]): { taken: number; done: boolean } | string {
  let taken = 0;
  try {
    const body = BodyEnd.of(head, 'GET', { maxChunkLineBytes: 30, maxTrailerBytes: 40 });
    for (const chunk of stream) taken += body.push(chunk);
    return { taken, done: body.done };
  } catch (error) {
    if (error instanceof HeadError) return error.kind;
    throw error;
  }
}
