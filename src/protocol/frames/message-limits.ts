import { TokenBucket } from '../../base/token-bucket.js';
import type { Breach, MessageLimits } from './types.js';

/** The messages of one direction held against their limits, frame by frame. The twin of `struct message_limits` in C. */
export class MessageGauge {
  /** Set by the first frame that breaks a limit; nothing is looked at from then on. */
  breach: Breach | undefined;
  readonly #maxBytes: number;
  readonly #rate: TokenBucket | undefined;
  readonly #now: () => number;
  /** Payload bytes of the present message so far. */
  #bytes = 0;

  constructor({ maxMessageBytes, maxMessagesPerSecond, now }: MessageLimits) {
    this.#maxBytes = maxMessageBytes > 0 ? maxMessageBytes : Number.POSITIVE_INFINITY;
    this.#rate = maxMessagesPerSecond > 0 ? new TokenBucket(maxMessagesPerSecond) : undefined;
    this.#now = now;
  }

  /** A message begins, or a frame that is none. Returns whether it breaks the limit on messages. */
  begin(isMessage = true): boolean {
    this.#bytes = 0;
    if (!isMessage || this.#rate === undefined || this.breach !== undefined) return false;
    if (this.#rate.available(this.#now()) < 1) return this.#break('message-rate');
    this.#rate.spend(1);
    return false;
  }

  /** So many more bytes of the message are announced, or here. Returns whether they break the limit on bytes. */
  add(bytes: number): boolean {
    if (this.breach !== undefined) return false;
    this.#bytes += bytes;
    return this.#bytes > this.#maxBytes && this.#break('message-size');
  }

  /** How many bytes the message may still have. */
  get room(): number {
    return this.breach === undefined ? this.#maxBytes - this.#bytes : Number.POSITIVE_INFINITY;
  }

  #break(breach: Breach): true {
    this.breach = breach;
    return true;
  }
}
