import { constants, inflateRawSync } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutAt, cuts, feed, hex, singleBytes } from '../../../test/fixtures/chunking.js';
import { FrameLog, type SeenFrame } from '../../../test/fixtures/frame-log.js';
import { badHeaders } from '../../../test/fixtures/rfc6455.js';
import { sendings, sendWithWs } from '../../../test/fixtures/ws-sender.js';
import { Rfc6455Scanner } from './rfc6455-scanner.js';

function scan(chunks: readonly Buffer[]) {
  const log = new FrameLog();
  const scanner = new Rfc6455Scanner(log);
  feed(chunks, (chunk) => scanner.push(chunk));
  return { frames: log.frames, atBoundary: scanner.atBoundary, blind: scanner.blind };
}

const frame = (part: Partial<SeenFrame>): SeenFrame => ({
  fin: true,
  rsv: 0,
  opcode: 1,
  masked: false,
  maskKey: 0,
  payloadLength: (part.payload?.length ?? 0) / 2,
  payload: '',
  ended: true,
  ...part,
});

const hello = '48656c6c6f';
const mask = { masked: true, maskKey: 0x37fa213d };

describe('frames of RFC 6455 §5.7 and their like', () => {
  it.each<[string, string, SeenFrame[]]>([
    ['text', '81 05 48656c6c6f', [frame({ payload: hello })]],
    ['masked text', '81 85 37fa213d 7f9f4d5158', [frame({ payload: hello, ...mask })]],
    [
      'fragments',
      '01 03 48656c 80 02 6c6f',
      [frame({ fin: false, payload: '48656c' }), frame({ opcode: 0, payload: '6c6f' })],
    ],
    ['ping', '89 05 48656c6c6f', [frame({ opcode: 9, payload: hello })]],
    ['masked pong', '8a 85 37fa213d 7f9f4d5158', [frame({ opcode: 10, payload: hello, ...mask })]],
    ['close 1001', '88 02 03e9', [frame({ opcode: 8, payload: '03e9' })]],
    ['masked close 1001', '88 82 37fa213d 3413', [frame({ opcode: 8, payload: '03e9', ...mask })]],
    ['empty close', '88 00', [frame({ opcode: 8 })]],
    ['empty text', '81 00', [frame({})]],
    ['masked empty text', '81 80 37fa213d', [frame(mask)]],
    [
      'permessage-deflate, twice',
      'c1 07 f248cdc9c90700 c1 05 f200110000',
      [frame({ rsv: 4, payload: 'f248cdc9c90700' }), frame({ rsv: 4, payload: 'f200110000' })],
    ],
    ['every RSV bit', 'f2 01 00', [frame({ rsv: 7, opcode: 2, payload: '00' })]],
    ['a length longer than it need be', '82 7e 0001 00', [frame({ opcode: 2, payload: '00' })]],
    [
      'a ping between fragments',
      '01 01 61 89 00 00 01 62 80 00',
      [
        frame({ fin: false, payload: '61' }),
        frame({ opcode: 9 }),
        frame({ fin: false, opcode: 0, payload: '62' }),
        frame({ opcode: 0 }),
      ],
    ],
  ])('%s', (_, bytes, frames) => {
    const whole = hex(bytes);
    const expected = { frames, atBoundary: true, blind: undefined };
    expect(scan([whole])).toEqual(expected);
    expect(scan(singleBytes(whole))).toEqual(expected);
    for (let i = 0; i <= whole.length; i++) expect(scan(cutAt(whole, [i]))).toEqual(expected);
  });

  it.each([
    ['82 7e 0100', 256],
    ['82 7e ffff', 65_535],
    ['82 7f 0000000000010000', 65_536],
    ['82 7f 0000000100000000', 2 ** 32],
    ['82 7f 00000001ffffffff', 2 ** 33 - 1],
    ['82 7f 001fffffffffffff', 2 ** 53 - 1],
    ['82 ff 001fffffffffffff 00000000', 2 ** 53 - 1],
  ])('%s announces %d bytes', (bytes, payloadLength) => {
    for (const chunks of [[hex(bytes)], singleBytes(hex(bytes))]) {
      const { frames, blind, atBoundary } = scan(chunks);
      expect(frames).toMatchObject([{ payloadLength, ended: false }]);
      expect({ blind, atBoundary }).toEqual({ blind: undefined, atBoundary: false });
    }
  });

  it('counts a long payload down to its last byte', () => {
    const { frames } = scan([hex('82 7e 0100'), Buffer.alloc(255), hex('07 89 00')]);
    expect(frames).toEqual([frame({ opcode: 2, payload: `${'00'.repeat(255)}07` }), frame({ opcode: 9 })]);
  });
});

describe('atBoundary', () => {
  it('is true exactly between frames', () => {
    const bytes = hex('81 02 6161 89 00 01 81 00000000 61 80 00 82 7e 0000');
    const between = new Set([0, 4, 6, 13, 15, 19]);
    const scanner = new Rfc6455Scanner({ header() {} });
    for (let i = 0; i <= bytes.length; i++) {
      expect([i, scanner.atBoundary]).toEqual([i, between.has(i)]);
      if (i < bytes.length) scanner.push(bytes.subarray(i, i + 1));
    }
  });
});

describe('what cannot be RFC 6455 makes it blind', () => {
  it.each(badHeaders)('%s', (bytes, blind) => {
    for (const chunks of [[hex(bytes)], singleBytes(hex(bytes))]) {
      expect(scan(chunks)).toEqual({ frames: [], atBoundary: false, blind });
    }
  });

  it.each([
    ['01 00 81 00', 'new data frame inside a fragmented message (RFC 6455 §5.4)'],
    ['01 00 02 00', 'new data frame inside a fragmented message (RFC 6455 §5.4)'],
    ['81 00 80 00', 'continuation frame without a message to continue (RFC 6455 §5.4)'],
    ['02 00 80 00 00 00', 'continuation frame without a message to continue (RFC 6455 §5.4)'],
  ])('%s', (bytes, blind) => {
    expect(scan([hex(bytes)]).blind).toBe(blind);
  });

  it('and stays so: whatever follows is not looked at', () => {
    const { frames, blind } = scan([hex('81 00 83 00 81 00'), hex('81 00')]);
    expect(frames).toHaveLength(1);
    expect(blind).toContain('reserved opcode 3');
  });

  it('as does a sink that has seen enough', () => {
    const seen: number[] = [];
    const scanner = new Rfc6455Scanner({
      header: ({ opcode }) => {
        seen.push(opcode);
        return opcode === 2 ? 'no binary here' : undefined;
      },
      payload: () => seen.push(-1),
      end: () => seen.push(-2),
    });
    scanner.push(hex('81 01 61 82 01 62 81 01 63'));
    scanner.push(hex('81 01 63'));
    expect(seen).toEqual([1, -1, -2, 2]);
    expect(scanner.blind).toBe('no binary here');
    expect(scanner.atBoundary).toBe(false);
  });
});

describe('memory', () => {
  it('hears of every header in one and the same object', () => {
    const headers = new Set<object>();
    const scanner = new Rfc6455Scanner({ header: (header) => void headers.add(header) });
    scanner.push(hex('81 01 61 89 00 82 00'));
    scanner.push(hex('82 00'));
    expect(headers.size).toBe(1);
  });

  it('takes a million empty continuations, whole and cut', () => {
    let ends = 0;
    const scanner = new Rfc6455Scanner({ header() {}, end: () => void ends++ });
    scanner.push(hex('01 00'));
    const block = hex('00 80 00000000'.repeat(1000));
    for (let i = 0; i < 500; i++) scanner.push(block);
    for (let i = 0; i < 500; i++) for (const half of cutAt(block, [i * 7])) scanner.push(half);
    expect(ends).toBe(1_000_001);
    expect(scanner.atBoundary).toBe(true);
    scanner.push(hex('80 00'));
    expect(scanner.blind).toBeUndefined();
  });
});

describe('properties', () => {
  const bytes = fc.uint8Array({ maxLength: 400 }).map((array) => Buffer.from(array));
  /** Mostly frames, now and then something else. */
  const almostFrames = fc
    .array(
      fc.oneof(
        { arbitrary: framePart(), weight: 9 },
        { arbitrary: fc.uint8Array({ maxLength: 4 }).map((array) => Buffer.from(array)), weight: 1 },
      ),
      { maxLength: 20 },
    )
    .map((parts) => Buffer.concat(parts));

  it('any chunking is the same as none', () => {
    fc.assert(
      fc.property(fc.oneof(almostFrames, bytes), cuts(400), (stream, offsets) => {
        expect(scan(cutAt(stream, offsets))).toEqual(scan([stream]));
      }),
      { numRuns: 1000 },
    );
  });

  it('agrees with what ws sends: fragmented, masked, compressed', async () => {
    await fc.assert(
      fc.asyncProperty(sendings(), fc.boolean(), cuts(2000), async (list, masked, offsets) => {
        const sent = await sendWithWs(list, masked);
        const { frames, atBoundary, blind } = scan(cutAt(sent.bytes, offsets));
        expect({ atBoundary, blind }).toEqual({ atBoundary: true, blind: undefined });
        expect(frames).toHaveLength(sent.frames.length);
        for (const [i, { payload, ...rest }] of sent.frames.entries()) {
          expect(frames[i]).toMatchObject({ ...rest, masked, ended: true });
          if (payload !== undefined) expect(frames[i]!.payload).toBe(payload);
        }
        const compressed = list.filter(({ kind, compress }) => kind === 'message' && compress);
        expect(inflated(frames)).toEqual(compressed.map(({ parts }) => Buffer.concat(parts)));
      }),
      { numRuns: 100 },
    );
  });
});

/** The compressed messages among the frames, as they were before (RFC 7692 §7.2.2). */
function inflated(frames: readonly SeenFrame[]): Buffer[] {
  const found: Buffer[] = [];
  let open: string | undefined;
  for (const { opcode, fin, rsv, payload } of frames) {
    if (opcode >= 8) continue;
    if (opcode > 0) open = rsv === 4 ? '' : undefined;
    if (open === undefined) continue;
    open += payload;
    const bytes = () => Buffer.from(`${open}0000ffff`, 'hex');
    if (fin) found.push(inflateRawSync(bytes(), { finishFlush: constants.Z_SYNC_FLUSH }));
  }
  return found;
}

/** One frame, most often right in itself, with its length written in the short, the 16-bit or the 64-bit way. */
function framePart(): fc.Arbitrary<Buffer> {
  return fc
    .record({
      first: fc.constantFrom(0x81, 0x82, 0x01, 0x00, 0x80, 0x89, 0x8a, 0x88, 0xc1, 0x41),
      masked: fc.boolean(),
      length: fc.oneof(fc.nat({ max: 20 }), fc.nat({ max: 125 }), fc.constantFrom(125, 126, 127, 200)),
      longer: fc.constantFrom(0, 0, 0, 126, 127),
    })
    .map(({ first, masked, length, longer }) => {
      const code = length < 126 ? longer || length : Math.max(126, longer);
      const extended = Buffer.alloc(code < 126 ? 0 : code === 126 ? 2 : 8);
      if (extended.length > 0) extended.writeUInt16BE(length, extended.length - 2);
      const head = Buffer.from([first, (masked ? 0x80 : 0) | code]);
      return Buffer.concat([head, extended, Buffer.alloc((masked ? 4 : 0) + length, 0x5a)]);
    });
}
