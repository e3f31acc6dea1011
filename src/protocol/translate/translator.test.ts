/** Both directions between Hixie and RFC 6455, as bytes. */
import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { cutAt, cuts, feed, hex, singleBytes } from '../../../test/fixtures/chunking.js';
import { textsByWs } from '../../../test/fixtures/ws-receiver.js';
import { almostFrames } from '../../../test/suites/scanner-suite.js';
import { writeClose, writeFrame, writeHixieText } from '../frames/writer.js';
import { Translator, type TranslatedSide } from './translator.js';

const ZEROS = Buffer.alloc(4);
const bounds = { maxMessageBytes: 1000, maxFragments: 10 };

function make(side: TranslatedSide, more: Partial<ConstructorParameters<typeof Translator>[0]> = {}) {
  return new Translator({ side, generation: 'hixie-76', random: (n) => Buffer.alloc(n), ...bounds, ...more });
}

/** Feeds one direction and returns what comes out of both, as hex. */
function run(translator: Translator, from: 'hixie' | 'rfc6455', chunks: readonly Buffer[]) {
  feed(chunks, (chunk) => (from === 'hixie' ? translator.fromHixie(chunk) : translator.fromRfc6455(chunk)));
  return out(translator);
}

function out(translator: Translator) {
  return {
    hixie: translator.takeForHixie().toString('hex'),
    rfc6455: translator.takeForRfc6455().toString('hex'),
    fault: translator.fault?.code,
  };
}

/** The same however the bytes are cut. */
function expectRun(
  side: TranslatedSide,
  from: 'hixie' | 'rfc6455',
  bytes: string,
  expected: Partial<ReturnType<typeof out>>,
  generation: 'hixie-75' | 'hixie-76' = 'hixie-76',
): void {
  const whole = hex(bytes);
  const wanted = { hixie: '', rfc6455: '', fault: undefined, ...expected };
  for (let i = 0; i <= whole.length; i++) {
    expect(run(make(side, { generation }), from, cutAt(whole, [i]))).toEqual(wanted);
  }
  expect(run(make(side, { generation }), from, singleBytes(whole))).toEqual(wanted);
}

const masked = (text: string, opcode = 1) =>
  writeFrame({ opcode, payload: text, mask: hex('37fa213d') }).toString('hex');

describe('from Hixie', () => {
  it.each<[string, string, Partial<ReturnType<typeof out>>]>([
    ['a text, masked with a key of ours', '00 6869 ff', { rfc6455: '8182000000006869' }],
    [
      'two texts and an empty one',
      '00 61 ff 00 ff 00 62 ff',
      { rfc6455: '8181000000006181800000000081810000000062' },
    ],
    ['frames that are not text, not at all', '01 61 ff 80 02 6162 7f ff', {}],
    ['half a text, not yet', '00 616263', {}],
    ['text that is not UTF-8', '00 c3 ff 00 61 ff', { hixie: 'ff00', fault: 'TRANSLATION_TEXT_INVALID' }],
    ['a surrogate', '00 eda080 ff', { hixie: 'ff00', fault: 'TRANSLATION_TEXT_INVALID' }],
    [
      'a text before one that is not',
      '00 61 ff 00 fe ff',
      { rfc6455: '81810000000061', hixie: 'ff00', fault: 'TRANSLATION_TEXT_INVALID' },
    ],
    [
      'a length that cannot be',
      '80 ffffffffff 00 61 ff',
      { hixie: 'ff00', fault: 'TRANSLATION_FRAME_INVALID' },
    ],
    ['FF 00 as Close 1000, and nothing behind it', 'ff00 00 61 ff ff00', { rfc6455: '88820000000003e8' }],
    [
      'a text as large as it may be',
      `00 ${'61'.repeat(1000)} ff`,
      { rfc6455: '81fe03e800000000' + '61'.repeat(1000) },
    ],
    [
      'a text that is one byte larger',
      `00 ${'61'.repeat(1001)}`,
      { hixie: 'ff00', fault: 'TRANSLATION_TOO_LARGE' },
    ],
  ])('%s', (_, bytes, expected) => {
    expectRun('client', 'hixie', bytes, expected);
  });

  test('an upstream’s text goes to the client unmasked', () => {
    expectRun('upstream', 'hixie', '00 6869 ff', { rfc6455: '81026869' });
  });

  test('Hixie-75 has no close: FF 00 is passed over', () => {
    expectRun(
      'client',
      'hixie',
      '00 61 ff ff00 00 62 ff',
      { rfc6455: '8181000000006181810000000062' },
      'hixie-75',
    );
  });

  test.each([
    ['hixie-75', '', '88820000000003e8'],
    ['hixie-76', '00 ff', '81800000000088820000000003e9'],
    ['hixie-76', 'ff00', '88820000000003e8'],
    ['hixie-76', '00 61', ''],
    ['hixie-76', '80', ''],
  ] as const)('the end of a %s connection behind “%s”', (generation, bytes, rfc6455) => {
    const translator = make('client', { generation });
    translator.fromHixie(hex(bytes));
    translator.endOfHixie();
    expect(out(translator)).toMatchObject({ rfc6455, hixie: '' });
  });
});

describe('from RFC 6455', () => {
  it.each<[string, string, Partial<ReturnType<typeof out>>]>([
    ['a text', masked('hi'), { hixie: '006869ff' }],
    ['an empty text', masked(''), { hixie: '00ff' }],
    ['two texts', masked('a') + masked('é'), { hixie: '0061ff00c3a9ff' }],
    [
      'fragments as one, a character cut between them',
      '0181 00000000 c3' + masked('?', 9) + '0080 000000008081 00000000 a9',
      { hixie: '00c3a9ff', rfc6455: '8a013f' },
    ],
    ['a ping, answered here', masked('why', 9), { rfc6455: '8a03776879' }],
    ['a pong, nowhere', masked('so', 10), {}],
    ['a binary message', masked('hi', 2) + masked('x'), { hixie: 'ff00', fault: 'TRANSLATION_BINARY' }],
    [
      'a text before a binary one',
      masked('a') + masked('', 2),
      { hixie: '0061ffff00', fault: 'TRANSLATION_BINARY' },
    ],
    ['text that is not UTF-8', '8182 00000000 c3c3', { hixie: 'ff00', fault: 'TRANSLATION_TEXT_INVALID' }],
    ['0xFF in a text', '8181 00000000 ff', { hixie: 'ff00', fault: 'TRANSLATION_TEXT_INVALID' }],
    ['a frame without a mask', '8101 61', { hixie: 'ff00', fault: 'TRANSLATION_FRAME_INVALID' }],
    ['RSV bits', 'c181 00000000 61', { hixie: 'ff00', fault: 'TRANSLATION_FRAME_INVALID' }],
    ['a reserved opcode', '8381 00000000 61', { hixie: 'ff00', fault: 'TRANSLATION_FRAME_INVALID' }],
    ['a continuation of nothing', '8080 00000000', { hixie: 'ff00', fault: 'TRANSLATION_FRAME_INVALID' }],
    [
      'a text inside a text',
      '0181 00000000 61' + masked('b'),
      { hixie: 'ff00', fault: 'TRANSLATION_FRAME_INVALID' },
    ],
    ['a ping in fragments', '0980 00000000', { hixie: 'ff00', fault: 'TRANSLATION_FRAME_INVALID' }],
    ['a Close, its code lost', '8882 00000000 03e8', { hixie: 'ff00' }],
    ['a Close without a code, and nothing behind it', '8880 00000000' + masked('a'), { hixie: 'ff00' }],
    ['a Close in a message, which is never said', '0181 00000000 61 8880 00000000', { hixie: 'ff00' }],
    ['half a Close code', '8881 00000000 03', { hixie: 'ff00', fault: 'TRANSLATION_FRAME_INVALID' }],
    [
      'a text as large as it may be',
      '81fe03e8 00000000' + '61'.repeat(1000),
      { hixie: `00${'61'.repeat(1000)}ff` },
    ],
    [
      'a text that is larger, by its header',
      '81fe03e9 00000000',
      { hixie: 'ff00', fault: 'TRANSLATION_TOO_LARGE' },
    ],
    [
      'fragments that are larger together',
      '01fe03e8 00000000' + '61'.repeat(1000) + '8081 00000000',
      { hixie: 'ff00', fault: 'TRANSLATION_TOO_LARGE' },
    ],
    [
      'as many fragments as may be',
      '0180 00000000' + '0080 00000000'.repeat(8) + '8080 00000000',
      { hixie: '00ff' },
    ],
    [
      'one fragment more',
      '0180 00000000' + '0080 00000000'.repeat(10),
      { hixie: 'ff00', fault: 'TRANSLATION_TOO_LARGE' },
    ],
  ])('%s', (_, bytes, expected) => {
    expectRun('upstream', 'rfc6455', bytes, expected);
  });

  test('of an upstream, unmasked, to Hixie-75: its end is the goodbye', () => {
    const translator = make('client', { generation: 'hixie-75' });
    translator.fromRfc6455(hex('8101 61'));
    expect(translator.isOver).toBe(false);
    translator.fromRfc6455(hex('8802 03e8'));
    expect(out(translator)).toEqual({ hixie: '0061ff', rfc6455: '', fault: undefined });
    expect(translator.isOver).toBe(true);
    translator.endOfHixie();
    expect(out(translator).rfc6455).toBe('88820000000003e8');
  });

  test.each([
    ['4000', '8802 0fa0', '8882000000000fa0'],
    ['none', '8800', '888000000000'],
    ['one that may not be sent', '8802 03ed', '88820000000003ea'],
  ])('the Hixie answer to Close code %s has the same', (_, close, answer) => {
    const translator = make('client');
    translator.fromRfc6455(hex(close));
    translator.fromHixie(hex('ff00'));
    expect(out(translator)).toEqual({ hixie: 'ff00', rfc6455: answer, fault: undefined });
  });

  test('pings that nobody has taken the pong of are answered once, before a Close', () => {
    const translator = make('upstream');
    translator.fromRfc6455(hex(masked('1', 9) + masked('2', 9)));
    translator.fromHixie(hex('ff00'));
    translator.fromRfc6455(hex(masked('3', 9)));
    expect(out(translator).rfc6455).toBe('8a0132880203e8');
  });
});

describe('after a fault', () => {
  test('nothing is said any more, but the closes are heard', () => {
    const translator = make('upstream');
    translator.fromRfc6455(hex(masked('x', 2)));
    expect(out(translator)).toMatchObject({ hixie: 'ff00', rfc6455: '' });
    translator.fromHixie(hex('00 61 ff'));
    translator.fromRfc6455(hex(masked('b') + masked('?', 9)));
    expect(out(translator)).toMatchObject({ hixie: '', rfc6455: '' });
    translator.fromRfc6455(hex('8882 00000000 03eb'));
    translator.fromHixie(hex('ff00'));
    expect(out(translator)).toEqual({ hixie: '', rfc6455: '880203eb', fault: 'TRANSLATION_BINARY' });
    expect(translator.fault).toEqual({
      code: 'TRANSLATION_BINARY',
      by: 'client',
      reason: 'binary messages cannot be said in Hixie, from the client',
    });
  });
});

describe('whatever the chunking', () => {
  const texts = fc.array(fc.string({ unit: 'binary', maxLength: 40 }), { maxLength: 8 });
  const options = { maxMessageBytes: 1000, maxFragments: 500, random: randomBytes };

  it('every text from Hixie arrives at an RFC 6455 side as ws reads it', () => {
    const side = fc.constantFrom<TranslatedSide>('client', 'upstream');
    fc.assert(
      fc.property(side, texts, cuts(600), (side, texts, offsets) => {
        const translator = new Translator({ side, generation: 'hixie-76', ...options });
        const received: Buffer[] = [];
        feed(cutAt(Buffer.concat(texts.map(writeHixieText)), offsets), (chunk) => {
          translator.fromHixie(chunk);
          received.push(translator.takeForRfc6455());
        });
        expect(textsByWs(Buffer.concat(received), side === 'client')).toEqual({ texts, error: undefined });
        expect(translator.fault).toBeUndefined();
      }),
    );
  });

  it('every text of RFC 6455, in fragments with pings between, arrives at a Hixie side', () => {
    const side = fc.constantFrom<TranslatedSide>('client', 'upstream');
    fc.assert(
      fc.property(side, texts, cuts(900), fc.integer({ min: 1, max: 9 }), (side, texts, offsets, size) => {
        const translator = new Translator({ side, generation: 'hixie-75', ...options });
        const sent = texts.map((text) => inFragments(Buffer.from(text), size, side === 'upstream'));
        const received: Buffer[] = [];
        feed(cutAt(Buffer.concat(sent), offsets), (chunk) => {
          translator.fromRfc6455(chunk);
          received.push(translator.takeForHixie());
        });
        expect(hixieTexts(Buffer.concat(received))).toEqual(texts);
        expect(translator.fault).toBeUndefined();
      }),
    );
  });

  it('a text that went from Hixie through RFC 6455 to Hixie is the same', () => {
    fc.assert(
      fc.property(texts, cuts(600), cuts(900), (texts, first, second) => {
        const client = new Translator({ side: 'client', generation: 'hixie-75', ...options });
        const upstream = new Translator({ side: 'upstream', generation: 'hixie-76', ...options });
        const sent = Buffer.concat(texts.map(writeHixieText));
        feed(cutAt(sent, first), (chunk) => client.fromHixie(chunk));
        feed(cutAt(client.takeForRfc6455(), second), (chunk) => upstream.fromRfc6455(chunk));
        expect(upstream.takeForHixie().equals(sent)).toBe(true);
      }),
    );
  });

  it('anything at all: nothing is thrown, cuts do not matter, and all that comes out is frames', () => {
    const input = fc.record({
      side: fc.constantFrom<TranslatedSide>('client', 'upstream'),
      generation: fc.constantFrom('hixie-75' as const, 'hixie-76' as const),
      hixie: almostFrames('hixie'),
      rfc6455: almostFrames('rfc6455'),
      offsets: cuts(300),
    });
    fc.assert(
      fc.property(input, ({ side, generation, hixie, rfc6455, offsets }) => {
        const both = [[], offsets].map((offsets) => {
          const translator = new Translator({
            side,
            generation,
            maxMessageBytes: 150,
            maxFragments: 3,
            random: () => ZEROS,
          });
          const toHixie: Buffer[] = [];
          const toRfc6455: Buffer[] = [];
          feed(cutAt(rfc6455, offsets), (chunk) => translator.fromRfc6455(chunk));
          toHixie.push(translator.takeForHixie());
          feed(cutAt(hixie, offsets), (chunk) => translator.fromHixie(chunk));
          translator.endOfHixie();
          toRfc6455.push(translator.takeForRfc6455());
          toHixie.push(translator.takeForHixie());
          return {
            toHixie: Buffer.concat(toHixie).toString('hex'),
            toRfc6455: Buffer.concat(toRfc6455).toString('hex'),
            fault: translator.fault,
          };
        });
        expect(both[1]).toEqual(both[0]);
        expect(textsByWs(hex(both[0]!.toRfc6455), side === 'client').error).toBeUndefined();
        const { toHixie } = both[0]!;
        expect(toHixie === '' || toHixie.endsWith('ff') || toHixie.endsWith('ff00')).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

test('it holds no more than one message, however long what comes is', () => {
  const translator = make('client', { maxMessageBytes: 64 * 1024 });
  const before = process.memoryUsage().arrayBuffers;
  const piece = Buffer.alloc(60 * 1024, 0x61);
  translator.fromHixie(hex('00'));
  for (let i = 0; i < 1000; i++) translator.fromHixie(piece);
  expect(translator.fault?.code).toBe('TRANSLATION_TOO_LARGE');
  translator.fromRfc6455(writeClose(1009));
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 ** 2);
});

/** One message in fragments of `size` bytes, with a ping between each two. */
function inFragments(bytes: Buffer, size: number, isMasked: boolean): Buffer {
  const parts: Buffer[] = [];
  const mask = () => (isMasked ? randomBytes(4) : undefined);
  for (let at = 0; at === 0 || at < bytes.length; at += size) {
    if (at > 0) parts.push(writeFrame({ opcode: 9, payload: '?', mask: mask() }));
    const fin = at + size >= bytes.length;
    const payload = bytes.subarray(at, at + size);
    parts.push(writeFrame({ opcode: at === 0 ? 1 : 0, fin, payload, mask: mask() }));
  }
  return Buffer.concat(parts);
}

/** The simplest reader there can be. */
function hixieTexts(bytes: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < bytes.length;) {
    expect(bytes[at]).toBe(0);
    const end = bytes.indexOf(0xff, at);
    texts.push(bytes.subarray(at + 1, end).toString());
    at = end + 1;
  }
  return texts;
}
