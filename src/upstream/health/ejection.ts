/** When clients’ own failures take a server out for a while. */
export interface EjectionPlan {
  /** So many failures in a row, within the window. */
  readonly failures: number;
  readonly windowMs: number;
  /** How long the first ejection lasts; each further one twice as long. */
  readonly baseMs: number;
  readonly maxMs: number;
  /** The share of an upstream’s servers, from 0 to 1, that may be out at the same time, rounded down. */
  readonly maxShare: number;
}

/**
 * Counts one server’s failures, as sessions meet them. A success between two failures begins anew: of a busy server’s
 * many requests a few always fail. Decides nothing about time itself: whoever asks says what time it is.
 */
export class FailureCount {
  /** Times of the failures since the last success, oldest first, at most as many as matter. */
  #failuresMs: number[] = [];
  /** Ejections that still count for the length of the next one. */
  #ejections = 0;
  #returnedMs = 0;
  /** After an ejection, one failure is enough until something has succeeded. */
  #isOnProbation = false;

  succeeded(): void {
    if (this.#failuresMs.length > 0) this.#failuresMs = [];
    this.#isOnProbation = false;
  }

  /** Whether this failure is one too many. */
  failed(nowMs: number, { failures, windowMs }: EjectionPlan): boolean {
    const recent = this.#failuresMs.filter((atMs) => nowMs - atMs < windowMs);
    recent.push(nowMs);
    this.#failuresMs = recent.slice(-failures);
    return this.#isOnProbation || this.#failuresMs.length >= failures;
  }

  /** How long an ejection that begins now lasts. Every `baseMs` of good behaviour takes one doubling back. */
  eject(nowMs: number, { baseMs, maxMs }: EjectionPlan): number {
    const forgiven = Math.floor((nowMs - this.#returnedMs) / baseMs);
    this.#ejections = Math.max(0, this.#ejections - forgiven) + 1;
    this.#failuresMs = [];
    return Math.min(maxMs, baseMs * 2 ** Math.min(30, this.#ejections - 1));
  }

  returned(nowMs: number): void {
    this.#returnedMs = nowMs;
    this.#isOnProbation = true;
  }
}
