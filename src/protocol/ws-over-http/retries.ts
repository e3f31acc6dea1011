import type { FailureKind } from './types.js';

export interface RetryOptions {
  /** Retries of one request, 0: none. Default 5. */
  readonly attempts: number;
  /** The wait before the first, doubled before each further one. Default 1 s. */
  readonly firstWaitMs: number;
  /** What it is doubled to at most. Default 16 s. */
  readonly maxWaitMs: number;
  /** Up to so much more, so that many connections do not come back at once. Default 1 s. */
  readonly jitterMs: number;
  /** Answers that are as good as none. Default 502, 503, 504: a balancer while its servers are restarted. */
  readonly statuses: readonly number[];
  /** Whether to retry also where the backend may have read the request: safe where it looks at its number. Default false. */
  readonly ambiguous: boolean;
}

export const retryDefaults: RetryOptions = {
  attempts: 5,
  firstWaitMs: 1000,
  maxWaitMs: 16_000,
  jitterMs: 1000,
  statuses: [502, 503, 504],
  ambiguous: false,
};

/** Whether and when a request is sent once more. */
export class Retries {
  readonly #options: RetryOptions;
  /** In [0, 1). */
  readonly #random: () => number;
  #attempts = 0;

  constructor(options: RetryOptions, random: () => number) {
    this.#options = options;
    this.#random = random;
  }

  isTemporary(status: number): boolean {
    return this.#options.statuses.includes(status);
  }

  /** The wait before the next try in ms, or undefined: no more. */
  nextWaitMs(failure: FailureKind | 'status'): number | undefined {
    const { attempts, firstWaitMs, maxWaitMs, jitterMs, ambiguous } = this.#options;
    if (this.#attempts >= attempts || (failure === 'ambiguous' && !ambiguous)) return undefined;
    const waitMs = Math.min(firstWaitMs * 2 ** this.#attempts, maxWaitMs);
    this.#attempts++;
    return waitMs + this.#random() * jitterMs;
  }

  /** The request was answered. */
  reset(): void {
    this.#attempts = 0;
  }
}
