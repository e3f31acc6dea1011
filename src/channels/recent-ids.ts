/** Which ids were seen of late. */
export class RecentIds {
  readonly #forMs: number;
  readonly #max: number;
  /** When each was seen, the oldest first. */
  readonly #seenAtMs = new Map<string, number>();

  constructor(forMs: number, max: number) {
    this.#forMs = forMs;
    this.#max = max;
  }

  get size(): number {
    return this.#seenAtMs.size;
  }

  /** Whether it is new. One that is not is remembered from its first time on. */
  add(id: string, nowMs: number): boolean {
    this.#forget(nowMs);
    if (this.#seenAtMs.has(id)) return false;
    this.#seenAtMs.set(id, nowMs);
    if (this.#seenAtMs.size > this.#max) this.#forgetOldest();
    return true;
  }

  #forget(nowMs: number): void {
    for (const [id, seenAtMs] of this.#seenAtMs) {
      if (seenAtMs + this.#forMs > nowMs) return;
      this.#seenAtMs.delete(id);
    }
  }

  #forgetOldest(): void {
    for (const id of this.#seenAtMs.keys()) {
      this.#seenAtMs.delete(id);
      return;
    }
  }
}
