import { describe, expect, it } from 'vitest';
import { renewalTime, restMs, retryMs } from './timing.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const from = new Date('2026-01-01T00:00:00Z');
const lasting = (ms: number) => ({ from, to: new Date(from.getTime() + ms) });
const daysIn = (date: Date): number => (date.getTime() - from.getTime()) / DAY;

describe('renewalTime', () => {
  it.each<[string, number, number | undefined, number, number]>([
    ['a third of its life', 90 * DAY, undefined, 0, 60],
    ['earlier by chance', 90 * DAY, undefined, 1, 55.5],
    ['as configured', 90 * DAY, 10 * DAY, 0, 80],
    ['as configured, earlier by chance', 90 * DAY, 10 * DAY, 0.5, 77.75],
    ['a short life', 6 * DAY, undefined, 0, 4],
    ['never in the first half of its life', 6 * DAY, 30 * DAY, 1, 3],
  ])('%s', (_, life, before, chance, days) => {
    expect(daysIn(renewalTime(lasting(life), before, chance))).toBeCloseTo(days, 6);
  });
});

describe('restMs', () => {
  it('is an hour, but a part of a short life', () => {
    expect(restMs(lasting(90 * DAY))).toBe(HOUR);
    expect(restMs(lasting(HOUR))).toBe(15 * MINUTE);
    // Dates that make no sense do not make it order without end.
    expect(restMs(lasting(-DAY))).toBe(MINUTE);
  });
});

describe('retryMs', () => {
  const refused = { isRefusal: true };
  const unreached = { isRefusal: false };

  it('grows, to a limit', () => {
    const minutes = (about: typeof refused) =>
      [1, 2, 3, 4, 20].map((failures) => retryMs(failures, about, 0) / MINUTE);
    expect(minutes(refused)).toEqual([5, 10, 20, 40, 720]);
    expect(minutes(unreached)).toEqual([10 / 60, 20 / 60, 40 / 60, 80 / 60, 60]);
  });

  it('keeps below five refusals an hour', () => {
    let [at, attempts] = [0, 1];
    for (; at < HOUR; attempts++) at += retryMs(attempts, refused, 0);
    expect(attempts - 1).toBeLessThan(5);
  });

  it('is longer by chance', () => {
    expect(retryMs(1, refused, 1)).toBe(6 * MINUTE);
  });

  it('waits at least as long as it was asked to, within reason', () => {
    expect(retryMs(1, { ...refused, retryAfterMs: 3 * HOUR }, 0)).toBe(3 * HOUR);
    expect(retryMs(1, { ...refused, retryAfterMs: 1000 }, 0)).toBe(5 * MINUTE);
    expect(retryMs(1, { ...refused, retryAfterMs: 1e15 }, 0)).toBe(7 * DAY);
  });
});
