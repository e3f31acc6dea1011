import { decodeItem } from '../../protocol/grip/publish-json.js';
import type { PublishItem } from '../../protocol/grip/types.js';
import type { Place } from '../types.js';

/** A message of a channel, as Redis has it. */
export interface RedisMessage {
  readonly place: Place;
  /** Node and number of who published it, `node:7`. */
  readonly origin: string;
  readonly json: string;
}

/** What Redis knows of a channel from an offset on, that one included. */
export interface RedisLog {
  /** The last message; offset 0 before the first. */
  readonly place: Place;
  readonly entries: readonly RedisMessage[];
}

export interface RedisChannelHandlers {
  /** Whether the channel has a history, from which it can be repaired. */
  readonly hasHistory: boolean;
  /** Whether there is a link: where there is none, `check` is called when it is there again. */
  isUp(): boolean;
  deliver(message: RedisMessage): void;
  onGap(missed: number | undefined): void;
  onTrouble(detail: string): void;
  /** Before the history is read again, as it could not be read. */
  pause(): Promise<void>;
  /** What there is from an offset on; without a history, no entries. Rejects where it cannot be read. */
  read(offset: number): Promise<RedisLog>;
}

/** How often the history is tried to be read before what is missing is told as a gap. */
const MAX_READS = 20;

/**
 * One channel that this node hears: every message once and in order, or a gap that is told. Pub/sub loses what is
 * published while a link is down; the numbers say so, and the history has it still.
 */
export class RedisChannel {
  readonly #handlers: RedisChannelHandlers;
  /** Of the last message that was delivered, or of the channel when this node came to it. */
  #last: Place | undefined;
  /** What comes while the history is to be read; undefined: it is not. */
  #waiting: RedisMessage[] | undefined;
  #isReading = false;
  /** The link was lost while the history was read: read it again. */
  #isOutdated = false;

  constructor(handlers: RedisChannelHandlers) {
    this.#handlers = handlers;
  }

  /** From here on this node hears all; what it had heard before counts more. */
  begin(place: Place): void {
    this.#last ??= place;
  }

  take(message: RedisMessage): void {
    if (this.#waiting !== undefined) this.#waiting.push(message);
    else if (this.#handlers.hasHistory) this.#takeWhole(message);
    else this.#takeAsItIs(message);
  }

  /** After the link was lost: what was missed meanwhile is delivered, or told. Never rejects. */
  async check(): Promise<void> {
    if (!this.#handlers.hasHistory) return await this.#compare();
    if (this.#isReading) this.#isOutdated = true;
    else await this.#repair();
  }

  /** Numbers may be behind the last one where it was read from the server in the meantime. */
  #takeAsItIs(message: RedisMessage): void {
    const { offset, epoch } = message.place;
    const last = this.#last;
    if (last !== undefined && epoch !== last.epoch) this.#handlers.onGap(undefined);
    else if (last !== undefined && offset > last.offset + 1) this.#handlers.onGap(offset - last.offset - 1);
    if (last === undefined || epoch !== last.epoch || offset > last.offset) this.#last = message.place;
    this.#handlers.deliver(message);
  }

  #takeWhole(message: RedisMessage): void {
    const { offset, epoch } = message.place;
    const last = this.#last;
    if (last !== undefined && last.epoch === epoch && offset <= last.offset) return;
    const isNext = last === undefined || (last.epoch === epoch && offset === last.offset + 1);
    if (isNext) {
      this.#last = message.place;
      this.#handlers.deliver(message);
      return;
    }
    this.#waiting = [message];
    void this.#repair();
  }

  /** Reads the history and then goes on with what waited. Without a link, that is done when there is one again. */
  async #repair(): Promise<void> {
    this.#waiting ??= [];
    this.#isReading = true;
    for (let failures = 0; ;) {
      this.#isOutdated = false;
      try {
        await this.#readMissed();
        if (!this.#isOutdated) break;
      } catch (error) {
        if (this.#isOutdated) continue;
        if (!this.#handlers.isUp()) {
          this.#isReading = false;
          return;
        }
        // A server that has just been started, or has just taken over, needs its time.
        failures++;
        if (failures === MAX_READS) {
          this.#giveUp(error as Error);
          break;
        }
        await this.#handlers.pause();
      }
    }
    this.#isReading = false;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    for (const message of waiting) this.take(message);
  }

  #giveUp({ message }: Error): void {
    this.#handlers.onTrouble(`its history cannot be read: ${message}`);
    this.#handlers.onGap(undefined);
    this.#last = undefined;
  }

  async #readMissed(): Promise<void> {
    const last = this.#last;
    if (last === undefined) {
      this.#last = (await this.#handlers.read(Number.MAX_SAFE_INTEGER)).place;
      this.#handlers.onGap(undefined);
      return;
    }
    const log = await this.#handlers.read(last.offset);
    if (follows(last, log)) {
      this.#deliverAll(log.entries.filter(({ place }) => place.offset > last.offset));
      return;
    }
    // What was heard last is not in the history any more, or the history is another one.
    const all = await this.#handlers.read(0);
    const unheard = all.entries.slice(1 + all.entries.findLastIndex(({ place }) => isHeard(place, last)));
    const first = unheard[0]?.place ?? { offset: all.place.offset + 1, epoch: all.place.epoch };
    this.#handlers.onGap(first.epoch === last.epoch ? first.offset - last.offset - 1 : undefined);
    this.#deliverAll(unheard);
    this.#last = all.place;
  }

  #deliverAll(messages: readonly RedisMessage[]): void {
    for (const message of messages) {
      this.#last = message.place;
      this.#handlers.deliver(message);
    }
  }

  async #compare(): Promise<void> {
    try {
      const { place } = await this.#handlers.read(Number.MAX_SAFE_INTEGER);
      const last = this.#last;
      if (last !== undefined && place.epoch === last.epoch && place.offset === last.offset) return;
      const isLater = last !== undefined && place.epoch === last.epoch && place.offset > last.offset;
      this.#last = place;
      this.#handlers.onGap(isLater ? place.offset - last.offset : undefined);
    } catch {
      this.#handlers.onGap(undefined);
    }
  }
}

/** Whether the entries of a log, read from `place` on, are all that came after it. Offsets have no holes. */
export function follows(place: Place, log: RedisLog): boolean {
  const [first] = log.entries;
  if (place.offset > log.place.offset) return false;
  if (place.offset === log.place.offset) return (first?.place ?? log.place).epoch === place.epoch;
  if (first === undefined || first.place.epoch !== place.epoch) return false;
  return first.place.offset === place.offset || first.place.offset === place.offset + 1;
}

/** `offset epoch origin json` */
export function parseMessage(text: string): RedisMessage {
  const [offset, epoch, origin] = text.split(' ', 3) as [string, string, string];
  const json = text.slice(offset.length + epoch.length + origin.length + 3);
  return { place: { offset: Number(offset), epoch }, origin, json };
}

/** What `readScript` says. */
export function parseLog(reply: unknown): RedisLog {
  const [offset, epoch, entries] = reply as [number, string, [id: string, origin: string, json: string][]];
  return {
    place: { offset, epoch },
    entries: entries.map(([id, origin, json]) => {
      const [entryOffset, entryEpoch] = id.split('-') as [string, string];
      return { place: { offset: Number(entryOffset), epoch: entryEpoch }, origin, json };
    }),
  };
}

/** Throws one line where it is not an item. */
export function parseItem(json: string): PublishItem {
  const item = decodeItem(json);
  if ('problem' in item) throw new Error(item.problem);
  return item;
}

function isHeard(place: Place, last: Place): boolean {
  return place.epoch === last.epoch && place.offset <= last.offset;
}
