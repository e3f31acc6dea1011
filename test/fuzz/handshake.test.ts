import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { offerText } from '../../src/protocol/handshake/offer.js';
import { readUpgrade } from '../../src/protocol/handshake/read.js';
import { verifyAnswer } from '../../src/protocol/handshake/verify.js';
import { isFieldValue, isToken } from '../../src/protocol/http/grammar.js';
import { HeaderList } from '../../src/protocol/http/header-list.js';
import { damaged, fuzz, some } from './fuzz.js';

const bytes = (...texts: string[]): Buffer[] => texts.map((text) => Buffer.from(text, 'latin1'));

const requestFields = bytes(
  'Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n',
  'Upgrade: WebSocket\r\nConnection: Upgrade\r\nOrigin: http://a.example\r\n',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n',
  "Sec-WebSocket-Key1: '6F24 >168D1m/2T7b\r\nSec-WebSocket-Key2: 3 84w6 5 u{U45 7 17\r\n",
  'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x; a="b,c\\"d"\r\n',
  'Sec-WebSocket-Protocol: chat, superchat\r\n',
  'Content-Length: 8\r\n',
  'Connection: X-Own\r\nX-Own: 1\r\n',
  'Connection: Host, X-Forwarded-For, Upgrade\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n',
);
const answerFields = bytes(
  'Upgrade: websocket\r\nConnection: Upgrade\r\n',
  'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n',
  'Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n',
  'Sec-WebSocket-Protocol: chat\r\n',
);

it('handshakes: an offer is one clean request of ours', () => {
  fuzz(damaged(some(requestFields, 6)), (stream) => {
    const headers = fieldsOf(stream);
    const result = readUpgrade({ method: 'GET', target: '/chat?x', httpVersion: '1.1', headers });
    if (result.kind === 'reject') expect(result.reason).toMatch(/^[\x20-\x7e]{10,200}$/);
    if (result.kind !== 'upgrade') return;
    const offer = offerText(result.request, 'a.example', {
      clientAddress: '192.0.2.7',
      proto: 'http',
      host: 'a.example',
      trusted: false,
      style: 'both',
    });

    expect(offer.indexOf('\r\n\r\n')).toBe(offer.length - 4);
    const [line, ...fields] = offer.slice(0, -4).split('\r\n');
    expect(line).toBe('GET /chat?x HTTP/1.1');
    const written = HeaderList.fromRaw(
      fields.flatMap((field) => [field.split(':')[0]!, field.replace(/^[^:]*: /, '')]),
    );
    expect(written.all('host')).toEqual(['a.example']);
    expect(written.all('upgrade')).toEqual([result.request.upgradeToken]);
    expect(written.all('connection')).toEqual(['Upgrade']);
    expect(written.all('x-forwarded-for')).toEqual(['192.0.2.7']);
    expect(written.all('forwarded')).toEqual(['for=192.0.2.7;proto=http;host=a.example']);
    expect(written.has('x-own') && headers.hasToken('connection', 'x-own')).toBe(false);
    expect(written.has('content-length') || written.has('transfer-encoding')).toBe(false);
    for (const name of ['sec-websocket-key', 'sec-websocket-key1', 'sec-websocket-extensions']) {
      expect(written.all(name)).toEqual(headers.all(name));
    }
  });
});

const request = readUpgrade({
  method: 'GET',
  target: '/',
  httpVersion: '1.1',
  headers: fieldsOf(
    Buffer.concat([requestFields[0]!, requestFields[2]!, requestFields[4]!, requestFields[5]!]),
  ),
});

it('handshakes: only a true switch opens', () => {
  fuzz(fc.tuple(damaged(some(answerFields, 6)), fc.constantFrom(101, 101, 200)), (input) => {
    const [stream, status] = input;
    if (request.kind !== 'upgrade') throw new Error('the request is no handshake');
    const headers = fieldsOf(stream);
    const verdict = verifyAnswer(request.request, { httpVersion: '1.1', status, reason: '', headers });
    if (verdict.kind !== 'switch') return;
    expect(status).toBe(101);
    expect(headers.all('sec-websocket-accept')).toEqual(['s3pPLMBiTxaQ9kYGzzhZRbK+xOo=']);
    expect(headers.hasToken('upgrade', 'websocket') && headers.hasToken('connection', 'upgrade')).toBe(true);
    expect([undefined, 'chat', 'superchat']).toContain(verdict.subprotocol);
  });
});

/** Fields as a strict parser would have handed them up: what it would refuse is left out. */
function fieldsOf(stream: Buffer): HeaderList {
  const headers = new HeaderList();
  for (const line of stream.toString('latin1').split('\r\n')) {
    const [, name, value] = /^([^:]*):[ \t]*(.*?)[ \t]*$/s.exec(line) ?? [];
    if (name !== undefined && value !== undefined && isToken(name) && isFieldValue(value))
      headers.append(name, value);
  }
  return headers;
}
