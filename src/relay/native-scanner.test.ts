import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nativeTraffic } from '../../test/fixtures/native-traffic.js';
import { cutAt, cuts } from '../../test/fixtures/chunking.js';
import { almostFrames, scannerSuite } from '../../test/suites/scanner-suite.js';
import { makeTraffic } from '../protocol/frames/traffic.js';
import type { Traffic } from '../protocol/frames/types.js';
import { loadNative } from './native-binding.js';

/** Another build of the addon, with a sanitizer: see test/native/. */
const { TIDEGATE_TEST_ADDON: addon } = process.env;
const native = loadNative(addon === undefined ? undefined : [addon]);
const missing = 'reason' in native;

describe.skipIf(missing)(`the observer in C${missing ? ` — skipped: ${native.reason}` : ''}`, () => {
  const makeNative = missing ? makeTraffic : nativeTraffic(native.binding);

  scannerSuite(makeNative);

  it('says what its twin says after every single byte', () => {
    const direction = fc.constantFrom('from-client' as const, 'from-upstream' as const);
    const framing = fc.constantFrom('rfc6455' as const, 'hixie' as const);
    const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
    const stream = framing.chain((framing) =>
      fc.tuple(fc.constant(framing), fc.oneof({ arbitrary: almostFrames(framing), weight: 4 }, bytes)),
    );
    fc.assert(
      fc.property(stream, direction, ([framing, bytes], direction) => {
        const inC = makeNative(framing, direction)!;
        const inTypeScript = makeTraffic(framing, direction)!;
        for (let i = 0; i < bytes.length; i++) {
          inC.push(bytes.subarray(i, i + 1));
          inTypeScript.push(bytes.subarray(i, i + 1));
          const { messages, closeCode, closeReason, atBoundary, blind } = inTypeScript;
          expect([i, inC.messages, inC.closeCode, inC.closeReason, inC.atBoundary, inC.blind]).toEqual([
            i,
            messages,
            closeCode,
            closeReason,
            atBoundary,
            blind,
          ]);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('finds limits broken where its twin does', () => {
    const direction = fc.constantFrom('from-client' as const, 'from-upstream' as const);
    const stream = fc
      .constantFrom('rfc6455' as const, 'hixie' as const)
      .chain((framing) => fc.tuple(fc.constant(framing), almostFrames(framing)));
    const limits = fc.record({
      maxMessageBytes: fc.nat({ max: 130 }),
      maxMessagesPerSecond: fc.nat({ max: 5 }),
    });
    fc.assert(
      fc.property(stream, direction, limits, cuts(600), ([framing, bytes], direction, limits, offsets) => {
        let now = 0;
        const [inC, inTypeScript] = [makeNative, makeTraffic].map((make) =>
          make(framing, direction, { ...limits, now: () => now })!,
        ) as [Traffic, Traffic];
        for (const chunk of cutAt(bytes, offsets)) {
          now += 70;
          for (let at = 0; at < chunk.length;) {
            const walked = inC.push(chunk.subarray(at));
            expect(inTypeScript.push(chunk.subarray(at))).toBe(walked);
            at += walked;
            expect(allOf(inC)).toEqual(allOf(inTypeScript));
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});

function allOf(traffic: Traffic): Record<string, unknown> {
  const { messages, closeCode, closeReason, closed, atBoundary, blind, breach, openHeaderBytes } = traffic;
  const breachHeaderBytes = breach === undefined ? 0 : traffic.breachHeaderBytes;
  return {
    messages,
    closeCode,
    closeReason,
    closed,
    atBoundary,
    blind,
    breach,
    openHeaderBytes,
    breachHeaderBytes,
  };
}
