import { describe, expect, it } from 'vitest';
import { ManualClock } from '../base/manual-clock.js';
import { RetryBudget } from './retry-budget.js';

describe('RetryBudget', () => {
  it('allows a share of the requests, and no timer', () => {
    const clock = new ManualClock();
    const budget = new RetryBudget({ share: 0.2, minPerSecond: 0 }, clock);
    expect(budget.takeRetry()).toBe(false);
    for (let i = 0; i < 50; i++) budget.countRequest();
    expect(takeAll(budget)).toBe(10);
    expect(clock.pending).toBe(0);
  });

  it('allows a few however quiet it is', () => {
    const budget = new RetryBudget({ share: 0, minPerSecond: 0.5 }, new ManualClock());
    expect(takeAll(budget)).toBe(5);
  });

  it('forgets what is ten seconds old, bit by bit', () => {
    const clock = new ManualClock();
    const budget = new RetryBudget({ share: 0, minPerSecond: 1 }, clock);
    expect(takeAll(budget)).toBe(10);
    clock.advance(10_000);
    expect(takeAll(budget)).toBe(0);
    clock.advance(5000);
    expect(takeAll(budget)).toBe(5);
    clock.advance(60_000);
    expect(takeAll(budget)).toBe(10);
  });
});

function takeAll(budget: RetryBudget): number {
  let count = 0;
  while (count < 1000 && budget.takeRetry()) count++;
  return count;
}
