/** Clients remembered at one time. Beyond that the one that has been quiet longest is forgotten: it gains a burst. */
const MAX_CLIENTS = 100_000;

/**
 * So many events each second for each client; one second’s worth, at least one, may come at once. One number a client:
 * when its allowance will be whole again (the generic cell rate algorithm). Who has a whole allowance is forgotten.
 */
export class RateLimiter {
  readonly #intervalMs: number;
  /** How far ahead of an even rate a client may run. */
  readonly #toleranceMs: number;
  readonly #maxClients: number;
  /** By client, the one that was let through longest ago first. */
  readonly #wholeAtMs = new Map<string, number>();

  /** @param perSecond above zero; a part of one is fine. */
  constructor(perSecond: number, maxClients = MAX_CLIENTS) {
    this.#intervalMs = 1000 / perSecond;
    this.#toleranceMs = this.#intervalMs * (Math.max(1, perSecond) - 1);
    this.#maxClients = maxClients;
  }

  /** How long this client has to wait for its next event; 0 = not at all. Takes nothing. */
  waitMs(client: string, nowMs: number): number {
    const wholeAtMs = this.#wholeAtMs.get(client) ?? nowMs;
    return Math.max(0, wholeAtMs - this.#toleranceMs - nowMs);
  }

  /** Takes one event of a client’s allowance. */
  take(client: string, nowMs: number): void {
    const wholeAtMs = Math.max(nowMs, this.#wholeAtMs.get(client) ?? nowMs) + this.#intervalMs;
    // Behind all others again.
    this.#wholeAtMs.delete(client);
    this.#wholeAtMs.set(client, wholeAtMs);
    this.#forget(nowMs);
  }

  /** How many clients are remembered. */
  get size(): number {
    return this.#wholeAtMs.size;
  }

  #forget(nowMs: number): void {
    for (const [client, wholeAtMs] of this.#wholeAtMs) {
      if (wholeAtMs > nowMs && this.#wholeAtMs.size <= this.#maxClients) return;
      this.#wholeAtMs.delete(client);
    }
  }
}
