import * as fc from 'fast-check';
import { vi } from 'vitest';

/**
 * How long each target is fuzzed: `TIDEGATE_FUZZ_SECONDS`, 1 by default so that it can run with every test.
 *
 *     TIDEGATE_FUZZ_SECONDS=300 npm test -- test/fuzz
 *
 * A failure is shrunk and prints its seed; `TIDEGATE_FUZZ_SEED` starts from that seed again.
 */
const seconds = readNumber('TIDEGATE_FUZZ_SECONDS') ?? 1;
const seed = readNumber('TIDEGATE_FUZZ_SEED') ?? Math.floor(Math.random() * 2 ** 31);

vi.setConfig({ testTimeout: seconds * 1000 + 60_000 });

/** Tries `check` on as many inputs as the time allows. `check` fails by throwing. For use inside a test. */
export function fuzz<T>(input: fc.Arbitrary<T>, check: (input: T) => void): void {
  fc.assert(fc.property(input, check), {
    seed,
    numRuns: Number.MAX_SAFE_INTEGER,
    plugins: [fc.interruptAfterTimeLimit(seconds * 1000)],
  });
}

/** Streams made of some of the given pieces in any order. */
export function some(pieces: readonly Buffer[], maxPieces = 5): fc.Arbitrary<Buffer> {
  return fc
    .array(fc.constantFrom(...pieces), { minLength: 1, maxLength: maxPieces })
    .map((parts) => Buffer.concat(parts));
}

/** The stream hurt in a place or two, or not at all. */
export function damaged(stream: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> {
  return fc
    .tuple(stream, fc.array(damage, { maxLength: 3 }))
    .map(([whole, damages]) => damages.reduce(apply, whole));
}

interface Damage {
  kind: 'overwrite' | 'insert' | 'remove' | 'repeat' | 'truncate';
  at: number;
  length: number;
  bytes: Uint8Array;
}

/** The bytes at which readers turn: line ends, separators, and the edges of lengths. */
const TURNING = [
  0x00, 0x09, 0x0a, 0x0d, 0x20, 0x22, 0x2c, 0x3a, 0x3b, 0x7d, 0x7e, 0x7f, 0x80, 0x81, 0x88, 0xa0, 0xfe, 0xff,
];
const someByte = fc.oneof(fc.constantFrom(...TURNING), fc.nat({ max: 255 }));

const damage: fc.Arbitrary<Damage> = fc.record({
  kind: fc.constantFrom('overwrite', 'overwrite', 'insert', 'insert', 'remove', 'repeat', 'truncate'),
  at: fc.nat({ max: 2000 }),
  length: fc.nat({ max: 12 }),
  bytes: fc.array(someByte, { minLength: 1, maxLength: 4 }).map((bytes) => Uint8Array.from(bytes)),
});

function apply(stream: Buffer, { kind, at, length, bytes }: Damage): Buffer {
  const start = at % (stream.length + 1);
  const [before, after] = [stream.subarray(0, start), stream.subarray(start)];
  switch (kind) {
    case 'overwrite':
      return Buffer.concat([before, bytes, after.subarray(bytes.length)]);
    case 'insert':
      return Buffer.concat([before, bytes, after]);
    case 'remove':
      return Buffer.concat([before, after.subarray(length)]);
    case 'repeat':
      return Buffer.concat([before, after.subarray(0, length), after]);
    case 'truncate':
      // Seldom much, or nothing would be left to read.
      return Buffer.from(stream.subarray(0, Math.max(start, stream.length - length)));
  }
}

function readNumber(name: string): number | undefined {
  const text = process.env[name];
  if (text === undefined || text === '') return undefined;
  const number = Number(text);
  if (!Number.isFinite(number)) throw new Error(`${name} is not a number: ${text}`);
  return number;
}
