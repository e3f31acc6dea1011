import { expect, test } from 'vitest';
import { TokenBucket } from './token-bucket.js';

test('lets one second’s worth through at once, then as much as time brings', () => {
  const bucket = new TokenBucket(10);
  expect(bucket.available(5000)).toBe(10);
  bucket.spend(10);
  expect(bucket.available(5099)).toBe(0);
  expect(bucket.available(5100)).toBe(1);
  expect(bucket.available(5350)).toBe(3);
  expect(bucket.available(60_000)).toBe(10);
});

test('a rate below one a second still lets one through', () => {
  const bucket = new TokenBucket(0.5);
  expect(bucket.available(0)).toBe(1);
  bucket.spend(1);
  expect(bucket.available(1999)).toBe(0);
  expect(bucket.available(2000)).toBe(1);
});

test('a debt is paid back first; time that runs backwards brings nothing', () => {
  const bucket = new TokenBucket(100);
  expect(bucket.available(1000)).toBe(100);
  bucket.spend(150);
  expect(bucket.available(1400)).toBe(-10);
  expect(bucket.available(900)).toBe(-10);
  expect(bucket.available(1600)).toBe(10);
});
