import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { writeClose, writeFrame, writeHixieClose, writeHixieText } from '../../src/protocol/frames/writer.js';
import { Translator, type TranslatedSide } from '../../src/protocol/translate/translator.js';
import { cutAt, cuts, feed, hex } from '../fixtures/chunking.js';
import { textsByWs } from '../fixtures/ws-receiver.js';
import { damaged, fuzz, some } from './fuzz.js';

const bounds = { maxMessageBytes: 400, maxFragments: 6 };
const mask = hex('37fa213d');

/** What the RFC 6455 side sends when the Hixie side is the upstream, or the client. */
const sides = (['upstream', 'client'] as const).map((side) => {
  const key = side === 'upstream' ? mask : undefined;
  const right = [
    writeFrame({ opcode: 1, payload: 'grüße ✓', mask: key }),
    writeFrame({ opcode: 1, payload: '', mask: key }),
    writeFrame({ opcode: 1, payload: 'x'.repeat(200), mask: key }),
    Buffer.concat([
      writeFrame({ opcode: 1, payload: hex('c3'), fin: false, mask: key }),
      writeFrame({ opcode: 9, payload: '?', mask: key }),
      writeFrame({ opcode: 0, fin: false, mask: key }),
      writeFrame({ opcode: 0, payload: hex('a9'), mask: key }),
    ]),
    writeFrame({ opcode: 10, payload: '!', mask: key }),
  ];
  const wrong = [
    writeFrame({ opcode: 2, payload: 'b', mask: key }),
    writeFrame({ opcode: 1, payload: hex('eda080'), mask: key }),
    writeFrame({ opcode: 1, rsv: 4, mask: key }),
    writeFrame({ opcode: 0, mask: key }),
    writeFrame({ opcode: 1, fin: false, mask: key }),
    writeClose(1000, 'bye', key),
    ...['8901', '897e0000', '8301', '827f0000000100000000'].map(hex),
  ];
  return { side, right, wrong };
});

const input = fc.record({
  rfc6455: fc
    .constantFrom(...sides)
    .chain(({ side, right, wrong }) =>
      fc.tuple(fc.constant<TranslatedSide>(side), damaged(some([...right, ...right, ...right, ...wrong], 8))),
    ),
  hixie: damaged(
    some(
      [
        writeHixieText('~m~16~m~5890598851256073'),
        writeHixieText('grüße ✓'),
        hex('80822c'),
        hex('8003616263'),
        hex('01ff'),
        hex('00c3ff'),
        writeHixieClose(),
      ],
      8,
    ),
  ),
  generation: fc.constantFrom('hixie-75' as const, 'hixie-76' as const),
  offsets: cuts(700),
  order: fc.boolean(),
});

it('translates what ws would take, and survives the rest', () => {
  fuzz(input, ({ rfc6455: [side, bytes], hixie, generation, offsets, order }) => {
    const translator = new Translator({ side, generation, random: (n) => Buffer.alloc(n), ...bounds });
    const toHixie: Buffer[] = [];
    const toRfc6455: Buffer[] = [];
    const take = (): void => {
      toHixie.push(translator.takeForHixie());
      toRfc6455.push(translator.takeForRfc6455());
    };
    const steps = [
      () =>
        feed(cutAt(bytes, offsets), (chunk) => {
          translator.fromRfc6455(chunk);
          take();
        }),
      () =>
        feed(cutAt(hixie, offsets), (chunk) => {
          translator.fromHixie(chunk);
          take();
        }),
    ];
    for (const step of order ? steps : steps.toReversed()) step();
    translator.endOfHixie();
    take();

    const there = textsByWs(Buffer.concat(toRfc6455), side === 'client');
    expect(there.error).toBeUndefined();
    const said = textsOf(Buffer.concat(toHixie));
    // The other way first may have ended it.
    if (!order) return;
    const known = textsByWs(bytes, side === 'upstream').texts;
    expect(said).toEqual(known.slice(0, said.length));
    const isCut = translator.fault?.code === 'TRANSLATION_TOO_LARGE';
    if (!isCut) expect(said).toEqual(known);
  });
});

/** The texts that a Hixie side was sent; its close stands last. */
function textsOf(bytes: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < bytes.length;) {
    if (bytes[at] === 0xff) {
      expect(bytes.subarray(at).toString('hex')).toBe('ff00');
      break;
    }
    expect(bytes[at]).toBe(0);
    const end = bytes.indexOf(0xff, at);
    texts.push(bytes.subarray(at + 1, end).toString());
    at = end + 1;
  }
  return texts;
}
