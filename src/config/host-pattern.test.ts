import { describe, expect, it } from 'vitest';
import { hostCovers, parseHostPattern } from './host-pattern.js';
import type { Parsed } from './leaf.js';

describe('host patterns', () => {
  it.each([
    ['', undefined],
    ['*', undefined],
    ['*.', undefined],
    ['a*.example.com', undefined],
    ['*.*.example.com', undefined],
    ['chat..example.com', undefined],
    ['.example.com', undefined],
    ['chat example.com', undefined],
    ['chat.example.com:8080', 'chat.example.com'],
    ['*.example.com:80', '*.example.com'],
    ['[::1]:80', '[::1]'],
    ['http://chat.example.com/x', 'chat.example.com'],
    ['*.127.0.0.1', undefined],
    ['chat.example.com/x', undefined],
  ])('%j is none', (text, suggestion) => {
    expect(parseHostPattern(text)).toMatchObject({ ok: false, suggestion });
  });

  it.each([
    ['a.example', 'A.example.', true],
    ['a.example', 'b.example', false],
    ['*.example', 'a.example', true],
    ['*.example', '*.a.example', true],
    ['*.example', '*.example', true],
    ['*.example', 'example', false],
    ['*.a.example', '*.example', false],
    ['a.example', '*.example', false],
  ])('%s covers %s: %s', (a, b, expected) => {
    expect(hostCovers(value(parseHostPattern(a)), value(parseHostPattern(b)))).toBe(expected);
  });
});

function value<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(parsed.wrong);
  return parsed.value;
}
