import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatDuration, formatSize, parseDuration, parseSize } from './units.js';

describe('parseDuration', () => {
  it.each([
    ['250ms', 250],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['2d', 172_800_000],
    ['1.5s', 1500],
    ['1.1s', 1100],
    [' 30 s ', 30_000],
    ['0s', 0],
    ['0ms', 0],
  ])('%j is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each([
    '',
    '30',
    's',
    '-1s',
    '+1s',
    '1e3s',
    '1s2ms',
    '.5s',
    '1.s',
    '30S',
    '1 w',
    '1KiB',
    '0x10s',
    '1toString',
    '1constructor',
    '1__proto__',
    `${'9'.repeat(400)}d`,
    '9007199254740993ms',
  ])('%j is no duration', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  it('refuses a time that would be rounded to 0, which means never', () => {
    expect(parseDuration('0.4ms')).toBeUndefined();
    expect(parseDuration('0.5ms')).toBe(1);
  });
});

describe('parseSize', () => {
  it.each([
    ['512B', 512],
    ['16KiB', 16_384],
    ['1MiB', 1_048_576],
    ['2GiB', 2_147_483_648],
    ['1.5KiB', 1536],
  ])('%j is %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(['1KB', '1kib', '1mb', '10', '1s', '1.5.5KiB'])('%j is no size', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });
});

describe('format', () => {
  it.each([
    [0, '0ms'],
    [1, '1ms'],
    [90_000, '90s'],
    [60_000, '1m'],
    [86_400_000, '1d'],
    [1500, '1500ms'],
  ])('%d ms is %j', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it.each([
    [0, '0B'],
    [1000, '1000B'],
    [16_384, '16KiB'],
    [1_048_576, '1MiB'],
    [1_048_577, '1048577B'],
  ])('%d bytes is %j', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
  });

  it('is read back as the same number', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (n) => {
        expect(parseDuration(formatDuration(n))).toBe(n);
        expect(parseSize(formatSize(n))).toBe(n);
      }),
    );
  });
});
