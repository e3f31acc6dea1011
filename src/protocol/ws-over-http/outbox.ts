import type { Farewell, MessageEvent } from './types.js';

/** What goes out with one request. */
export interface Batch {
  readonly messages: readonly MessageEvent[];
  /** Behind them, if it fits: how the client left. */
  readonly farewell: Farewell | undefined;
  /** Of the messages. */
  readonly contentBytes: number;
  /** The first so many of them were offered before and not accepted. */
  readonly replayedBytes: number;
  /** Whether it is all that waits. */
  readonly isAll: boolean;
}

/** What an event without content costs in memory, roughly: a flood of empty messages has to count as well. */
const EVENT_COST_BYTES = 64;

/** What the client said and the backend has not accepted yet, in order, and at its end how the client left. */
export class Outbox {
  #messages: MessageEvent[] = [];
  /** How many messages, from the first on, and bytes of them the backend has seen and left. */
  #leftMessages = 0;
  #leftBytes = 0;
  #farewell: Farewell | undefined;
  /** Whether no request has had it yet. */
  #farewellIsNews = false;
  /** Whether the backend has accepted a CLOSE. */
  closeIsTold = false;
  /** Bytes of content in messages. */
  contentBytes = 0;

  get length(): number {
    return this.#messages.length;
  }

  /** What it costs to keep. */
  get costBytes(): number {
    return this.contentBytes + EVENT_COST_BYTES * this.#messages.length;
  }

  /** Whether something waits that the backend has not seen. */
  get hasNews(): boolean {
    return this.#farewellIsNews || this.#messages.length > this.#leftMessages;
  }

  /** Whether the client has left, so that no more messages come. */
  get isEnded(): boolean {
    return this.#farewell !== undefined;
  }

  push(message: MessageEvent): void {
    this.#messages.push(message);
    this.contentBytes += message.content.length;
  }

  end(farewell: Farewell): void {
    this.#farewell = farewell;
    this.#farewellIsNews = true;
  }

  clear(): void {
    this.#messages = [];
    this.#leftMessages = this.#leftBytes = this.contentBytes = 0;
  }

  /**
   * From the first message on, until `maxBytes` of content or `maxEvents` are reached: what reaches them is the last,
   * however large. So a request never has less in it than what was left of the one before.
   */
  take(maxBytes: number, maxEvents: number): Batch {
    let count = 0;
    let contentBytes = 0;
    while (count < this.#messages.length && count < maxEvents && contentBytes < maxBytes) {
      contentBytes += this.#messages[count++]!.content.length;
    }
    const messages = this.#messages.slice(0, count);
    const holdsMessages = count === this.#messages.length;
    const owed = this.closeIsTold ? undefined : this.#farewell;
    const farewell = holdsMessages && count < maxEvents ? owed : undefined;
    if (farewell !== undefined) this.#farewellIsNews = false;
    const isAll = holdsMessages && farewell === owed;
    return { messages, farewell, contentBytes, replayedBytes: this.#leftBytes, isAll };
  }

  /**
   * The backend has consumed the first `bytes` of the batch, those of a CLOSE last. What is left of a message stays as a
   * message of its type. Empty messages go with the byte before them.
   *
   * @param bytes undefined: all
   * @returns whether that took all, something or nothing; or what is wrong with it
   */
  accept(batch: Batch, bytes?: number): 'all' | 'some' | 'nothing' | { readonly problem: string } {
    const closeBytes = batch.farewell?.type === 'CLOSE' ? batch.farewell.content.length : 0;
    const offered = batch.contentBytes + closeBytes;
    const accepted = bytes ?? offered;
    if (accepted > offered) {
      return { problem: `${accepted} bytes of content are accepted, but only ${offered} were offered` };
    }
    const isProgress = this.#drop(batch, Math.min(accepted, batch.contentBytes));
    if (!isProgress && !batch.isAll) {
      return { problem: 'nothing is accepted, though more waits than one request holds' };
    }
    if (accepted < batch.contentBytes) return isProgress ? 'some' : 'nothing';
    if (accepted < offered) return { problem: 'all messages are accepted, but not the CLOSE behind them' };
    if (batch.farewell?.type === 'CLOSE') this.closeIsTold = true;
    return 'all';
  }

  #drop(batch: Batch, bytes: number): boolean {
    let count = 0;
    let left = bytes;
    while (count < batch.messages.length && this.#messages[count]!.content.length <= left) {
      left -= this.#messages[count++]!.content.length;
    }
    this.#messages.splice(0, count);
    if (left > 0) {
      const { type, content } = this.#messages[0]!;
      this.#messages[0] = { type, content: content.subarray(left) };
    }
    this.contentBytes -= bytes;
    this.#leftMessages = batch.messages.length - count;
    this.#leftBytes = batch.contentBytes - bytes;
    return count > 0 || left > 0;
  }
}
