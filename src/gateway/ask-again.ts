import type { Clock } from '../base/deps.js';
import { ProxyError } from '../base/errors.js';
import { Retries, retryDefaults } from '../protocol/ws-over-http/retries.js';
import type { GatewayPlan } from '../route/gateway-plan.js';
import { type BackendAnswer, BackendFailure } from './backend.js';

export interface AgainOptions {
  readonly retries: GatewayPlan['retries'];
  readonly clock: Clock;
  readonly random: () => number;
  /** Ends the waiting. */
  readonly signal: AbortSignal;
}

/**
 * Asks until there is an answer that is not one of those that are as good as none, or no further try is due.
 *
 * @throws BackendFailure that of the last try
 */
export async function askAgain(
  ask: () => Promise<BackendAnswer>,
  { retries: { attempts, statuses }, clock, random, signal }: AgainOptions,
): Promise<BackendAnswer> {
  const retries = new Retries({ ...retryDefaults, attempts, statuses: [...statuses] }, random);
  for (;;) {
    const tried = await tryOnce(ask);
    const isFailure = tried instanceof BackendFailure;
    const isFinal = !isFailure && !retries.isTemporary(tried.status);
    const waitMs = isFinal ? undefined : retries.nextWaitMs(isFailure ? tried.kind : 'status');
    if (waitMs !== undefined) await waited(clock, waitMs, signal);
    if (waitMs !== undefined && !signal.aborted) continue;
    if (isFailure) throw tried;
    return tried;
  }
}

async function tryOnce(ask: () => Promise<BackendAnswer>): Promise<BackendAnswer | BackendFailure> {
  try {
    return await ask();
  } catch (thrown) {
    return thrown instanceof BackendFailure
      ? thrown
      : new BackendFailure('ambiguous', ProxyError.from(thrown));
  }
}

function waited(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(ms, done);
    if (signal.aborted) done();
    signal.addEventListener('abort', done, { once: true });
  });
}
