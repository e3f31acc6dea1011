import type { Clock } from '../base/deps.js';
import { TokenBucket } from '../base/token-bucket.js';

/** How often bytes go on that were held back. */
const SLICE_MS = 50;

/** Lets only so many bytes a second pass. What is too much waits, at most one chunk: then its source is not read. */
export class Shaper {
  readonly #bucket: TokenBucket;
  readonly #clock: Clock;
  readonly #pass: (chunk: Buffer) => void;
  readonly #resume: () => void;
  #waiting: Buffer | undefined;
  #cancel: (() => void) | undefined;

  /** @param resume is called when nothing waits any more. */
  constructor(bytesPerSecond: number, clock: Clock, pass: (chunk: Buffer) => void, resume: () => void) {
    this.#bucket = new TokenBucket(bytesPerSecond);
    this.#clock = clock;
    this.#pass = pass;
    this.#resume = resume;
  }

  /** Whether the source may not be read. */
  get isWaiting(): boolean {
    return this.#waiting !== undefined;
  }

  /** Counts bytes that have gone already. */
  spend(bytes: number): void {
    this.#bucket.spend(bytes);
  }

  push(chunk: Buffer): void {
    const waiting = this.#waiting;
    this.#waiting = waiting === undefined ? chunk : Buffer.concat([waiting, chunk]);
    if (waiting === undefined) this.#passSome();
  }

  /** Forgets what waits. */
  stop(): void {
    this.#cancel?.();
    this.#waiting = undefined;
  }

  #passSome(): void {
    this.#cancel = undefined;
    const chunk = this.#waiting!;
    const room = Math.max(0, Math.min(chunk.length, this.#bucket.available(this.#clock.now())));
    this.#bucket.spend(room);
    const isAll = room === chunk.length;
    this.#waiting = isAll ? undefined : chunk.subarray(room);
    if (!isAll) this.#cancel = this.#clock.after(SLICE_MS, () => this.#passSome());
    if (room > 0) this.#pass(chunk.subarray(0, room));
    if (isAll) this.#resume();
  }
}
