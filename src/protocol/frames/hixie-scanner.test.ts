import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutAt, cuts, feed, hex, singleBytes } from '../../../test/fixtures/chunking.js';
import { FrameLog, type SeenFrame } from '../../../test/fixtures/frame-log.js';
import { HixieScanner } from './hixie-scanner.js';

function scan(chunks: readonly Buffer[]) {
  const log = new FrameLog();
  const scanner = new HixieScanner(log);
  feed(chunks, (chunk) => scanner.push(chunk));
  return { frames: log.frames, atBoundary: scanner.atBoundary, blind: scanner.blind };
}

const text = (payload: string): SeenFrame => frame(1, -1, payload);
const frame = (opcode: number, payloadLength: number, payload = ''): SeenFrame => ({
  fin: true,
  rsv: 0,
  opcode,
  masked: false,
  maskKey: 0,
  payloadLength,
  payload,
  ended: true,
});

// The first frame of a socket.io 0.6 server: \0~m~16~m~5890598851256073\xff
const SOCKET_IO = '7e6d7e31367e6d7e35383930353938383531323536303733';

describe('Hixie frames', () => {
  it.each<[string, string, SeenFrame[]]>([
    ['socket.io’s session id', `00 ${SOCKET_IO} ff`, [text(SOCKET_IO)]],
    ['empty text', '00 ff', [text('')]],
    ['two texts', '00 61 ff 00 62 ff', [text('61'), text('62')]],
    ['text with bytes that look like types', '00 00 80 01 7f ff 00 ff', [text('0080017f'), text('')]],
    ['a sentinel frame that is not text', '01 61 ff 7f ff', [frame(2, -1, '61'), frame(2, -1)]],
    ['a counted frame', '80 03 61ff00 00 61 ff', [frame(2, 3, '61ff00'), text('61')]],
    [
      '300 bytes in two digits',
      `80 822c ${'ff'.repeat(300)} 00 ff`,
      [frame(2, 300, 'ff'.repeat(300)), text('')],
    ],
    ['an empty counted frame', '80 00', [frame(2, 0)]],
    ['leading zeros in a length', '81 80 80 80 01 ff', [frame(2, 1, 'ff')]],
    ['a type 0xFF with a length', 'ff 02 ffff', [frame(2, 2, 'ffff')]],
    ['the close', 'ff 00', [frame(8, 0)]],
    ['the close, its zero in two digits', 'ff 80 00', [frame(8, 0)]],
    ['a text and the close', '00 61 ff ff 00', [text('61'), frame(8, 0)]],
  ])('%s', (_, bytes, frames) => {
    const whole = hex(bytes);
    const expected = { frames, atBoundary: true, blind: undefined };
    expect(scan([whole])).toEqual(expected);
    expect(scan(singleBytes(whole))).toEqual(expected);
    for (let i = 0; i <= whole.length; i++) expect(scan(cutAt(whole, [i]))).toEqual(expected);
  });

  it('takes the longest length that four digits can say', () => {
    const { frames, blind } = scan([hex('80 ffffff7f')]);
    expect(frames).toMatchObject([{ payloadLength: 2 ** 28 - 1, ended: false }]);
    expect(blind).toBeUndefined();
  });

  it('reads plain Uint8Arrays as well as Buffers', () => {
    const log = new FrameLog();
    new HixieScanner(log).push(new Uint8Array(hex('00 61 ff')));
    expect(log.frames).toEqual([text('61')]);
  });
});

describe('atBoundary', () => {
  it('is true exactly between frames', () => {
    const bytes = hex('00 61 ff 80 8001 61 00 ff ff 00');
    const between = new Set([0, 3, 7, 9, 11]);
    const scanner = new HixieScanner({ header() {} });
    for (let i = 0; i <= bytes.length; i++) {
      expect([i, scanner.atBoundary]).toEqual([i, between.has(i)]);
      if (i < bytes.length) scanner.push(bytes.subarray(i, i + 1));
    }
  });
});

describe('a length of too many digits makes it blind', () => {
  const reason = 'Hixie frame length has more than 4 digits';

  it.each(['80 8080808000', `80 ${'ff'.repeat(2000)} 00 61 ff`, 'ff 8080808000'])('%s', (bytes) => {
    for (const chunks of [[hex(bytes)], singleBytes(hex(bytes))]) {
      expect(scan(chunks)).toEqual({ frames: [], atBoundary: false, blind: reason });
    }
  });

  it('and it stays so', () => {
    const { frames, atBoundary } = scan([hex('00 61 ff 80 ffffffffff'), hex('00 61 ff')]);
    expect(frames).toEqual([text('61')]);
    expect(atBoundary).toBe(false);
  });
});

it('stops when the sink has seen enough', () => {
  for (const bytes of ['ff 00 00 61 ff', '00 61 ff', '80 01 61']) {
    const heard: string[] = [];
    const scanner = new HixieScanner({
      header: () => {
        heard.push('header');
        return 'enough';
      },
      payload: () => void heard.push('payload'),
      end: () => void heard.push('end'),
    });
    scanner.push(hex(bytes));
    scanner.push(hex(bytes));
    expect(heard).toEqual(['header']);
    expect(scanner).toMatchObject({ blind: 'enough', atBoundary: false });
  }
});

describe('properties', () => {
  const someBytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
  const typical = fc
    .constantFrom('00', '6161', 'ff', 'ff00', '80', '05', '8105', '00ff', '7f', 'ffff')
    .map(hex);
  const stream = fc
    .array(fc.oneof({ arbitrary: typical, weight: 6 }, { arbitrary: someBytes(6), weight: 1 }), {
      maxLength: 40,
    })
    .map((parts) => Buffer.concat(parts));

  it('any chunking is the same as none', () => {
    fc.assert(
      fc.property(fc.oneof(stream, someBytes(400)), cuts(400), (bytes, offsets) => {
        expect(scan(cutAt(bytes, offsets))).toEqual(scan([bytes]));
      }),
      { numRuns: 1000 },
    );
  });

  it('finds every frame of a well-formed stream', () => {
    const texts = fc.string({ unit: 'binary', maxLength: 20 }).map((s) => {
      const payload = Buffer.from(s);
      return { bytes: Buffer.concat([hex('00'), payload, hex('ff')]), seen: text(payload.toString('hex')) };
    });
    const counted = fc.tuple(fc.integer({ min: 0x80, max: 0xfe }), someBytes(200)).map(([type, payload]) => {
      const digits =
        payload.length < 128 ? [payload.length] : [0x80 | (payload.length >> 7), payload.length & 0x7f];
      const bytes = Buffer.concat([Buffer.from([type, ...digits]), payload]);
      return { bytes, seen: frame(2, payload.length, payload.toString('hex')) };
    });
    fc.assert(
      fc.property(fc.array(fc.oneof(texts, counted), { maxLength: 20 }), cuts(500), (parts, offsets) => {
        const { frames, atBoundary } = scan(cutAt(Buffer.concat(parts.map(({ bytes }) => bytes)), offsets));
        expect(frames).toEqual(parts.map(({ seen }) => seen));
        expect(atBoundary).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
