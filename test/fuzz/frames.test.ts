import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { makeTraffic } from '../../src/protocol/frames/traffic.js';
import type { Direction, Traffic } from '../../src/protocol/frames/types.js';
import { writeClose, writeFrame, writeHixieClose, writeHixieText } from '../../src/protocol/frames/writer.js';
import type { Framing } from '../../src/protocol/handshake/types.js';
import { cutAt, cuts, feed, hex } from '../fixtures/chunking.js';
import { receiveWithWs } from '../fixtures/ws-receiver.js';
import { damaged, fuzz, some } from './fuzz.js';

const mask = hex('37fa213d');
/** What clients send, and what upstreams send. */
const sides = ([mask, undefined] as const).map((mask) => ({
  direction: mask === undefined ? ('from-upstream' as const) : ('from-client' as const),
  right: [
    writeFrame({ opcode: 1, payload: 'Hello', mask }),
    writeFrame({ opcode: 2, payload: '', mask }),
    writeFrame({ opcode: 2, payload: Buffer.alloc(126, 7), mask }),
    Buffer.concat([
      writeFrame({ opcode: 1, payload: 'Hel', fin: false, mask }),
      writeFrame({ opcode: 9, payload: '?', mask }),
      writeFrame({ opcode: 0, fin: false, mask }),
      writeFrame({ opcode: 0, payload: 'lo', mask }),
    ]),
    writeFrame({ opcode: 10, payload: '!', mask }),
    mask === undefined ? hex('827f0000000000000001 7a') : hex('82ff0000000000000001 00000000 7a'),
  ],
  wrong: [
    ...['8901', '897e0000', '89fe000000000000', '8301', '0900', '0901', '880103', '827f0000000100000000'].map(
      hex,
    ),
    writeFrame({ opcode: 0, mask }),
    writeFrame({ opcode: 1, fin: false, mask }),
    writeFrame({ opcode: 1, rsv: 4, payload: hex('f248cdc9c90700'), mask }),
    writeClose(1000, 'bye', mask),
    writeClose(undefined, '', mask),
  ],
}));

/** Frames of one side, most of them right. */
const frames = fc
  .constantFrom(...sides)
  .chain(({ direction, right, wrong }) =>
    fc.tuple(damaged(some([...right, ...right, ...right, ...wrong], 8)), fc.constant(direction)),
  );

const old = [
  writeHixieText('~m~16~m~5890598851256073'),
  writeHixieText(''),
  hex('80822c'),
  hex('8003616263'),
  hex('01ff'),
  writeHixieClose(),
];

const oldFrames = fc.tuple(damaged(some(old, 8)), fc.constantFrom<Direction>('from-client', 'from-upstream'));

it.each([
  ['rfc6455', frames],
  ['hixie', oldFrames],
] as const)('%s frames: any chunking is the same as none', (framing, frames) => {
  fuzz(fc.tuple(frames, cuts(300)), ([[stream, direction], offsets]) => {
    expect(watch(framing, direction, cutAt(stream, offsets))).toEqual(watch(framing, direction, [stream]));
  });
});

it('rfc6455 frames: agrees with ws', () => {
  fuzz(frames, ([stream, direction]) => {
    const ours = watch('rfc6455', direction, [stream]);
    const theirs = receiveWithWs(stream, direction === 'from-client');
    // RSV bits belong to extensions and reserved close codes to endpoints: a proxy lets both pass.
    if (/RSV|CLOSE_CODE/.test(theirs.error ?? '')) return;
    // Ws does not read on behind a Close.
    if (theirs.closed) {
      expect(ours.closeCode).toBe(theirs.closeCode);
      expect(ours.messages).toBeGreaterThanOrEqual(theirs.messages);
      return;
    }
    expect(ours.messages).toBe(theirs.messages);
    if (theirs.error === undefined) expect(ours.blind).toBeUndefined();
    // Ws judges the first two bytes of a header, we all of it once it is there.
    else expect(ours.atBoundary).toBe(false);
    // Ws tells of a Close once its reason is complete, we as soon as its code is.
    if (ours.closeCode !== undefined) expect(ours.atBoundary).toBe(false);
  });
});

it('hixie frames: agrees with a plain reading of the draft', () => {
  fuzz(oldFrames, ([stream, direction]) => {
    const { messages, closeCode, blind, atBoundary } = watch('hixie', direction, [stream]);
    expect({ messages, closeCode, blind: blind !== undefined, atBoundary }).toEqual(readHixie(stream));
  });
});

/** Draft-hixie-thewebsocketprotocol-76 §5.3, with the whole stream at hand. */
function readHixie(stream: Buffer) {
  const facts = { messages: 0, closeCode: undefined as number | undefined, blind: false, atBoundary: false };
  let at = 0;
  while (at < stream.length) {
    const type = stream[at++]!;
    if (type < 0x80) {
      const end = stream.indexOf(0xff, at);
      if (end === -1) return facts;
      if (type === 0) facts.messages++;
      at = end + 1;
      continue;
    }
    const end = stream.subarray(at).findIndex((byte) => byte < 0x80);
    const digits = end === -1 ? [...stream.subarray(at)] : [...stream.subarray(at, at + end + 1)];
    if (digits.length > 4) return { ...facts, blind: true };
    if (end === -1) return facts;
    const length = digits.reduce((sum, digit) => sum * 128 + (digit % 128), 0);
    if (type === 0xff && length === 0) facts.closeCode = 1005;
    at += digits.length + length;
  }
  return { ...facts, atBoundary: at === stream.length };
}

function watch(
  framing: Framing,
  direction: Direction,
  chunks: readonly Buffer[],
): Pick<Traffic, 'messages' | 'closeCode' | 'atBoundary' | 'blind'> {
  const traffic = makeTraffic(framing, direction)!;
  feed(chunks, (chunk) => traffic.push(chunk));
  const { messages, closeCode, atBoundary, blind } = traffic;
  return { messages, closeCode, atBoundary, blind };
}
