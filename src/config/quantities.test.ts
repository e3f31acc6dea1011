import { describe, expect, it } from 'vitest';
import { duration, durationOrNever, durationOrZero, size } from './quantities.js';

describe('durations and sizes', () => {
  it.each([
    [duration(), '30s', 30_000],
    [duration(), '1.5m', 90_000],
    [durationOrNever(), 'never', 0],
    [durationOrNever(), 0, 0],
    [durationOrNever(), '0s', 0],
    [durationOrZero(), 0, 0],
    [size(1, 1024 ** 2), '16KiB', 16_384],
    [size(1, 1024 ** 2), 512, 512],
  ])('%#: %j', (schema, written, expected) => {
    expect(schema.parse(written)).toBe(expected);
  });

  it.each([
    [duration(), 30, '30s'],
    [duration(), '30', '30s'],
    [duration(), '10 sec', '10s'],
    [duration(), '5min', '5m'],
    [duration(), '2 Hours', '2h'],
    [duration(), '0s', undefined],
    [duration(), 'never', undefined],
    [duration(), '25d', undefined],
    [duration(), '0.1ms', undefined],
    [durationOrNever(), '0.4ms', undefined],
    [durationOrZero(), 'never', undefined],
    [size(1024, 2048), '1KB', '1KiB'],
    [size(1024, 2048), '2k', '2KiB'],
    [size(1024, 2048), '1B', undefined],
    [size(1024, 2048), 4096, undefined],
    [size(1024, 2048), 1024.5, undefined],
  ])('%#: %j is none', (schema, written, suggestion) => {
    const issue = schema.safeParse(written).error?.issues[0];
    expect(issue).toMatchObject({ code: 'custom', params: { suggestion } });
  });
});
