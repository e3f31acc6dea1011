import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hex } from '../../../test/fixtures/chunking.js';
import { FrameLog } from '../../../test/fixtures/frame-log.js';
import { HixieScanner } from './hixie-scanner.js';
import { Rfc6455Scanner } from './rfc6455-scanner.js';
import {
  type FrameParts,
  isSendableCloseCode,
  writeClose,
  writeFrame,
  writeHixieClose,
  writeHixieText,
} from './writer.js';

const mask = hex('37fa213d');

describe('writeFrame (RFC 6455 §5.7)', () => {
  it.each<[FrameParts, string]>([
    [{ opcode: 1, payload: 'Hello' }, '81 05 48656c6c6f'],
    [{ opcode: 1, payload: 'Hello', mask }, '81 85 37fa213d 7f9f4d5158'],
    [{ opcode: 1, payload: 'Hel', fin: false }, '01 03 48656c'],
    [{ opcode: 0, payload: 'lo' }, '80 02 6c6f'],
    [{ opcode: 9, payload: 'Hello' }, '89 05 48656c6c6f'],
    [{ opcode: 10, payload: 'Hello', mask }, '8a 85 37fa213d 7f9f4d5158'],
    [{ opcode: 2 }, '82 00'],
    [{ opcode: 2, mask }, '82 80 37fa213d'],
    [{ opcode: 1, rsv: 4, payload: hex('f248cdc9c90700') }, 'c1 07 f248cdc9c90700'],
    [{ opcode: 1, payload: '€' }, '81 03 e282ac'],
  ])('%j', (parts, bytes) => {
    expect(writeFrame(parts).toString('hex')).toBe(hex(bytes).toString('hex'));
  });

  it.each([
    [125, '82 7d'],
    [126, '82 7e 007e'],
    [256, '82 7e 0100'],
    [65_535, '82 7e ffff'],
    [65_536, '82 7f 0000000000010000'],
  ])('writes a length of %d as short as it goes', (length, head) => {
    const bytes = writeFrame({ opcode: 2, payload: Buffer.alloc(length) });
    const expected = hex(head);
    expect(bytes.subarray(0, expected.length)).toEqual(expected);
    expect(bytes.length).toBe(expected.length + length);
  });

  it('leaves the payload it was given as it is', () => {
    const payload = Buffer.from('Hello');
    writeFrame({ opcode: 1, payload, mask });
    expect(payload.toString()).toBe('Hello');
  });

  it.each<[string, FrameParts]>([
    ['opcode 3', { opcode: 3 }],
    ['opcode -1', { opcode: -1 }],
    ['opcode 1.5', { opcode: 1.5 }],
    ['rsv 8', { opcode: 1, rsv: 8 }],
    ['a mask of 3 bytes', { opcode: 1, mask: Buffer.alloc(3) }],
    ['a fragmented ping', { opcode: 9, fin: false }],
    ['a ping of 126 bytes', { opcode: 9, payload: Buffer.alloc(126) }],
    ['a ping of 126 bytes of UTF-8', { opcode: 9, payload: '€'.repeat(42) }],
  ])('refuses %s', (_, parts) => {
    expect(() => writeFrame(parts)).toThrow(RangeError);
  });
});

describe('writeClose', () => {
  it.each<[Parameters<typeof writeClose>, string]>([
    [[], '88 00'],
    [[undefined, '', mask], '88 80 37fa213d'],
    [[1001], '88 02 03e9'],
    [[1001, '', mask], '88 82 37fa213d 3413'],
    [[1012, 'service restart'], '88 11 03f4 736572766963652072657374617274'],
    [[4999, 'x'], '88 03 1387 78'],
  ])('%j', (args, bytes) => {
    expect(writeClose(...args).toString('hex')).toBe(hex(bytes).toString('hex'));
  });

  it.each([0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_536, -1, 1000.5, Number.NaN])(
    'refuses the code %d',
    (code) => {
      expect(() => writeClose(code)).toThrow(RangeError);
      expect(isSendableCloseCode(code)).toBe(false);
    },
  );

  it.each([1000, 1003, 1007, 1011, 1012, 1014, 3000, 4999])('takes the code %d', (code) => {
    expect(writeClose(code).readUInt16BE(2)).toBe(code);
    expect(isSendableCloseCode(code)).toBe(true);
  });

  it('takes a reason of 123 bytes and none longer, nor one without a code', () => {
    expect(writeClose(1000, 'x'.repeat(123))).toHaveLength(127);
    expect(() => writeClose(1000, 'x'.repeat(124))).toThrow(RangeError);
    expect(() => writeClose(1000, '€'.repeat(42))).toThrow(RangeError);
    expect(() => writeClose(undefined, 'why')).toThrow(RangeError);
  });
});

describe('Hixie', () => {
  it('writes socket.io’s first frame, and the close', () => {
    const frame = '00 7e6d7e31367e6d7e 35383930353938383531323536303733 ff';
    expect(writeHixieText('~m~16~m~5890598851256073')).toEqual(hex(frame));
    expect(writeHixieText('')).toEqual(hex('00ff'));
    expect(writeHixieClose()).toEqual(hex('ff00'));
  });

  it('frames any text so that the scanner finds it again', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (texts) => {
        const log = new FrameLog();
        const scanner = new HixieScanner(log);
        scanner.push(Buffer.concat([...texts.map(writeHixieText), writeHixieClose()]));
        expect(log.frames.map(({ payload }) => Buffer.from(payload, 'hex').toString())).toEqual([
          ...texts,
          '',
        ]);
        expect(log.frames.at(-1)!.opcode).toBe(8);
        expect(scanner.atBoundary).toBe(true);
      }),
    );
  });
});

it('what it writes, the scanner reads', () => {
  const parts = fc.record({
    opcode: fc.constantFrom(1, 2, 9, 10),
    rsv: fc.nat({ max: 7 }),
    payload: fc.uint8Array({ maxLength: 125 }).map((bytes) => Buffer.from(bytes)),
    mask: fc.option(fc.uint8Array({ minLength: 4, maxLength: 4 }), { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(parts), (list) => {
      const log = new FrameLog();
      const scanner = new Rfc6455Scanner(log);
      scanner.push(Buffer.concat(list.map(writeFrame)));
      expect(scanner).toMatchObject({ blind: undefined, atBoundary: true });
      const seen = log.frames.map(({ opcode, rsv, payload, masked }) => ({ opcode, rsv, payload, masked }));
      expect(seen).toEqual(
        list.map(({ opcode, rsv, payload, mask }) => ({
          opcode,
          rsv,
          payload: payload.toString('hex'),
          masked: mask !== undefined,
        })),
      );
    }),
  );
});
