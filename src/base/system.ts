import { randomBytes } from 'node:crypto';
import type { Clock, Deps, Random } from './deps.js';

/** The longest delay Node's timers take; a larger one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  after(ms, fn) {
    let timer: NodeJS.Timeout;
    const wait = (leftMs: number): void => {
      const next = leftMs > MAX_TIMER_MS ? () => wait(leftMs - MAX_TIMER_MS) : fn;
      timer = setTimeout(next, Math.min(leftMs, MAX_TIMER_MS)).unref();
    };
    wait(ms);
    return () => clearTimeout(timer);
  },
  every(ms, fn) {
    const timer = setInterval(fn, Math.min(ms, MAX_TIMER_MS)).unref();
    return () => clearInterval(timer);
  },
};

/** Random bytes are fetched a page at a time: each fetch is a call into the kernel. */
let pool = Buffer.alloc(0);

function takeRandom(bytes: number): Buffer {
  if (pool.length < bytes) pool = randomBytes(Math.max(bytes, 4096));
  const taken = pool.subarray(0, bytes);
  pool = pool.subarray(bytes);
  return taken;
}

export const systemRandom: Random = {
  float: () => Math.random(),
  id: (length) => takeRandom(length).toString('base64url').slice(0, length).replace(/^-/, 'A'),
};

/** The real clock and the real dice. */
export const systemDeps: Deps = { clock: systemClock, random: systemRandom };
