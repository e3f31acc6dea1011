import { expect, it } from 'vitest';
import { compilePattern, firstMatch } from './pattern.js';

it.each<[string, string, boolean]>([
  ['news', 'news', true],
  ['news', 'newsy', false],
  ['*', '', true],
  ['*', 'anything', true],
  ['chat:*', 'chat:', true],
  ['chat:*', 'chat:1', true],
  ['chat:*', 'a chat:1', false],
  ['*:private', 'x:private', true],
  ['*:private', 'x:private:y', false],
  ['a*a', 'a', false],
  ['a*a', 'aa', true],
  ['a*b*c', 'a-b-c', true],
  ['a*b*c', 'a-c', false],
  ['a*bc*c', 'abc', false],
  ['a*b*b', 'ab', false],
  ['a**c', 'abc', true],
  ['a.c', 'abc', false],
])('%s and %j: %s', (pattern, channel, fits) => {
  expect(compilePattern(pattern)(channel)).toBe(fits);
});

it('lets the first that fits decide', () => {
  const rule = firstMatch([
    { channels: 'chat:lobby', value: 1 },
    { channels: 'chat:*', value: 2 },
  ]);
  expect(['chat:lobby', 'chat:x', 'news'].map(rule)).toEqual([1, 2, undefined]);
});
