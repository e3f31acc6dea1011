import { describe, expect, it } from 'vitest';
import type { Parsed } from './leaf.js';
import { parsePathPattern, pathCovers } from './path-pattern.js';

describe('path patterns', () => {
  it.each([
    ['', '/'],
    ['live', '/live'],
    ['*', '/*'],
    ['http://h/live', '/live'],
    ['/live*', '/live/*'],
    ['/a/live*', '/a/live/*'],
    ['/*.js', '/*'],
    ['/**', '/*'],
    ['/a/**/b', '/a/*'],
    ['/live?x=1', '/live'],
    ['/live#x', '/live'],
    ['/a b', undefined],
    ['/a/../b', '/b'],
    ['/a/%2e/b', '/a/b'],
    ['/..', '/'],
    ['/%2E', '/'],
  ])('%j is none', (text, suggestion) => {
    expect(parsePathPattern(text)).toMatchObject({ ok: false, suggestion });
  });

  it.each([
    ['/*', '/', true],
    ['/*', '/*', true],
    ['/a', '/a', true],
    ['/a', '/a/', false],
    ['/a/*', '/a', true],
    ['/a/*', '/a/*', true],
    ['/a/*', '/a/b/*', true],
    ['/a/b/*', '/a/*', false],
    ['/a', '/a/*', false],
    ['/*/b', '/a/b', true],
    ['/a/b', '/*/b', false],
    ['/*/*', '/a/*', true],
    ['/*/*', '/', false],
    ['/*/*', '/*', false],
  ])('%s covers %s: %s', (a, b, expected) => {
    expect(pathCovers(value(parsePathPattern(a)), value(parsePathPattern(b)))).toBe(expected);
  });
});

function value<T>(parsed: Parsed<T>): T {
  if (!parsed.ok) throw new Error(parsed.wrong);
  return parsed.value;
}
