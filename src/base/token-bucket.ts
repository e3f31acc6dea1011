/**
 * An allowance that fills up at a steady rate, to no more than what one second brings. It never holds less than room
 * for one, so that a rate below one a second lets anything pass at all. The twin of `struct bucket` in
 * `native/src/scanner.h`, number for number.
 */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #capacity: number;
  #tokens: number;
  #filledAtMs: number | undefined;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#capacity = Math.max(1, perSecond);
    this.#tokens = this.#capacity;
  }

  /** Whole tokens at this time. Time that runs backwards brings nothing. */
  available(nowMs: number): number {
    const passedMs = nowMs - (this.#filledAtMs ?? nowMs);
    if (passedMs > 0)
      this.#tokens = Math.min(this.#capacity, this.#tokens + (passedMs * this.#perSecond) / 1000);
    if (passedMs >= 0) this.#filledAtMs = nowMs;
    return Math.floor(this.#tokens);
  }

  /** Takes what is there. More leaves a debt. */
  spend(tokens: number): void {
    this.#tokens -= tokens;
  }
}
