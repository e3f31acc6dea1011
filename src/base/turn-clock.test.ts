import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { ManualClock } from './manual-clock.js';
import { TurnClock } from './turn-clock.js';

it('is read once in a turn, whoever asks', async () => {
  const clock = new ManualClock();
  const startMs = clock.now();
  expect(TurnClock.of(clock).now()).toBe(startMs);
  clock.advance(5);
  expect(TurnClock.of(clock).now()).toBe(startMs);
  await turn();
  expect(TurnClock.of(clock).now()).toBe(startMs + 5);
  expect(TurnClock.of(new ManualClock())).not.toBe(TurnClock.of(clock));
});
