import type { Clock } from './deps.js';

interface Entry {
  at: number;
  fn: () => void;
  every: number | undefined;
}

/** A clock that moves only when told to: for tests, and for users who test their own code against the library. */
export class ManualClock implements Clock {
  #now = 0;
  readonly #start: number;
  readonly #entries = new Set<Entry>();

  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#start = start;
  }

  now(): number {
    return this.#now;
  }

  date(): Date {
    return new Date(this.#start + this.#now);
  }

  after(ms: number, fn: () => void): () => void {
    return this.#add({ at: this.#now + ms, fn, every: undefined });
  }

  every(ms: number, fn: () => void): () => void {
    // At least 1 ms, as Node's setInterval has it: an interval of 0 would never let `advance` end.
    const step = Math.max(1, ms);
    return this.#add({ at: this.#now + step, fn, every: step });
  }

  /** How many timers are waiting: 0 when nothing was left behind. */
  get pending(): number {
    return this.#entries.size;
  }

  /** Moves time on by `ms`, running what falls due in order. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const next = this.#earliest(until);
      if (next === undefined) break;
      this.#now = next.at;
      if (next.every === undefined) this.#entries.delete(next);
      else next.at += next.every;
      next.fn();
    }
    this.#now = until;
  }

  #earliest(until: number): Entry | undefined {
    let found: Entry | undefined;
    for (const entry of this.#entries) {
      if (entry.at <= until && (found === undefined || entry.at < found.at)) found = entry;
    }
    return found;
  }

  #add(entry: Entry): () => void {
    this.#entries.add(entry);
    return () => this.#entries.delete(entry);
  }
}
