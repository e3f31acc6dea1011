import { describe, expect, it } from 'vitest';
import { requestHeadText } from '../http/head.js';
import { HeaderList } from '../http/header-list.js';
import { readOwnHead, requestFields } from './to-server.js';

function fieldsOf(target: string, fields: readonly (readonly [string, string])[], method = 'GET') {
  const text = requestHeadText(method, target, HeaderList.fromRaw(fields.flat()));
  return { ...requestFields(readOwnHead(text), 'http') };
}

const handshake = [
  ['Host', 'app.example:8080'],
  ['Upgrade', 'websocket'],
  ['Connection', 'Upgrade'],
  ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
  ['Sec-WebSocket-Version', '13'],
] as const;

describe('a handshake', () => {
  it('becomes an extended CONNECT (RFC 8441 §5.1)', () => {
    expect(fieldsOf('/chat?a=b', [...handshake, ['Origin', 'https://app.example']])).toEqual({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': 'http',
      ':authority': 'app.example:8080',
      ':path': '/chat?a=b',
      'sec-websocket-version': '13',
      origin: 'https://app.example',
    });
  });

  it('leaves with a path where its target names the host, too', () => {
    expect(fieldsOf('http://app.example/chat', handshake)[':path']).toBe('/chat');
    expect(fieldsOf('http://app.example?a', handshake)[':path']).toBe('/?a');
    expect(fieldsOf('HTTPS://app.example', handshake)[':path']).toBe('/');
  });

  it('joins what stands there several times, and takes any name', () => {
    const fields = fieldsOf('/', [
      ...handshake,
      ['User-Agent', 'one'],
      ['user-agent', 'two'],
      ['Cookie', 'a=1'],
      ['Cookie', 'b=2'],
      ['__proto__', 'x'],
    ]);
    expect(fields).toMatchObject({ 'user-agent': 'one, two', cookie: 'a=1; b=2' });
    expect(Object.getOwnPropertyDescriptor(fields, '__proto__')?.value).toBe('x');
  });
});

it('another request keeps its method, and loses what belongs to a connection', () => {
  const fields = [
    ['Host', 'x'],
    ['Connection', 'close'],
    ['TE', 'trailers'],
    ['Content-Length', '3'],
  ] as const;
  expect(fieldsOf('/a', fields, 'POST')).toEqual({
    ':method': 'POST',
    ':scheme': 'http',
    ':authority': 'x',
    ':path': '/a',
    te: 'trailers',
    'content-length': '3',
  });
});
