import { beforeEach, describe, expect, it } from 'vitest';
import { ProxyError } from '../../base/errors.js';
import { ManualClock } from '../../base/manual-clock.js';
import type { PooledServerPlan } from '../plan.js';
import type { CheckPlan } from './check-plan.js';
import { Checker } from './checker.js';

const plan: CheckPlan = { check: { kind: 'tcp' }, intervalMs: 1000, timeoutMs: 100, rise: 2, fall: 3 };

/** A probe whose answers are in the test’s hands. */
interface Asked {
  readonly server: PooledServerPlan;
  readonly signal: AbortSignal;
  readonly answer: (failure?: Error) => void;
}

let clock: ManualClock;
let asked: Asked[];
let reports: string[];
let dice: number;
let checker: Checker;

beforeEach(() => {
  clock = new ManualClock();
  asked = [];
  reports = [];
  dice = 0.5;
  checker = new Checker({
    plan,
    deps: { clock, random: { float: () => dice, id: (length) => 'x'.repeat(length) } },
    probe: (server, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Error('some other words')));
        const answer = (failure?: Error): void => (failure === undefined ? resolve() : reject(failure));
        asked.push({ server, signal, answer });
      }),
    report: (id, failure) => reports.push(`${id}: ${failure ?? 'well'}`),
  });
});

describe('Checker', () => {
  it('checks at once, and again an interval after each answer', async () => {
    checker.watch([server('a'), server('b')]);
    expect(asked.map((one) => one.server.id)).toEqual(['a', 'b']);
    asked[0]!.answer();
    await turn();
    expect(reports).toEqual(['a: well']);
    clock.advance(50);
    asked[1]!.answer(new Error('refused'));
    await turn();
    clock.advance(949);
    expect(asked).toHaveLength(2);
    clock.advance(1);
    expect(asked.map((one) => one.server.id)).toEqual(['a', 'b', 'a']);
    expect(reports).toEqual(['a: well', 'b: refused']);
  });

  it.each([
    [0, 900],
    [0.5, 1000],
    [0.999999, 1099.9998],
  ])('spreads: dice %d, %d ms', async (roll, ms) => {
    dice = roll;
    checker.watch([server('a')]);
    asked[0]!.answer();
    await turn();
    clock.advance(ms - 1);
    expect(asked).toHaveLength(1);
    clock.advance(1.001);
    expect(asked).toHaveLength(2);
  });

  it('reports nothing when it was we who could open no connection, and checks again', async () => {
    checker.watch([server('a')]);
    asked[0]!.answer(new ProxyError('PROXY_EXHAUSTED', 'a was not dialled: EMFILE'));
    await turn();
    expect(reports).toEqual([]);
    clock.advance(1000);
    asked[1]!.answer();
    await turn();
    expect(reports).toEqual(['a: well']);
  });

  it('takes no answer in time for a failure, and gives the check up', async () => {
    checker.watch([server('a')]);
    clock.advance(100);
    await turn();
    expect(asked[0]!.signal.aborted).toBe(true);
    expect(reports).toEqual(['a: no answer within 100 ms']);
    clock.advance(1000);
    expect(asked).toHaveLength(2);
  });

  it('keeps the rhythm of those that stay, and forgets those that go, under way or not', async () => {
    checker.watch([server('a'), server('b'), server('c')]);
    asked[0]!.answer();
    await turn();
    clock.advance(60);
    checker.watch([server('a')]);
    expect(asked.slice(1).map((one) => one.signal.aborted)).toEqual([true, true]);
    await turn();
    expect(reports).toEqual(['a: well']);
    clock.advance(940);
    expect(asked.map((one) => one.server.id)).toEqual(['a', 'b', 'c', 'a']);
    checker.close();
    await turn();
    expect(clock.pending).toBe(0);
    expect(reports).toEqual(['a: well']);
  });

  it('leaves no timer when it stops between two checks', async () => {
    checker.watch([server('a')]);
    asked[0]!.answer();
    await turn();
    expect(clock.pending).toBe(1);
    checker.close();
    expect(clock.pending).toBe(0);
  });
});

function server(id: string): PooledServerPlan {
  const address = { host: '127.0.0.1', port: 1 };
  return { id, address, secure: false, host: id, weight: 1, maxConnections: 0 };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
