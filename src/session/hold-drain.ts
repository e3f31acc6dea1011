import type { Deps } from '../base/deps.js';
import type { DrainPlan } from './drain.js';
import type { Registry } from './registry.js';

/** A few responses need no long window. */
const MS_PER_HOLD = 100;
/** What is left of the time for the last to be taken. */
const LAST_ANSWER_MS = 1000;

/**
 * Ends every response that is held, each at a random time of a window, so that clients that ask again come evenly. The
 * returned function ends no more.
 */
export function endHolds(
  { holds }: Pick<Registry, 'holds'>,
  { clock, random }: Deps,
  { timeoutMs, spreadMs }: Pick<DrainPlan, 'timeoutMs' | 'spreadMs'>,
): () => void {
  const leftMs = Math.max(0, timeoutMs - LAST_ANSWER_MS);
  const windowMs = Math.min(spreadMs, leftMs, holds.length * MS_PER_HOLD);
  const cancels = holds.map((end) => clock.after(random.float() * windowMs, end));
  return () => {
    for (const cancel of cancels) cancel();
  };
}
