/** A client's handshake said in another generation, and the answer to it said back. */
import { randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hixieVectors } from '../../../test/fixtures/hixie.js';
import { HeaderList } from '../http/header-list.js';
import { switchText } from '../handshake/answer.js';
import { keyNumber } from '../handshake/hixie.js';
import { acceptFor } from '../handshake/hybi.js';
import { offerText } from '../handshake/offer.js';
import { readUpgrade } from '../handshake/read.js';
import type { UpgradeRequest } from '../handshake/types.js';
import { verifyAnswer } from '../handshake/verify.js';
import { translateAnswer } from './answer.js';
import { translationTarget } from './generations.js';
import { makeKey } from './hixie-keys.js';
import { translateRequest, untranslatable } from './request.js';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const deflate: [string, string] = ['Sec-WebSocket-Extensions', 'permessage-deflate'];
const vector = hixieVectors[0]!;
const forwarding = {
  clientAddress: '192.0.2.1',
  proto: 'http',
  host: 'x',
  trusted: false,
  style: 'off',
} as const;

function upgradeOf(...fields: [string, string][]): UpgradeRequest {
  const headers = HeaderList.fromRaw(['Host', 'x', 'Connection', 'Upgrade', ...fields.flat()]);
  const read = readUpgrade({ method: 'GET', target: '/chat?room=1', httpVersion: '1.1', headers });
  if (read.kind !== 'upgrade') throw new Error(`read as ${JSON.stringify(read)}`);
  return read.request;
}

const clients = {
  'hixie-75': (...more: [string, string][]) =>
    upgradeOf(['Upgrade', 'WebSocket'], ['Origin', 'http://a'], ...more),
  'hixie-76': (...more: [string, string][]) =>
    upgradeOf(
      ['Upgrade', 'WebSocket'],
      ['Origin', 'http://a'],
      ['Sec-WebSocket-Key1', vector.key1],
      ['Sec-WebSocket-Key2', vector.key2],
      ...more,
    ),
  'hybi-08': (...more: [string, string][]) =>
    upgradeOf(
      ['Upgrade', 'websocket'],
      ['Sec-WebSocket-Origin', 'http://a'],
      ['Sec-WebSocket-Version', '8'],
      ['Sec-WebSocket-Key', KEY],
      ...more,
    ),
  rfc6455: (...more: [string, string][]) =>
    upgradeOf(
      ['Upgrade', 'websocket'],
      ['Origin', 'http://a'],
      ['Sec-WebSocket-Version', '13'],
      ['Sec-WebSocket-Key', KEY],
      ...more,
    ),
};

/** What the upstream is sent, as lines. */
function offered(request: UpgradeRequest): string[] {
  return offerText(request, 'x', forwarding).split('\r\n').slice(0, -2);
}

function translated(client: UpgradeRequest, to: 'rfc6455' | 'hixie-76') {
  expect(untranslatable(client, to)).toBeUndefined();
  return translateRequest(client, to, randomBytes);
}

describe('the request', () => {
  test.each(['hixie-75', 'hixie-76', 'hybi-08'] as const)('%s as RFC 6455', (generation) => {
    const client = clients[generation](
      ['Cookie', 'a=1'],
      [generation === 'hixie-75' ? 'Pragma' : 'Sec-WebSocket-Extensions', 'no-cache'],
      ['Authorization', 'Basic eDp5'],
      ['Content-Length', generation === 'hixie-76' ? '8' : '0'],
    );
    const { request, key3 } = translated(client, 'rfc6455');
    const key = request.head.headers.get('sec-websocket-key')!;
    expect(offered(request).toSorted()).toEqual(
      [
        'GET /chat?room=1 HTTP/1.1',
        'Host: x',
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Origin: http://a',
        'Cookie: a=1',
        ...(generation === 'hixie-75' ? ['Pragma: no-cache'] : []),
        'Authorization: Basic eDp5',
        'Sec-WebSocket-Version: 13',
        `Sec-WebSocket-Key: ${key}`,
      ].toSorted(),
    );
    expect(key).not.toBe(KEY);
    expect(request).toMatchObject({ generation: 'rfc6455', framing: 'rfc6455', extensions: [] });
    expect(request.proof).toEqual({ kind: 'accept', accept: acceptFor(key) });
    expect(key3).toHaveLength(0);
    expect(readUpgrade(request.head)).toMatchObject({
      request: { generation: 'rfc6455', origin: 'http://a' },
    });
  });

  test.each(['hixie-75', 'hybi-08', 'rfc6455'] as const)('%s as Hixie-76', (generation) => {
    const client = clients[generation](['Cookie', 'a=1'], ...(generation === 'hixie-75' ? [] : [deflate]));
    const { request, key3 } = translated(client, 'hixie-76');
    const { headers } = request.head;
    const [key1, key2] = [headers.get('sec-websocket-key1')!, headers.get('sec-websocket-key2')!];
    expect(offered(request).toSorted()).toEqual(
      [
        'GET /chat?room=1 HTTP/1.1',
        'Host: x',
        'Connection: Upgrade',
        'Upgrade: WebSocket',
        'Origin: http://a',
        'Cookie: a=1',
        `Sec-WebSocket-Key1: ${key1}`,
        `Sec-WebSocket-Key2: ${key2}`,
      ].toSorted(),
    );
    const numbers = { number1: keyNumber(key1), number2: keyNumber(key2) };
    expect(request.proof).toEqual({ kind: 'challenge', ...numbers });
    expect(key3).toHaveLength(8);
    expect(readUpgrade(request.head)).toMatchObject({ request: { generation: 'hixie-76' } });
  });

  test('other fields keep their order', () => {
    const client = clients['hixie-76'](['A', '1'], ['Cookie', 'c'], ['A', '2']);
    const names = offered(translated(client, 'rfc6455').request).map((line) => line.split(':')[0]);
    expect(names.slice(1)).toEqual(
      ['Host', 'Connection', 'Upgrade', 'Origin', 'A', 'Cookie', 'A'].concat(
        'Sec-WebSocket-Version',
        'Sec-WebSocket-Key',
      ),
    );
  });

  test('subprotocols: all to RFC 6455, the first to Hixie', () => {
    const many = clients.rfc6455(['Sec-WebSocket-Protocol', 'b, a'], ['Sec-WebSocket-Protocol', 'c']);
    const { request } = translated(many, 'hixie-76');
    expect(request.head.headers.all('sec-websocket-protocol')).toEqual(['b']);
    expect(request.subprotocols).toEqual(['b']);
    const later = clients['hybi-08'](['Sec-WebSocket-Protocol', 'b, a']);
    const { head } = translated(later, 'rfc6455').request;
    expect(head.headers.all('sec-websocket-protocol')).toEqual(['b, a']);
    const old = clients['hixie-75'](['WebSocket-Protocol', 'chat']);
    expect(translated(old, 'rfc6455').request.head.headers.toRaw().slice(-2)).toEqual([
      'Sec-WebSocket-Protocol',
      'chat',
    ]);
  });

  test('a subprotocol that is no token is said to be one', () => {
    const client = clients['hixie-76'](['Sec-WebSocket-Protocol', 'two words']);
    expect(untranslatable(client, 'rfc6455')).toBe(
      'the subprotocol "two words" cannot be offered to an RFC 6455 server: it is no token',
    );
  });

  test('a generation whose frames nobody reads is none', () => {
    const client = upgradeOf(
      ['Upgrade', 'websocket'],
      ['Sec-WebSocket-Version', '6'],
      ['Sec-WebSocket-Key', KEY],
    );
    expect(untranslatable(client, 'rfc6455')).toBe('hybi-04 cannot be translated into rfc6455');
  });

  test('without an origin Hixie hears of an opaque one, RFC 6455 of none', () => {
    const bare: [string, string][] = [
      ['Upgrade', 'websocket'],
      ['Sec-WebSocket-Version', '8'],
      ['Sec-WebSocket-Key', KEY],
    ];
    const to = (generation: 'rfc6455' | 'hixie-76') =>
      translated(upgradeOf(...bare), generation).request.head.headers.all('origin');
    expect(to('hixie-76')).toEqual(['null']);
    expect(to('rfc6455')).toEqual([]);
  });

  test('every key of ours is one by the draft', () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.nat({ max: 0xffff_ffff })), (numbers) => {
        const random = (count: number): Buffer => {
          const bytes = Buffer.alloc(count);
          bytes.writeUInt32BE(numbers.next().value as number);
          return bytes;
        };
        const { text, number } = makeKey(random);
        expect(text).toMatch(/^[\x21-\x7e][\x20-\x7e]*[\x21-\x7e]$/);
        const spaces = text.split(' ').length - 1;
        const digits = Number(text.replace(/\D/g, ''));
        const noise = text.replace(/[ \d]/g, '').length;
        expect(spaces >= 1 && spaces <= 12 && noise >= 1 && noise <= 12).toBe(true);
        expect(digits).toBe(number * spaces);
        expect(number).toBeLessThanOrEqual(0xffff_ffff);
        expect(keyNumber(text)).toBe(number);
      }),
    );
  });
});

describe('the answer', () => {
  const modern = {
    httpVersion: '1.1',
    status: 101,
    reason: 'Switching Protocols',
    headers: HeaderList.fromRaw(
      [
        ['Date', 'today'],
        ['Connection', 'upgrade, X-Hop'],
        ['X-Hop', '1'],
        ['Upgrade', 'websocket'],
        ['Sec-WebSocket-Accept', 'theirs'],
        ['Sec-WebSocket-Protocol', 'chat'],
        ['Set-Cookie', 'a=1'],
        ['Set-Cookie', 'b=2'],
      ].flat(),
    ),
  };
  const old = {
    httpVersion: '1.1',
    status: 101,
    reason: 'WebSocket Protocol Handshake',
    headers: HeaderList.fromRaw(
      [
        ['Upgrade', 'WebSocket'],
        ['Connection', 'Upgrade'],
        ['Sec-WebSocket-Origin', 'http://a'],
        ['Sec-WebSocket-Location', 'ws://inside/'],
        ['Set-Cookie', 'a=1'],
      ].flat(),
    ),
  };
  const key3 = Buffer.from(vector.key3, 'hex');
  const textOf = (client: UpgradeRequest, head: typeof old) =>
    switchText(client, head, { secure: true, host: 'x:443' }).split('\r\n').slice(0, -2);

  test('to Hixie-75: the first 85 bytes literally', () => {
    const client = clients['hixie-75'](['WebSocket-Protocol', 'chat']);
    const { head, challenge } = translateAnswer(client, modern, 'chat', Buffer.alloc(0));
    expect(textOf(client, head)).toEqual([
      'HTTP/1.1 101 Web Socket Protocol Handshake',
      'Upgrade: WebSocket',
      'Connection: Upgrade',
      'WebSocket-Origin: http://a',
      'WebSocket-Location: wss://x/chat?room=1',
      'WebSocket-Protocol: chat',
      'Date: today',
      'Set-Cookie: a=1',
      'Set-Cookie: b=2',
    ]);
    expect(challenge).toHaveLength(0);
    expect(verifyAnswer(client, head)).toMatchObject({ kind: 'switch', subprotocol: 'chat' });
  });

  test('to Hixie-76: with the challenge for its own keys', () => {
    const client = clients['hixie-76']();
    const { head, challenge } = translateAnswer(client, modern, undefined, key3);
    expect(textOf(client, head)).toEqual([
      'HTTP/1.1 101 WebSocket Protocol Handshake',
      'Upgrade: WebSocket',
      'Connection: Upgrade',
      'Sec-WebSocket-Origin: http://a',
      'Sec-WebSocket-Location: wss://x/chat?room=1',
      'Date: today',
      'Set-Cookie: a=1',
      'Set-Cookie: b=2',
    ]);
    expect(challenge.toString('hex')).toBe(vector.challenge);
  });

  test.each(['hybi-08', 'rfc6455'] as const)(
    'of Hixie to %s: the accept value for its own key',
    (generation) => {
      const client = clients[generation](['Sec-WebSocket-Protocol', 'chat, talk']);
      const { head, challenge } = translateAnswer(client, old, 'chat', Buffer.alloc(0));
      expect(textOf(client, head)).toEqual([
        'HTTP/1.1 101 Switching Protocols',
        'Upgrade: websocket',
        'Connection: Upgrade',
        `Sec-WebSocket-Accept: ${acceptFor(KEY)}`,
        'Sec-WebSocket-Protocol: chat',
        'Set-Cookie: a=1',
      ]);
      expect(challenge).toHaveLength(0);
      expect(verifyAnswer(client, head)).toMatchObject({ kind: 'switch', subprotocol: 'chat' });
    },
  );
});

test.each([
  ['hixie-76', 'same', undefined],
  ['hixie-76', 'hixie-76', undefined],
  ['rfc6455', 'rfc6455', undefined],
  ['hixie-75', 'hixie-76', 'hixie-76'],
  ['hybi-08', 'rfc6455', 'rfc6455'],
  ['hybi-04', 'rfc6455', 'rfc6455'],
] as const)('a %s client where upstreamGeneration is %s: %s', (client, upstream, target) => {
  expect(translationTarget(client, upstream)).toBe(target);
});
