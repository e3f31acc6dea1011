import { describe, expect, it } from 'vitest';
import { editDistance, nearest } from './nearest.js';

describe('editDistance', () => {
  it.each([
    ['', '', 0],
    ['', 'abc', 3],
    ['chat', 'chat', 0],
    ['chta', 'chat', 1],
    ['cat', 'chat', 1],
    ['chats', 'chat', 1],
    ['that', 'chat', 1],
    ['kitten', 'sitting', 3],
  ])('%j to %j takes %d', (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
    expect(editDistance(b, a)).toBe(distance);
  });
});

describe('nearest', () => {
  const keys = ['headerTimeout', 'keepAliveTimeout', 'to', 'match', 'address'];
  it.each([
    ['header_timeout', 'headerTimeout'],
    ['HeaderTimeout', 'headerTimeout'],
    ['heaaderTimeuot', 'headerTimeout'],
    ['adress', 'address'],
    ['macht', 'match'],
    ['tls', undefined],
    ['x', undefined],
    ['health', undefined],
  ])('%j was meant to be %j', (word, meant) => {
    expect(nearest(word, keys)).toBe(meant);
  });
});
