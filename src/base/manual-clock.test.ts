import { describe, expect, it } from 'vitest';
import { ManualClock } from './manual-clock.js';

describe('ManualClock', () => {
  it('stands still until it is told to move', () => {
    const clock = new ManualClock(Date.UTC(2026, 5, 1));
    const ran: string[] = [];
    clock.after(10, () => ran.push('after'));
    expect(clock.now()).toBe(0);
    clock.advance(9);
    expect(ran).toEqual([]);
    clock.advance(1);
    expect(ran).toEqual(['after']);
    expect(clock.now()).toBe(10);
    expect(clock.date()).toEqual(new Date(Date.UTC(2026, 5, 1) + 10));
  });

  it('runs what falls due in order of time, then of making, each at its own time', () => {
    const clock = new ManualClock();
    const ran: [string, number][] = [];
    const note = (name: string) => () => ran.push([name, clock.now()]);
    clock.after(30, note('late'));
    clock.after(10, note('first'));
    clock.after(10, note('second'));
    clock.every(12, note('every'));
    clock.advance(30);
    expect(ran).toEqual([
      ['first', 10],
      ['second', 10],
      ['every', 12],
      ['every', 24],
      ['late', 30],
    ]);
  });

  it('runs timers that were set by timers, if they fall due in the same step', () => {
    const clock = new ManualClock();
    const ran: number[] = [];
    clock.after(5, () => clock.after(5, () => ran.push(clock.now())));
    clock.advance(20);
    expect(ran).toEqual([10]);
    expect(clock.now()).toBe(20);
  });

  it('forgets what was cancelled, also by a timer due at the same time', () => {
    const clock = new ManualClock();
    const ran: string[] = [];
    const cancels: (() => void)[] = [];
    clock.after(5, () => {
      ran.push('first');
      for (const cancel of cancels) cancel();
    });
    cancels.push(clock.after(5, () => ran.push('second')));
    const stop = clock.every(2, () => ran.push('every'));
    clock.advance(2);
    stop();
    stop();
    clock.advance(10);
    expect(ran).toEqual(['every', 'first']);
    expect(clock.pending).toBe(0);
  });

  it('lets an interval stop itself', () => {
    const clock = new ManualClock();
    let runs = 0;
    const stop = clock.every(1, () => {
      if (++runs === 3) stop();
    });
    clock.advance(100);
    expect(runs).toBe(3);
  });

  it('counts what is waiting', () => {
    const clock = new ManualClock();
    const cancel = clock.after(5, () => {});
    clock.every(5, () => {});
    expect(clock.pending).toBe(2);
    cancel();
    expect(clock.pending).toBe(1);
  });

  it('takes an interval of 0 as one of 1 ms, so that time can move on', () => {
    const clock = new ManualClock();
    let runs = 0;
    clock.every(0, () => runs++);
    clock.advance(3);
    expect(runs).toBe(3);
  });
});
