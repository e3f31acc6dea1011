import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nativeTraffic } from '../../test/fixtures/native-traffic.js';
import { almostFrames, scannerSuite } from '../../test/suites/scanner-suite.js';
import { makeTraffic } from '../protocol/frames/traffic.js';
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
          const { messages, closeCode, atBoundary, blind } = inTypeScript;
          expect([i, inC.messages, inC.closeCode, inC.atBoundary, inC.blind]).toEqual([
            i,
            messages,
            closeCode,
            atBoundary,
            blind,
          ]);
        }
      }),
      { numRuns: 500 },
    );
  });
});
