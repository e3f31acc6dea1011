import { randomBytes } from 'node:crypto';
import type { Clock, Deps, Random } from './deps.js';

/** The longest delay Node's timers take; a larger one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  after(ms, fn) {
    const timer = setTimeout(fn, Math.min(ms, MAX_TIMER_MS)).unref();
    return () => clearTimeout(timer);
  },
  every(ms, fn) {
    const timer = setInterval(fn, Math.min(ms, MAX_TIMER_MS)).unref();
    return () => clearInterval(timer);
  },
};

export const systemRandom: Random = {
  float: () => Math.random(),
  id: (length) => randomBytes(length).toString('base64url').slice(0, length),
};

/** The real clock and the real dice. */
export const systemDeps: Deps = { clock: systemClock, random: systemRandom };
