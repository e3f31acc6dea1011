import type { Clock } from '../base/deps.js';
import type { PublishItem } from '../protocol/grip/types.js';
import { contentBytes } from './content-bytes.js';
import { RecentIds } from './recent-ids.js';
import type { Place, Sequence } from './types.js';

export interface SequencerLimits {
  /** For so long an id is known, and its item dropped if it comes again. */
  readonly rememberIdsMs: number;
  /** Ids known at one time, a channel; beyond that the oldest is forgotten before its time. */
  readonly maxRememberedIds: number;
  /** How long an item waits for its predecessor before it goes out without. */
  readonly maxWaitMs: number;
  /** Items that wait at one time, a channel; one more, and the oldest goes out without its predecessor. */
  readonly maxParked: number;
  /** The same for the bytes of their content. */
  readonly maxParkedBytes: number;
}

/** GRIP’s numbers, as Pushpin has them, and bounds for the memory, which it has not. */
export const sequencerDefaults: SequencerLimits = {
  rememberIdsMs: 60_000,
  maxRememberedIds: 10_000,
  maxWaitMs: 5_000,
  maxParked: 100,
  maxParkedBytes: 4 * 1024 ** 2,
};

/** An item with its place in the channel’s history. */
export interface Placed {
  readonly item: PublishItem;
  readonly place: Place | undefined;
}

interface Parked extends Placed {
  readonly dueMs: number;
  readonly bytes: number;
}

/**
 * The order of one channel by `id` and `prev-id`, as GRIP has it: an id that was seen is dropped, an item whose
 * predecessor is not the last one waits for it, for a time. It lives as long as somebody listens.
 */
export class Sequencer<Result> {
  readonly #limits: SequencerLimits;
  readonly #clock: Pick<Clock, 'now' | 'after'>;
  readonly #deliver: (placed: Placed) => Result;
  readonly #ids: RecentIds;
  #lastId: string | undefined;
  /** The one that waits longest first. */
  readonly #parked = new Set<Parked>();
  #parkedBytes = 0;
  #cancelTimer: (() => void) | undefined;

  /** @param deliver is called for each item whose turn it is, in order; must not throw. */
  constructor(
    limits: SequencerLimits,
    clock: Pick<Clock, 'now' | 'after'>,
    deliver: (placed: Placed) => Result,
  ) {
    this.#limits = limits;
    this.#clock = clock;
    this.#deliver = deliver;
    this.#ids = new RecentIds(limits.rememberIdsMs, limits.maxRememberedIds);
  }

  /** Takes an item; `result` is what `deliver` said of it, if it was its turn. Those that waited for it follow. */
  take(placed: Placed): { readonly sequence: Sequence; readonly result: Result | undefined } {
    const { id, prevId } = placed.item;
    if (id !== undefined && !this.#ids.add(id, this.#clock.now())) return DUPLICATE;
    if (prevId !== undefined && this.#lastId !== undefined && prevId !== this.#lastId) {
      this.#park(placed);
      return PARKED;
    }
    const result = this.#pass(placed);
    this.#passSuccessors();
    this.#setTimer();
    return { sequence: 'in-order', result };
  }

  /** Of the last item that went out. */
  get lastId(): string | undefined {
    return this.#lastId;
  }

  get parked(): number {
    return this.#parked.size;
  }

  /** The first offset that waits, if any has one. */
  get firstParkedOffset(): number | undefined {
    let first: number | undefined;
    for (const { place } of this.#parked) {
      if (place !== undefined && (first === undefined || place.offset < first)) first = place.offset;
    }
    return first;
  }

  /** All that waits goes out as it is, in the order in which it came. */
  flush(): void {
    while (this.#parked.size > 0) this.#passOldest();
    this.#setTimer();
  }

  /** Nobody listens any more: what waits is for nobody. */
  close(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#parked.clear();
    this.#parkedBytes = 0;
  }

  #pass(placed: Placed): Result {
    this.#lastId = placed.item.id ?? this.#lastId;
    return this.#deliver(placed);
  }

  #park(placed: Placed): void {
    const parked = {
      ...placed,
      dueMs: this.#clock.now() + this.#limits.maxWaitMs,
      bytes: contentBytes(placed.item),
    };
    this.#parked.add(parked);
    this.#parkedBytes += parked.bytes;
    while (this.#isFull) this.#passOldest();
    this.#setTimer();
  }

  get #isFull(): boolean {
    const { maxParked, maxParkedBytes } = this.#limits;
    return this.#parked.size > maxParked || (this.#parkedBytes > maxParkedBytes && this.#parked.size > 0);
  }

  #passOldest(): void {
    for (const parked of this.#parked) {
      this.#unpark(parked);
      this.#pass(parked);
      this.#passSuccessors();
      return;
    }
  }

  /** All whose predecessor is the last one now; of two with the same predecessor, the one that came first. */
  #passSuccessors(): void {
    for (;;) {
      const lastId = this.#lastId;
      const next: Parked[] = [];
      for (const parked of this.#parked) if (parked.item.prevId === lastId) next.push(parked);
      if (next.length === 0) return;
      for (const parked of next) if (this.#unpark(parked)) this.#pass(parked);
    }
  }

  /** Whether it still waited: whoever is delivered to may have ended it all. */
  #unpark(parked: Parked): boolean {
    const waited = this.#parked.delete(parked);
    if (waited) this.#parkedBytes -= parked.bytes;
    return waited;
  }

  /** One timer, for the one that waits longest: all wait equally long, so it is due first. */
  #setTimer(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    for (const { dueMs } of this.#parked) {
      this.#cancelTimer = this.#clock.after(Math.max(0, dueMs - this.#clock.now()), () => this.#onDue());
      return;
    }
  }

  #onDue(): void {
    const now = this.#clock.now();
    for (;;) {
      const [oldest] = this.#parked;
      if (oldest === undefined || oldest.dueMs > now) break;
      this.#passOldest();
    }
    this.#setTimer();
  }
}

/** What was published some time ago, in the order of its ids, none of them twice. */
export function inSequence<P extends Placed>(messages: readonly P[]): readonly P[] {
  const ordered: P[] = [];
  const limits = { rememberIdsMs: 1, maxRememberedIds: Infinity, maxWaitMs: 0, maxParked: Infinity };
  const sequencer = new Sequencer({ ...limits, maxParkedBytes: Infinity }, stillClock, (placed) =>
    ordered.push(placed as P),
  );
  for (const message of messages) {
    const { id, prevId, noSeq } = message.item;
    if (noSeq || (id === undefined && prevId === undefined)) ordered.push(message);
    else sequencer.take(message);
  }
  sequencer.flush();
  return ordered;
}

const stillClock: Pick<Clock, 'now' | 'after'> = { now: () => 0, after: () => () => {} };

const DUPLICATE = { sequence: 'duplicate', result: undefined } as const;
const PARKED = { sequence: 'parked', result: undefined } as const;
