import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../base/manual-clock.js';
import type { EjectionPlan } from './ejection.js';
import { ServerHealth } from './server-health.js';

const plan: EjectionPlan = { failures: 3, windowMs: 10_000, baseMs: 1000, maxMs: 5000, maxShare: 0.5 };
const counts = { rise: 2, fall: 3 };

let clock: ManualClock;
let changes: string[];
let mayEject: boolean;
let health: ServerHealth;

beforeEach(() => {
  clock = new ManualClock();
  changes = [];
  mayEject = true;
  health = new ServerHealth({
    clock,
    mayEject: () => mayEject,
    onChange: ({ status, reason }) => changes.push(`${status}: ${reason}`),
  });
});

describe('active checks', () => {
  const check = (...results: (string | undefined)[]) => {
    for (const result of results) health.checked(result, counts);
  };

  it('let the first one decide alone', () => {
    check('refused');
    expect(health).toMatchObject({ status: 'down', reason: 'refused' });
  });

  it('take a server down after `fall` failures in a row and bring it up after `rise` good ones', () => {
    check(undefined, 'x', 'x', undefined, 'x', 'x');
    expect(health.status).toBe('up');
    clock.advance(500);
    check('refused');
    expect(health).toMatchObject({ status: 'down', since: new Date(Date.UTC(2026, 0, 1) + 500) });
    check(undefined, 'x', undefined);
    expect(health.status).toBe('down');
    check(undefined);
    expect(health.status).toBe('up');
    expect(changes).toEqual(['down: refused', 'up: the check passed']);
  });

  it('count no more once they are switched off', () => {
    check('refused');
    health.forgetChecks();
    expect(health.status).toBe('up');
    check('refused');
    expect(health.status).toBe('down');
  });
});

describe('failures of clients', () => {
  const fail = (times = 1) => {
    for (let i = 0; i < times; i++) health.failed('refused', plan);
  };

  it('eject after so many in a row, for a while', () => {
    fail(2);
    expect(health.status).toBe('up');
    expect(clock.pending).toBe(0);
    fail();
    expect(changes).toEqual(['ejected: ejected for 1000 ms: refused']);
    clock.advance(999);
    expect(health.status).toBe('ejected');
    clock.advance(1);
    expect(health.status).toBe('up');
    expect(clock.pending).toBe(0);
  });

  it('begin anew after a success, and after the window', () => {
    fail(2);
    health.succeeded();
    fail(2);
    expect(health.status).toBe('up');
    clock.advance(10_000);
    fail(2);
    expect(health.status).toBe('up');
  });

  it('eject at the first one after a return, twice as long, up to the maximum', () => {
    fail(3);
    const times: string[] = [];
    for (let forMs = 1000; times.length < 4; forMs = Math.min(5000, forMs * 2)) {
      clock.advance(forMs);
      expect(health.status).toBe('up');
      fail();
      expect(health.status).toBe('ejected');
      times.push(changes.at(-1)!.slice(9, 29));
    }
    expect(times).toEqual([
      'ejected for 2000 ms:',
      'ejected for 4000 ms:',
      'ejected for 5000 ms:',
      'ejected for 5000 ms:',
    ]);
  });

  it('are forgiven: a success ends the probation, time the doubling', () => {
    fail(3);
    clock.advance(1000);
    health.succeeded();
    fail();
    expect(health.status).toBe('up');
    clock.advance(10_000);
    fail(3);
    expect(changes.at(-1)).toBe('ejected: ejected for 1000 ms: refused');
  });

  it('eject nobody when too many are out', () => {
    mayEject = false;
    fail(10);
    expect(health.status).toBe('up');
    mayEject = true;
    fail();
    expect(health.status).toBe('ejected');
  });

  it('say less than a check: down is down, and an ejection goes on behind it', () => {
    fail(3);
    health.checked('refused', counts);
    expect(health.status).toBe('down');
    health.checked(undefined, counts);
    health.checked(undefined, counts);
    expect(health.status).toBe('ejected');
    clock.advance(1000);
    expect(health.status).toBe('up');
  });
});
