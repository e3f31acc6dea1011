/** The five steps of a handshake as values: what is read, offered, verified and answered. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hixieVectors } from '../../../test/fixtures/hixie.js';
import { HeaderList } from '../http/header-list.js';
import type { RequestHead, ResponseHead } from '../http/head.js';
import { ResponseHeadReader } from '../http/response-head.js';
import { switchText } from './answer.js';
import { extensionNames } from './extensions.js';
import { challengeResponse, keyNumber } from './hixie.js';
import { acceptFor, isKey, versionsOf } from './hybi.js';
import { offerText } from './offer.js';
import { readUpgrade } from './read.js';
import { generations, type UpgradeRequest } from './types.js';
import { verifyAnswer, verifyChallenge } from './verify.js';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

function request(fields: Record<string, string>, more: Partial<RequestHead> = {}): RequestHead {
  const headers = new HeaderList();
  for (const [name, value] of Object.entries({
    Host: 'x',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    ...fields,
  })) {
    headers.append(name, value);
  }
  return { method: 'GET', target: '/', httpVersion: '1.1', headers, ...more };
}

function upgradeOf(fields: Record<string, string>): UpgradeRequest {
  const read = readUpgrade(request(fields));
  if (read.kind !== 'upgrade') throw new Error(`read as ${JSON.stringify(read)}`);
  return read.request;
}

function answer(status: number, fields: Record<string, string>): ResponseHead {
  const headers = new HeaderList();
  for (const [name, value] of Object.entries(fields)) headers.append(name, value);
  return { httpVersion: '1.1', status, reason: 'Switching Protocols', headers };
}

describe('the arithmetic of 2010', () => {
  test.each(hixieVectors)('$name', ({ key1, key2, key3, number1, number2, challenge }) => {
    expect(keyNumber(key1)).toBe(number1);
    expect(keyNumber(key2)).toBe(number2);
    expect(challengeResponse(number1, number2, Buffer.from(key3, 'hex')).toString('hex')).toBe(challenge);
  });

  test('any number hidden by the draft’s own recipe is found again', () => {
    const hidden = fc.record({
      spaces: fc.integer({ min: 1, max: 12 }),
      number: fc.integer({ min: 0, max: 0xffff_ffff }),
      junk: fc.array(fc.constantFrom(...Array.from('!"#$%&/:;<=>?@ABCxyz{|}~')), {
        minLength: 1,
        maxLength: 12,
      }),
      seed: fc.infiniteStream(fc.nat()),
    });
    fc.assert(
      fc.property(hidden, ({ spaces, number, junk, seed }) => {
        const product = Math.min(number, Math.floor(0xffff_ffff / spaces)) * spaces;
        const chars = Array.from(String(product));
        const insert = (char: string) => chars.splice(seed.next().value! % (chars.length + 1), 0, char);
        for (const char of junk) insert(char);
        for (let i = 0; i < spaces; i++) insert(' ');
        expect(keyNumber(chars.join(''))).toBe(product / spaces);
      }),
    );
  });
});

describe('accept', () => {
  test.each([
    [KEY, 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='],
    ['x3JJHMbDL1EzLkh9GBhXDw==', 'HSmrc0sMlYUkAGmm5OPpG2HaGWk='],
    ['AAAAAAAAAAAAAAAAAAAAAA==', 'ICX+Yqv66kxgM0FcWaLWlFLwTAI='],
    ['/////////////////////w==', 'XXpj4jYzLM2yUE0C7TIgMwTQh2g='],
  ])('%s', (key, accept) => {
    expect(isKey(key)).toBe(true);
    expect(acceptFor(key)).toBe(accept);
  });

  test.each([
    '',
    'dGhlIHNhbXBsZSBub25jZQ',
    'dGhlIHNhbXBsZSBub25jZR==',
    'dGhlIHNhbXBsZSBub25j',
    `${KEY}=`,
    'dGhlIHNhbXBsZSBub25jZQ==\n',
  ])('not a key: %j', (key) => expect(isKey(key)).toBe(false));
});

describe('read', () => {
  test.each([
    ['hixie-75', { Origin: 'http://a' }],
    ['hixie-76', { 'Sec-WebSocket-Key1': '1 2', 'Sec-WebSocket-Key2': '3 4' }],
    ['hybi-01', { 'Sec-WebSocket-Key1': '1 2', 'Sec-WebSocket-Key2': '3 4', 'Sec-WebSocket-Draft': '2' }],
    ['hybi-04', { 'Sec-WebSocket-Key': KEY, 'Sec-WebSocket-Version': '5' }],
    ['hybi-07', { 'Sec-WebSocket-Key': KEY, 'Sec-WebSocket-Version': '7' }],
    ['hybi-08', { 'Sec-WebSocket-Key': KEY, 'Sec-WebSocket-Version': '8' }],
    ['rfc6455', { 'Sec-WebSocket-Key': KEY, 'Sec-WebSocket-Version': '13' }],
    ['unknown', { 'Sec-WebSocket-Key': KEY, 'Sec-WebSocket-Version': '14' }],
  ])('%s', (generation, fields) => {
    expect(upgradeOf(fields as unknown as Record<string, string>).generation).toBe(generation);
  });

  test('the token is kept as it was spelt, alone', () => {
    expect(upgradeOf({ Upgrade: 'h2c, WebSocket', Origin: 'http://a' }).upgradeToken).toBe('WebSocket');
  });

  test('any head is plain, an upgrade, or refused with one line; never an exception', () => {
    const name = fc.constantFrom(
      'Upgrade',
      'Connection',
      'Host',
      'Origin',
      'Sec-WebSocket-Key',
      'Sec-WebSocket-Version',
      'Sec-WebSocket-Key1',
      'Sec-WebSocket-Key2',
      'Sec-WebSocket-Protocol',
      'Sec-WebSocket-Extensions',
      'Sec-WebSocket-Draft',
      'Content-Length',
      'Transfer-Encoding',
      '__proto__',
    );
    const value = fc.oneof(
      fc.constantFrom(
        'websocket',
        'WebSocket',
        'upgrade',
        'keep-alive, Upgrade',
        KEY,
        '13',
        '8',
        '0',
        '1 2',
        'chunked',
      ),
      fc.string({ unit: 'binary-ascii' }),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(name, value), { maxLength: 12 }),
        fc.constantFrom('GET', 'POST'),
        (fields, method) => {
          const read = readUpgrade({
            method,
            target: '/',
            httpVersion: '1.1',
            headers: HeaderList.fromRaw(fields.flat()),
          });
          if (read.kind === 'upgrade') {
            expect(method).toBe('GET');
            expect(generations).toContain(read.request.generation);
          }
          if (read.kind === 'reject') expect(read.reason).toMatch(/^[^\r\n]{10,}$/);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('extension lists', () => {
  test.each([
    [['permessage-deflate; client_max_window_bits, x'], ['permessage-deflate', 'x']],
    [
      ['A', 'b; c="d, e"; f="\\",\\"", g'],
      ['a', 'b', 'g'],
    ],
    [['constructor, __proto__, hasOwnProperty'], ['constructor', '__proto__', 'hasownproperty']],
    [[''], []],
    [['a b'], undefined],
    [['; x'], undefined],
    [['a=1'], undefined],
  ])('%j', (values, names) => expect(extensionNames(values)).toEqual(names));

  test('linear on hostile input', () => {
    expect(extensionNames([`${','.repeat(100_000)}${'"'.repeat(100_001)}`])).toBeUndefined();
  });
});

describe('what leaves for the upstream', () => {
  test('never a CR, LF or NUL from a value, whatever the values', () => {
    const headers = new HeaderList();
    headers.append('Host', 'x');
    headers.append('X-Bad', 'a\r\nInjected: yes');
    const read = {
      ...upgradeOf({ Origin: 'http://a' }),
      head: { method: 'GET', target: '/', httpVersion: '1.1', headers },
    };
    const forwarding = {
      clientAddress: '1.2.3.4',
      proto: 'http',
      host: 'x',
      trusted: false,
      style: 'both',
    } as const;
    expect(() => offerText(read, 'x', forwarding)).toThrow(/X-Bad has a control character/);
    expect(() => offerText(upgradeOf({ Origin: 'http://a' }), 'x\r\ny', forwarding)).toThrow(
      /control character/,
    );
  });

  test('what a client names in Connection goes, but nothing of the handshake and nothing of ours', () => {
    const read = upgradeOf({
      Connection: 'Upgrade, X-Mine, Sec-WebSocket-Key, Host, Origin, X-Forwarded-For',
      'X-Mine': '1',
      Origin: 'http://a',
      'Sec-WebSocket-Key': KEY,
      'Sec-WebSocket-Version': '13',
    });
    const forwarding = {
      clientAddress: '::1',
      proto: 'https',
      host: 'x',
      trusted: false,
      style: 'both',
    } as const;
    const lines = offerText(read, 'x', forwarding).split('\r\n');
    expect(lines).toEqual([
      'GET / HTTP/1.1',
      'Host: x',
      'Upgrade: websocket',
      'Connection: Upgrade',
      'Origin: http://a',
      `Sec-WebSocket-Key: ${KEY}`,
      'Sec-WebSocket-Version: 13',
      'X-Forwarded-For: ::1',
      'X-Forwarded-Proto: https',
      'X-Forwarded-Host: x',
      'Forwarded: for="[::1]";proto=https;host=x',
      '',
      '',
    ]);
  });
});

describe('verify', () => {
  const offered = upgradeOf({
    'Sec-WebSocket-Key': KEY,
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Protocol': 'a, b',
    'Sec-WebSocket-Extensions': 'permessage-deflate, deflate-stream',
  });
  const good = {
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Accept': 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
  };

  test('a proven switch, its subprotocol and framing', () => {
    expect(verifyAnswer(offered, answer(101, { ...good, 'Sec-WebSocket-Protocol': 'b' }))).toEqual({
      kind: 'switch',
      framing: 'rfc6455',
      subprotocol: 'b',
    });
  });

  test('deflate-stream hides the frames', () => {
    const verdict = verifyAnswer(
      offered,
      answer(101, { ...good, 'Sec-WebSocket-Extensions': 'deflate-stream' }),
    );
    expect(verdict).toMatchObject({ kind: 'switch', framing: 'opaque' });
  });

  test('anything but 101 is HTTP', () => {
    expect(verifyAnswer(offered, answer(200, good))).toEqual({ kind: 'http' });
  });

  test('a challenge with any bit turned is wrong', () => {
    const vector = hixieVectors[0]!;
    const hixie = upgradeOf({ 'Sec-WebSocket-Key1': vector.key1, 'Sec-WebSocket-Key2': vector.key2 });
    const key3 = Buffer.from(vector.key3, 'hex');
    const right = Buffer.from(vector.challenge, 'hex');
    expect(verifyChallenge(hixie, key3, right)).toBe(true);
    fc.assert(
      fc.property(fc.nat({ max: 127 }), (bit) => {
        const wrong = Buffer.from(right);
        wrong[bit >> 3]! ^= 1 << (bit & 7);
        expect(verifyChallenge(hixie, key3, wrong)).toBe(false);
      }),
    );
    expect(verifyChallenge(hixie, key3, right.subarray(0, 15))).toBe(false);
  });
});

test('an upstream’s head, split anywhere, gives the client the same bytes', () => {
  const offered = upgradeOf({ 'Sec-WebSocket-Key': KEY, 'Sec-WebSocket-Version': '13' });
  const bytes = Buffer.from(
    'HTTP/1.1 101 Any Phrase\r\nX-One:  1 \r\nupgrade: WebSocket\r\nCONNECTION: keep-alive, upgrade\r\n' +
      'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nbehind',
    'latin1',
  );
  fc.assert(
    fc.property(fc.array(fc.nat({ max: bytes.length }), { maxLength: 20 }), (cuts) => {
      const reader = new ResponseHeadReader({ maxBytes: 1000 });
      const at = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
      let result: ReturnType<ResponseHeadReader['push']>;
      let behind = '';
      for (let i = 1; i < at.length; i++) {
        const piece = bytes.subarray(at[i - 1], at[i]);
        if (result !== undefined) behind += piece.toString();
        else if ((result = reader.push(piece)) !== undefined) behind += result.rest.toString();
      }
      expect(behind).toBe('behind');
      expect(switchText(offered, result!.head, { secure: false, host: 'x' })).toBe(
        'HTTP/1.1 101 Any Phrase\r\nX-One: 1\r\nupgrade: WebSocket\r\nCONNECTION: Upgrade\r\n' +
          'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n',
      );
    }),
  );
});

describe('locations', () => {
  test.each([
    [false, 'x:80', 'ws://x/'],
    [false, 'x:8080', 'ws://x:8080/'],
    [true, 'x:443', 'wss://x/'],
    [true, 'x:80', 'wss://x:80/'],
  ])('secure %s, %s → %s', (secure, host, location) => {
    const hixie = upgradeOf({ 'Sec-WebSocket-Key1': '1 2', 'Sec-WebSocket-Key2': '3 4' });
    const head = answer(101, {
      Upgrade: 'WebSocket',
      Connection: 'Upgrade',
      'Sec-WebSocket-Location': 'ws://inside/',
    });
    expect(switchText(hixie, head, { secure, host })).toContain(`Sec-WebSocket-Location: ${location}\r\n`);
  });
});

test('a 426 names the versions of what is taken', () => {
  expect(versionsOf(new Set(generations))).toEqual([13, 8, 7, 6, 5, 4]);
  expect(versionsOf(new Set(['rfc6455', 'hixie-76']))).toEqual([13]);
});
