import { describe, expect, it } from 'vitest';
import { HeaderList } from './header-list.js';
import { removeHopByHop } from './hop-by-hop.js';

function cleaned(raw: string[], upgrade?: string): string[] {
  const headers = HeaderList.fromRaw(raw);
  removeHopByHop(headers, upgrade);
  return headers.toRaw();
}

describe('removeHopByHop', () => {
  it.each([
    'Connection',
    'Proxy-Connection',
    'Keep-Alive',
    'TE',
    'Transfer-Encoding',
    'Upgrade',
    'HTTP2-Settings',
    'Proxy-Authenticate',
    'Proxy-Authorization',
  ])('drops %s, in any case', (name) => {
    expect(cleaned(['Host', 'a', name, 'x', name.toUpperCase(), 'y', name.toLowerCase(), 'z'])).toEqual([
      'Host',
      'a',
    ]);
  });

  it('drops what Connection names, in every one of its fields and elements', () => {
    const raw = [
      'X-One',
      '1',
      'connection',
      'close, x-one',
      'X-TWO',
      '2',
      'Connection',
      ',X-Two ,, x-absent',
      'X-Three',
      '3',
    ];
    expect(cleaned(raw)).toEqual(['X-Three', '3']);
  });

  it.each([
    'Host',
    'Content-Length',
    'Content-Type',
    'Content-Encoding',
    'Cookie',
    'Set-Cookie',
    'Origin',
    'Authorization',
    'Sec-WebSocket-Key',
    'Sec-WebSocket-Key1',
    'Sec-WebSocket-Protocol',
    'WebSocket-Protocol',
    'X-Forwarded-For',
    'X-Forwarded-Proto',
    'X-Forwarded-Host',
    'X_Forwarded_For',
    'X-Real-IP',
    'Forwarded',
  ])('does not let Connection name %s away', (name) => {
    expect(cleaned(['Connection', `close, ${name.toLowerCase()}`, name, 'v'])).toEqual([name, 'v']);
    expect(cleaned(['Connection', `${name}, Upgrade`, name, 'v'], 'websocket')).toContain(name);
  });

  it.each([
    [
      ['TE', 'trailers'],
      ['TE', 'trailers'],
    ],
    [
      ['Connection', 'TE', 'TE', 'gzip, Trailers'],
      ['TE', 'trailers'],
    ],
    [['TE', 'gzip'], []],
    [['TE', 'trailers;q=0.5'], []],
  ])('of TE keeps only trailers: %j', (raw, kept) => {
    expect(cleaned(raw)).toEqual(kept);
  });

  it('keeps an upgrade with exactly its token and Connection: Upgrade, where they stand', () => {
    const raw = [
      'upgrade',
      'websocket, h2c',
      'Host',
      'a',
      'CONNECTION',
      'keep-alive, Upgrade, X-One',
      'X-One',
      '1',
    ];
    expect(cleaned(raw, 'websocket')).toEqual(['upgrade', 'websocket', 'Host', 'a', 'CONNECTION', 'Upgrade']);
  });

  it('puts an upgrade of several fields into one', () => {
    const raw = [
      'Upgrade',
      'h2c',
      'Connection',
      'Upgrade',
      'Upgrade',
      'WebSocket',
      'Connection',
      'HTTP2-Settings',
    ];
    expect(cleaned([...raw, 'HTTP2-Settings', 'AAMAAABkAAQ'], 'WebSocket')).toEqual([
      'Upgrade',
      'WebSocket',
      'Connection',
      'Upgrade',
    ]);
  });

  it('cleans an upgrade like any other message', () => {
    const raw = [
      'Upgrade',
      'websocket',
      'Connection',
      'upgrade',
      'Keep-Alive',
      '5',
      'Transfer-Encoding',
      'chunked',
    ];
    expect(cleaned(raw, 'websocket')).toEqual(['Upgrade', 'websocket', 'Connection', 'Upgrade']);
  });

  it('leaves the rest alone', () => {
    const raw = ['Host', 'a', 'Trailer', 'X', 'X-Keep-Alive', '1', 'Set-Cookie', '1', 'set-cookie', '2'];
    expect(cleaned(raw)).toEqual(raw);
  });
});
