/** What every observer of frames must find, whatever it is made of: the one in TypeScript, the one in C. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Direction, MakeTraffic, Traffic } from '../../src/protocol/frames/types.js';
import type { Framing } from '../../src/protocol/handshake/types.js';
import { cutAt, cuts, feed, hex, singleBytes } from '../fixtures/chunking.js';
import { badHeaders } from '../fixtures/rfc6455.js';
import { sendings, sendWithWs } from '../fixtures/ws-sender.js';

type Facts = Pick<Traffic, 'messages' | 'closeCode' | 'closeReason' | 'atBoundary' | 'blind'>;

export function scannerSuite(makeTraffic: MakeTraffic): void {
  const watch = (framing: Framing, direction: Direction, chunks: readonly Buffer[]): Facts => {
    const traffic = makeTraffic(framing, direction)!;
    feed(chunks, (chunk) => traffic.push(chunk));
    return factsOf(traffic);
  };

  /** The same however the bytes are cut. */
  const expectFacts = (
    framing: Framing,
    direction: Direction,
    bytes: string,
    facts: Partial<Facts>,
  ): void => {
    const whole = hex(bytes);
    const expected = { ...nothing, atBoundary: true, ...facts };
    for (let i = 0; i <= whole.length; i++)
      expect(watch(framing, direction, cutAt(whole, [i]))).toEqual(expected);
    expect(watch(framing, direction, singleBytes(whole))).toEqual(expected);
  };

  describe('RFC 6455 from the upstream', () => {
    it.each<[string, string, Partial<Facts>]>([
      ['nothing', '', {}],
      ['two messages', '81 05 48656c6c6f 82 00', { messages: 2 }],
      ['a fragmented message, once', '01 03 48656c 00 00 80 02 6c6f', { messages: 1 }],
      ['a ping between fragments, not at all', '01 01 61 89 01 62 8a 00 80 00', { messages: 1 }],
      ['a message without its last fragment, not yet', '01 01 61 00 01 62', {}],
      ['a message without its last byte, not yet', '81 00 81 02 61', { messages: 1, atBoundary: false }],
      ['a compressed message', 'c1 07 f248cdc9c90700', { messages: 1 }],
      ['a Close with a code', '88 02 03e9', { closeCode: 1001 }],
      [
        'a Close with code and reason',
        '88 11 03f4 736572766963652072657374617274',
        { closeCode: 1012, closeReason: 'service restart' },
      ],
      ['a reason that is not UTF-8', '88 05 0fa0 62ff21', { closeCode: 4000, closeReason: 'b\u{fffd}!' }],
      ['half a reason, not yet', '88 05 0fa0 6279', { closeCode: 4000, atBoundary: false }],
      [
        'the longest reason',
        `88 7d 0fa0 ${'61'.repeat(123)}`,
        { closeCode: 4000, closeReason: 'a'.repeat(123) },
      ],
      [
        'the reason of the first of two',
        '88 03 0fa0 61 88 03 0fa1 62',
        { closeCode: 4000, closeReason: 'a' },
      ],
      ['no reason from a later one', '88 02 0fa0 88 03 0fa1 62', { closeCode: 4000 }],
      ['a Close without a code', '88 00', { closeCode: 1005 }],
      ['a private code', '88 02 1387', { closeCode: 4999 }],
      ['a code that is not allowed, as it was sent', '88 02 0000', { closeCode: 0 }],
      ['the first of two Closes', '88 02 03e9 88 02 03e8', { closeCode: 1001 }],
      ['the first of two, when that has no code', '88 00 88 02 03e8', { closeCode: 1005 }],
      ['half a code, not yet', '88 02 03', { atBoundary: false }],
      ['a Close in the middle of a message', '01 01 61 88 02 03e8', { closeCode: 1000 }],
      ['a payload that looks like a Close', '82 04 880203e9', { messages: 1 }],
    ])('counts %s', (_, bytes, facts) => {
      expectFacts('rfc6455', 'from-upstream', bytes, facts);
    });

    it('goes blind on a masked frame (§5.1)', () => {
      const blind = 'frame from the upstream is masked (RFC 6455 §5.1)';
      const bytes = '81 01 61 81 81 00000000 61 81 01 61 88 00';
      expectFacts('rfc6455', 'from-upstream', bytes, { messages: 1, atBoundary: false, blind });
    });

    it('goes blind where its scanner does', () => {
      expectFacts('rfc6455', 'from-upstream', '81 00 83 00 88 00', {
        messages: 1,
        atBoundary: false,
        blind: 'reserved opcode 3 (RFC 6455 §5.2)',
      });
    });
  });

  describe('RFC 6455 from the client', () => {
    it.each<[string, string, Partial<Facts>]>([
      ['a message', '81 85 37fa213d 7f9f4d5158', { messages: 1 }],
      ['an empty message', '81 80 37fa213d', { messages: 1 }],
      ['a pong, not at all', '8a 85 37fa213d 7f9f4d5158', {}],
      ['a Close, unmasked', '88 82 37fa213d 3413', { closeCode: 1001 }],
      ['a Close with a reason', '88 87 ff00fe01 fce8 9a6e 9165df', { closeCode: 1000, closeReason: 'done!' }],
      ['a Close without a code', '88 80 37fa213d', { closeCode: 1005 }],
      ['a Close behind a message', '82 81 01020304 00 88 82 00000000 0fa0', { messages: 1, closeCode: 4000 }],
    ])('counts %s', (_, bytes, facts) => {
      expectFacts('rfc6455', 'from-client', bytes, facts);
    });

    it('goes blind on a frame without a mask (§5.1)', () => {
      const blind = 'frame from the client is not masked (RFC 6455 §5.1)';
      expectFacts('rfc6455', 'from-client', '81 05 48656c6c6f', { atBoundary: false, blind });
      expectFacts('rfc6455', 'from-client', '88 02 03e8', { atBoundary: false, blind });
    });
  });

  describe('Hixie', () => {
    it.each<[string, string, Partial<Facts>]>([
      ['texts', '00 61 ff 00 ff', { messages: 2 }],
      ['half a text, not yet', '00 61 ff 00 61', { messages: 1, atBoundary: false }],
      ['what endpoints discard, not at all', '01 61 ff 80 01 61', {}],
      ['the close', '00 61 ff ff 00', { messages: 1, closeCode: 1005 }],
      ['half a close, not yet', 'ff', { atBoundary: false }],
      [
        'a length of too many digits',
        '00 ff 80 ffffffffff',
        {
          messages: 1,
          atBoundary: false,
          blind: 'Hixie frame length has more than 4 digits',
        },
      ],
    ])('counts %s', (_, bytes, facts) => {
      expectFacts('hixie', 'from-client', bytes, facts);
      expectFacts('hixie', 'from-upstream', bytes, facts);
    });
  });

  describe('limits', () => {
    it.each<[string, Framing, string, number, number, number | undefined]>([
      ['a message of the limit', 'rfc6455', '81 82 00000000 6161', 2, 0, undefined],
      ['one of more', 'rfc6455', '81 82 00000000 6161 81 83 00000000', 2, 0, 8],
      ['its last fragment', 'rfc6455', '01 82 00000000 6161 80 81 00000000 61', 2, 0, 8],
      [
        'a control frame of more',
        'rfc6455',
        '89 83 00000000 616161 88 84 00000000 03e86161',
        2,
        0,
        undefined,
      ],
      ['what comes behind a Close', 'rfc6455', '88 80 00000000 81 83 00000000', 2, 0, undefined],
      ['a third message, empty', 'rfc6455', '81 80 00000000 81 80 00000000 82 80 00000000', 0, 2, 12],
      ['fragments of a second', 'rfc6455', '01 80 00000000 00 80 00000000 80 80 00000000', 0, 1, undefined],
      ['a long length', 'rfc6455', '82 ff 001fffffffffffff 00000000', 2, 0, 0],
      ['a text that is too long, where it is', 'hixie', '00 6161 ff 00 616161 ff', 2, 0, 7],
      ['a frame with a length', 'hixie', '80 03 616161', 2, 0, 0],
      ['the close', 'hixie', '00 6161 ff ff 00 00 616161 ff', 2, 0, undefined],
      ['a second text', 'hixie', '00 ff 80 01 61 01 61 ff 00 ff', 0, 1, 8],
    ])('%s', (_, framing, text, maxMessageBytes, maxMessagesPerSecond, stop) => {
      const bytes = hex(text);
      const limits = { maxMessageBytes, maxMessagesPerSecond, now: () => 0 };
      for (let i = 0; i <= bytes.length; i++) {
        const traffic = makeTraffic(framing, 'from-client', limits)!;
        let found: number | undefined;
        let done = 0;
        for (const chunk of cutAt(bytes, [i])) {
          for (let at = 0; at < chunk.length;) {
            const walked = traffic.push(chunk.subarray(at));
            at += walked;
            done += walked;
            if (traffic.breach !== undefined) found ??= done - traffic.breachHeaderBytes;
          }
        }
        expect([i, found]).toEqual([i, stop]);
      }
    });

    it('as many messages as time brings', () => {
      let now = 1000;
      const limits = { maxMessageBytes: 0, maxMessagesPerSecond: 2, now: () => now };
      const traffic = makeTraffic('rfc6455', 'from-upstream', limits)!;
      const breaches: (string | undefined)[] = [];
      for (const ms of [0, 0, 500, 499, 1]) {
        now += ms;
        if (ms === 499) continue;
        traffic.push(hex('8100'));
        breaches.push(traffic.breach);
      }
      expect(breaches).toEqual([undefined, undefined, undefined, undefined]);
      traffic.push(hex('8100'));
      expect(traffic.breach).toBe('message-rate');
      expect(traffic.messages).toBe(5);
    });
  });

  it('does not watch opaque frames', () => {
    expect(makeTraffic('opaque', 'from-client')).toBeUndefined();
    expect(makeTraffic('opaque', 'from-upstream')).toBeUndefined();
  });

  describe('what cannot be RFC 6455 makes it blind', () => {
    it.each<readonly [string, string]>([
      ...badHeaders,
      ['01 00 81 00', 'new data frame inside a fragmented message (RFC 6455 §5.4)'],
      ['01 00 02 00', 'new data frame inside a fragmented message (RFC 6455 §5.4)'],
    ])('%s', (bytes, blind) => {
      expectFacts('rfc6455', 'from-upstream', bytes, { atBoundary: false, blind });
    });

    it('and it stays so', () => {
      const facts = watch('rfc6455', 'from-upstream', [hex('81 00 83 00 81 00'), hex('81 00 88 00')]);
      expect(facts).toMatchObject({ messages: 1, closeCode: undefined, atBoundary: false });
    });
  });

  describe('lengths', () => {
    it.each([
      ['82 7e 0100', 256],
      ['82 7e ffff', 65_535],
      ['82 7f 0000000000000001', 1],
      ['82 7f 0000000000010000', 65_536],
      ['82 7e 0000', 0],
    ])('%s: a message ends after exactly %d bytes', (head, length) => {
      const traffic = makeTraffic('rfc6455', 'from-upstream')!;
      traffic.push(hex(head));
      if (length > 0) {
        traffic.push(Buffer.alloc(length - 1));
        expect(factsOf(traffic)).toMatchObject({ messages: 0, atBoundary: false });
        traffic.push(Buffer.alloc(1));
      }
      expect(factsOf(traffic)).toMatchObject({ messages: 1, atBoundary: true });
    });

    it.each(['82 7f 0000000100000000', '82 7f 001fffffffffffff'])(
      '%s: more than anyone waits for',
      (head) => {
        const traffic = makeTraffic('rfc6455', 'from-upstream')!;
        traffic.push(hex(head));
        for (let i = 0; i < 64; i++) traffic.push(Buffer.alloc(65_536, 0x88));
        expect(factsOf(traffic)).toEqual({ ...nothing, atBoundary: false });
      },
    );

    it('a Hixie length of four digits, the longest', () => {
      expectFacts('hixie', 'from-client', '80 ffffff7f', { atBoundary: false });
    });
  });

  describe('boundaries', () => {
    it.each<[Framing, Direction, string, number[]]>([
      ['rfc6455', 'from-upstream', '81 02 6161 89 00 01 01 61 80 00 82 7e 0000', [0, 4, 6, 9, 11, 15]],
      ['rfc6455', 'from-client', '81 80 01020304 82 fe 0001 00000000 61', [0, 6, 15]],
      ['hixie', 'from-client', '00 61 ff 80 8001 61 00 ff ff 00', [0, 3, 7, 9, 11]],
    ])('%s %s %s: exactly between frames', (framing, direction, text, between) => {
      const bytes = hex(text);
      const traffic = makeTraffic(framing, direction)!;
      for (let i = 0; i <= bytes.length; i++) {
        expect([i, traffic.atBoundary]).toEqual([i, between.includes(i)]);
        if (i < bytes.length) traffic.push(bytes.subarray(i, i + 1));
      }
    });

    it('stops behind the first frame that ends, when it is asked to', () => {
      const traffic = makeTraffic('rfc6455', 'from-upstream')!;
      const stops = (bytes: Buffer) => {
        const found: number[] = [];
        for (let at = 0; at < bytes.length;) {
          at += traffic.pushToBoundary(bytes.subarray(at));
          found.push(at);
        }
        return found;
      };
      expect(stops(hex('81 02 6161 89 00 01 01 61 80'))).toEqual([4, 6, 9, 10]);
      expect(traffic.atBoundary).toBe(false);
      expect(stops(hex('00 88 02 03'))).toEqual([1, 4]);
      expect(stops(hex('e8 83 00 81 00'))).toEqual([1, 5]);
      expect(factsOf(traffic)).toMatchObject({ messages: 2, closeCode: 1000, atBoundary: false });
    });

    it('a million empty continuations, whole and cut', () => {
      const traffic = makeTraffic('rfc6455', 'from-upstream')!;
      traffic.push(hex('01 00'));
      const block = hex('00 00'.repeat(1000));
      for (let i = 0; i < 500; i++) traffic.push(block);
      for (let i = 0; i < 500; i++) for (const part of cutAt(block, [i * 3])) traffic.push(part);
      expect(factsOf(traffic)).toMatchObject({ messages: 0, atBoundary: true });
      traffic.push(hex('80 00'));
      expect(factsOf(traffic)).toMatchObject({ messages: 1, atBoundary: true });
    });
  });

  describe('properties', () => {
    it('counts the messages that ws sends', async () => {
      await fc.assert(
        fc.asyncProperty(sendings(), fc.boolean(), cuts(2000), async (list, client, offsets) => {
          const { bytes } = await sendWithWs(list, client);
          expect(watch('rfc6455', client ? 'from-client' : 'from-upstream', cutAt(bytes, offsets))).toEqual({
            messages: list.filter(({ kind }) => kind === 'message').length,
            closeCode: undefined,
            atBoundary: true,
            blind: undefined,
          });
        }),
        { numRuns: 60 },
      );
    });

    it('stops at every boundary and nowhere else, and sees the same', () => {
      const stream = fc
        .constantFrom('rfc6455' as const, 'hixie' as const)
        .chain((framing) => fc.tuple(fc.constant(framing), almostFrames(framing)));
      fc.assert(
        fc.property(stream, cuts(600), ([framing, bytes], offsets) => {
          const stopping = makeTraffic(framing, 'from-client')!;
          const bytewise = makeTraffic(framing, 'from-client')!;
          feed(cutAt(bytes, offsets), (chunk) => {
            for (let at = 0; at < chunk.length;) {
              const walked = stopping.pushToBoundary(chunk.subarray(at));
              for (let i = at; i < at + walked; i++) {
                if (i > at) expect(bytewise.atBoundary).toBe(false);
                bytewise.push(chunk.subarray(i, i + 1));
              }
              at += walked;
              expect(factsOf(stopping)).toEqual(factsOf(bytewise));
              if (at < chunk.length) expect(stopping.atBoundary).toBe(true);
            }
          });
        }),
        { numRuns: 300 },
      );
    });

    it('stops once, at the same byte, however the bytes are cut, when a limit is broken', () => {
      const stream = fc
        .constantFrom('rfc6455' as const, 'hixie' as const)
        .chain((framing) => fc.tuple(fc.constant(framing), almostFrames(framing)));
      const limits = fc.constantFrom([20, 0], [0, 3], [120, 2], [1, 0]);
      fc.assert(
        fc.property(stream, limits, cuts(600), ([framing, bytes], [maxMessageBytes, rate], offsets) => {
          const limits = { maxMessageBytes, maxMessagesPerSecond: rate, now: () => 7 };
          const walk = (chunks: readonly Buffer[]) => {
            const traffic = makeTraffic(framing, 'from-client', limits)!;
            const bare = makeTraffic(framing, 'from-client')!;
            let stop: number | undefined;
            let done = 0;
            feed(chunks, (chunk) => {
              for (let at = 0; at < chunk.length;) {
                const walked = traffic.push(chunk.subarray(at));
                const isStopped = traffic.breach !== undefined && stop === undefined;
                if (isStopped) stop = done + walked - traffic.breachHeaderBytes;
                else expect(walked).toBe(chunk.length - at);
                at += walked;
                done += walked;
              }
              bare.push(chunk);
            });
            // Nothing else is seen otherwise.
            expect(factsOf(traffic)).toEqual(factsOf(bare));
            return { stop, breach: traffic.breach, closed: traffic.closed, open: traffic.openHeaderBytes };
          };
          expect(walk(cutAt(bytes, offsets))).toEqual(walk([bytes]));
        }),
        { numRuns: 500 },
      );
    });

    it('makes the same of any bytes, however they are cut, and never throws', () => {
      const direction = fc.constantFrom('from-client' as const, 'from-upstream' as const);
      const framing = fc.constantFrom('rfc6455' as const, 'hixie' as const);
      const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
      fc.assert(
        fc.property(framing, direction, bytes, cuts(300), (framing, direction, bytes, offsets) => {
          expect(watch(framing, direction, cutAt(bytes, offsets))).toEqual(
            watch(framing, direction, [bytes]),
          );
        }),
        { numRuns: 1000 },
      );
    });
  });
}

const nothing = { messages: 0, closeCode: undefined, closeReason: undefined, blind: undefined };

function factsOf({ messages, closeCode, closeReason, atBoundary, blind }: Traffic): Facts {
  return { messages, closeCode, closeReason, atBoundary, blind };
}

/** Bytes that look like frames of one framing and direction, now and then not. */
export function almostFrames(framing: Framing): fc.Arbitrary<Buffer> {
  const noise = fc.uint8Array({ maxLength: 6 }).map((array) => Buffer.from(array));
  const frame =
    framing === 'hixie'
      ? fc.constantFrom('00', '6161', 'ff', 'ff00', '80', '05', '8105', '00ff', '7f', 'ffff').map(hex)
      : rfc6455Frame();
  return fc
    .array(fc.oneof({ arbitrary: frame, weight: 12 }, { arbitrary: noise, weight: 1 }), { maxLength: 30 })
    .map((parts) => Buffer.concat(parts));
}

/** One frame, most often right in itself, with its length written in the short, the 16-bit or the 64-bit way. */
function rfc6455Frame(): fc.Arbitrary<Buffer> {
  return fc
    .record({
      first: fc.constantFrom(0x81, 0x82, 0x01, 0x00, 0x80, 0x89, 0x8a, 0x88, 0xc1, 0x41),
      masked: fc.oneof({ arbitrary: fc.constant(true), weight: 9 }, fc.constant(false)),
      length: fc.oneof(fc.nat({ max: 20 }), fc.nat({ max: 125 }), fc.constantFrom(125, 126, 127, 200)),
      longer: fc.constantFrom(0, 0, 0, 126, 127),
      fill: fc.nat({ max: 255 }),
    })
    .map(({ first, masked, length, longer, fill }) => {
      const code = length < 126 ? longer || length : Math.max(126, longer);
      const extended = Buffer.alloc(code < 126 ? 0 : code === 126 ? 2 : 8);
      if (extended.length > 0) extended.writeUInt16BE(length, extended.length - 2);
      const head = Buffer.from([first, (masked ? 0x80 : 0) | code]);
      return Buffer.concat([head, extended, Buffer.alloc((masked ? 4 : 0) + length, fill)]);
    });
}
