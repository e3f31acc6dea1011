import { describe, expect, it } from 'vitest';
import type { Parsed } from './leaf.js';
import { parseServerUrl } from './server-url.js';

describe('server URLs', () => {
  it.each([
    ['http://127.0.0.1:3001', false, { host: '127.0.0.1', port: 3001 }, '127.0.0.1:3001'],
    ['http://127.0.0.1:3001/', false, { host: '127.0.0.1', port: 3001 }, '127.0.0.1:3001'],
    ['http://app', false, { host: 'app', port: 80 }, 'app'],
    ['http://app:80', false, { host: 'app', port: 80 }, 'app'],
    ['HTTPS://Chat.Internal', true, { host: 'chat.internal', port: 443 }, 'chat.internal'],
    ['https://chat.internal:8443', true, { host: 'chat.internal', port: 8443 }, 'chat.internal:8443'],
    ['http://[::1]:3000', false, { host: '::1', port: 3000 }, '[::1]:3000'],
    ['unix:/run/chat.sock', false, { socketPath: '/run/chat.sock' }, 'localhost'],
    ['unix:///run/chat.sock', false, { socketPath: '/run/chat.sock' }, 'localhost'],
    ['unix:chat.sock', false, { socketPath: 'chat.sock' }, 'localhost'],
  ])('%s', (text, secure, address, host) => {
    expect(value(parseServerUrl(text))).toMatchObject({ secure, address, host });
  });

  it.each([
    ['', undefined],
    ['chat', undefined],
    ['127.0.0.1', undefined],
    ['localhost:3000', 'http://localhost:3000'],
    ['127.0.0.1:3000/', 'http://127.0.0.1:3000'],
    ['[::1]:3000', 'http://[::1]:3000'],
    ['3000', 'http://127.0.0.1:3000'],
    ['http://3000', 'http://127.0.0.1:3000'],
    ['ws://chat:3000', 'http://chat:3000'],
    ['wss://chat', 'https://chat'],
    ['/run/chat.sock', 'unix:/run/chat.sock'],
    ['http://chat/api', 'http://chat'],
    ['http://chat/?x', 'http://chat'],
    ['http://chat?', 'http://chat'],
    ['http://chat/#x', 'http://chat'],
    ['http://user:secret@chat', 'http://chat'],
    ['ftp://chat', undefined],
    ['http:chat', undefined],
    ['http:///chat', undefined],
    ['http://cha t', undefined],
    ['http://chat:99999', undefined],
    ['http://chat:0', undefined],
    ['unix:', undefined],
    ['unix:/run/', undefined],
  ])('%j is none', (text, suggestion) => {
    expect(parseServerUrl(text)).toMatchObject({ ok: false, suggestion });
  });

  it('does not repeat a password', () => {
    const parsed = parseServerUrl('http://user:secret@chat');
    expect(JSON.stringify(parsed)).not.toContain('secret');
  });
});

function value<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(parsed.wrong);
  return parsed.value;
}
