import { describe, expect, it } from 'vitest';
import { isFieldValue, isHost, isToken, trimWhitespace } from './grammar.js';

const everyCharacter = Array.from({ length: 0x120 }, (_, code) => String.fromCharCode(code));

describe('isToken', () => {
  it('takes exactly the tchar of RFC 9110 §5.6.2', () => {
    const taken = everyCharacter.filter((c) => isToken(c)).join('');
    expect(taken).toBe("!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~");
  });

  it.each(['', 'a b', 'a\n', '\na', 'a:', 'naïve'])('does not take %j', (text) => {
    expect(isToken(text)).toBe(false);
  });
});

describe('isFieldValue', () => {
  it('takes tab, visible ASCII, space and bytes from 0x80, nothing else', () => {
    const refused = everyCharacter.filter((c) => !isFieldValue(c)).map((c) => c.charCodeAt(0));
    const controls = Array.from({ length: 0x20 }, (_, code) => code).filter((code) => code !== 9);
    const beyondLatin1 = Array.from({ length: 0x20 }, (_, i) => 0x100 + i);
    expect(refused).toEqual([...controls, 0x7f, ...beyondLatin1]);
  });

  it.each(['a\r\nb', 'a\n', '\ra', 'a\0b', 'a\u010d\u010ab'])('does not take %j', (text) => {
    expect(isFieldValue(text)).toBe(false);
  });

  it('takes the empty value', () => {
    expect(isFieldValue('')).toBe(true);
  });
});

describe('isHost', () => {
  it.each([
    'example.com',
    'example.com:8080',
    'example.com:',
    'EXAMPLE.com.',
    '127.0.0.1:1',
    '[::1]',
    '[::1]:8080',
    '[fe80::1%25eth0]:80',
    'xn--mnchen-3ya.de',
    'a_b.example',
  ])('takes %j', (text) => {
    expect(isHost(text)).toBe(true);
  });

  it.each([
    '',
    ':80',
    'a b',
    'a/b',
    'user@host',
    'host:80:90',
    'host:http',
    'host:123456',
    '::1',
    '[::1',
    '::1]',
    '[]',
    '[::1]x',
    'host\r\nX: y',
    'host\n',
    'hôst',
    'a"b',
    'a?b',
    'a#b',
    'a\\b',
  ])('does not take %j', (text) => {
    expect(isHost(text)).toBe(false);
  });
});

describe('trimWhitespace', () => {
  it.each([
    ['', ''],
    [' \t ', ''],
    ['\t a b\t', 'a b'],
    ['\u00a0a\u00a0', '\u00a0a\u00a0'],
    ['\va\f', '\va\f'],
  ])('makes %j into %j', (text, trimmed) => {
    expect(trimWhitespace(text)).toBe(trimmed);
  });
});
