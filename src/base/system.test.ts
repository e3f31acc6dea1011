import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock, systemRandom } from './system.js';

describe('systemClock', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('runs a timer once, an interval again and again, and neither when cancelled', () => {
    const ran: string[] = [];
    systemClock.after(10, () => ran.push('after'));
    systemClock.after(10, () => ran.push('cancelled'))();
    const stop = systemClock.every(4, () => ran.push('every'));
    vi.advanceTimersByTime(12);
    stop();
    vi.advanceTimersByTime(100);
    expect(ran).toEqual(['every', 'every', 'after', 'every']);
  });

  it('waits longer than the 24.8 days of one Node timer', () => {
    const day = 86_400_000;
    let ran = 0;
    const cancelled = vi.fn<() => void>();
    systemClock.after(60 * day, () => ran++);
    const cancel = systemClock.after(60 * day, cancelled);
    vi.advanceTimersByTime(60 * day - 1);
    expect(ran).toBe(0);
    cancel();
    vi.advanceTimersByTime(1);
    expect(ran).toBe(1);
    vi.advanceTimersByTime(60 * day);
    expect(ran).toBe(1);
    expect(cancelled).not.toHaveBeenCalled();
  });
});

describe('systemRandom', () => {
  it('makes identifiers of URL-safe characters, of the length asked for', () => {
    const ids = [0, 1, 8, 21, 100].map((length) => systemRandom.id(length));
    expect(ids.map((id) => id.length)).toEqual([0, 1, 8, 21, 100]);
    for (const id of ids) expect(id).toMatch(/^[\w-]*$/);
    const many = Array.from({ length: 2000 }, () => systemRandom.id(4));
    expect(many.filter((id) => id.startsWith('-'))).toEqual([]);
    expect(systemRandom.id(21)).not.toBe(systemRandom.id(21));
  });
});
