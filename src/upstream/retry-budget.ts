import type { Clock } from '../base/deps.js';

export interface RetryBudgetPlan {
  /** Retries for each request, from 0 to 1 and beyond: 0.2 is one for five. */
  readonly share: number;
  /** Retries that are allowed however few requests there are. */
  readonly minPerSecond: number;
}

/** The time that a budget looks back over. */
const WINDOW_MS = 10_000;

/**
 * Keeps retries from doubling the load of servers that fail because of their load: in any ten seconds no more than a
 * share of the requests, plus a few. Counts, no timers.
 */
export class RetryBudget {
  readonly #clock: Clock;
  plan: RetryBudgetPlan;
  #windowStartMs: number;
  #requests = 0;
  #retries = 0;
  #requestsBefore = 0;
  #retriesBefore = 0;

  constructor(plan: RetryBudgetPlan, clock: Clock) {
    this.plan = plan;
    this.#clock = clock;
    this.#windowStartMs = clock.now();
  }

  countRequest(): void {
    this.#turn();
    this.#requests++;
  }

  /** Takes one retry from the budget, or says that there is none. */
  takeRetry(): boolean {
    const before = this.#turn();
    const requests = this.#requests + this.#requestsBefore * before;
    const retries = this.#retries + this.#retriesBefore * before;
    const allowed = requests * this.plan.share + (this.plan.minPerSecond * WINDOW_MS) / 1000;
    // Sums of fractions: 9.999999 and one more are ten.
    if (retries + 1 > allowed + 1e-6) return false;
    this.#retries++;
    return true;
  }

  /** Moves the window on; returns how much of the one before still counts. */
  #turn(): number {
    const elapsedMs = this.#clock.now() - this.#windowStartMs;
    if (elapsedMs < WINDOW_MS) return 1 - elapsedMs / WINDOW_MS;
    const isNext = elapsedMs < 2 * WINDOW_MS;
    this.#requestsBefore = isNext ? this.#requests : 0;
    this.#retriesBefore = isNext ? this.#retries : 0;
    this.#requests = this.#retries = 0;
    this.#windowStartMs += Math.floor(elapsedMs / WINDOW_MS) * WINDOW_MS;
    return this.#turn();
  }
}
