import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutAt, cuts, feed, hex, singleBytes } from '../../../test/fixtures/chunking.js';
import { sendings, sendWithWs } from '../../../test/fixtures/ws-sender.js';
import type { Framing } from '../handshake/types.js';
import { makeTraffic } from './traffic.js';
import type { Direction, Traffic } from './types.js';

type Facts = Pick<Traffic, 'messages' | 'closeCode' | 'atBoundary' | 'blind'>;

function watch(framing: Framing, direction: Direction, chunks: readonly Buffer[]): Facts {
  const traffic = makeTraffic(framing, direction)!;
  feed(chunks, (chunk) => traffic.push(chunk));
  const { messages, closeCode, atBoundary, blind } = traffic;
  return { messages, closeCode, atBoundary, blind };
}

/** The same however the bytes are cut. */
function expectFacts(framing: Framing, direction: Direction, bytes: string, facts: Partial<Facts>): void {
  const whole = hex(bytes);
  const expected = { messages: 0, closeCode: undefined, atBoundary: true, blind: undefined, ...facts };
  for (let i = 0; i <= whole.length; i++)
    expect(watch(framing, direction, cutAt(whole, [i]))).toEqual(expected);
  expect(watch(framing, direction, singleBytes(whole))).toEqual(expected);
}

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
    ['a Close with code and reason', '88 11 03f4 736572766963652072657374617274', { closeCode: 1012 }],
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
    ['a Close with a reason', '88 84 ff00fe01 fce8 9f60', { closeCode: 1000 }],
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

it('does not watch opaque frames', () => {
  expect(makeTraffic('opaque', 'from-client')).toBeUndefined();
  expect(makeTraffic('opaque', 'from-upstream')).toBeUndefined();
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

  it('makes the same of any bytes, however they are cut, and never throws', () => {
    const direction = fc.constantFrom('from-client' as const, 'from-upstream' as const);
    const framing = fc.constantFrom('rfc6455' as const, 'hixie' as const);
    const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
    fc.assert(
      fc.property(framing, direction, bytes, cuts(300), (framing, direction, bytes, offsets) => {
        expect(watch(framing, direction, cutAt(bytes, offsets))).toEqual(watch(framing, direction, [bytes]));
      }),
      { numRuns: 1000 },
    );
  });
});
