import type { Deps } from '../base/deps.js';
import type { PublishItem } from '../protocol/grip/types.js';
import { contentBytes } from './content-bytes.js';
import { inSequence } from './sequencer.js';
import type { HistoryRule, Place, Recovery, Since } from './types.js';

export interface HistoryLimits {
  /** Channels remembered at one time; one more, and the one published to longest ago is forgotten. */
  readonly maxChannels: number;
  /** The same for the content of all channels together. */
  readonly maxTotalBytes: number;
}

export const historyDefaults: HistoryLimits = { maxChannels: 100_000, maxTotalBytes: 256 * 1024 ** 2 };

export interface HistoryOptions {
  readonly deps: Deps;
  /** What is kept of a channel; undefined: nothing. */
  readonly rule: (channel: string) => HistoryRule | undefined;
  /** Default: `historyDefaults`. */
  readonly limits?: Partial<HistoryLimits>;
}

/** How often what is too old is looked for where nothing is published any more. */
const SWEEP_MS = 30_000;

interface Kept {
  readonly item: PublishItem;
  readonly place: Place;
  readonly atMs: number;
  readonly bytes: number;
}

/** The last messages of channels, in this process. */
export class MemoryHistory {
  readonly #deps: Deps;
  readonly #rule: HistoryOptions['rule'];
  readonly #limits: HistoryLimits;
  /** The one published to longest ago first. */
  readonly #logs = new Map<string, Log>();
  readonly #cancelSweep: () => void;
  #bytes = 0;

  constructor({ deps, rule, limits }: HistoryOptions) {
    this.#deps = deps;
    this.#rule = rule;
    this.#limits = { ...historyDefaults, ...limits };
    this.#cancelSweep = deps.clock.every(SWEEP_MS, () => this.#sweep());
  }

  get channelCount(): number {
    return this.#logs.size;
  }

  /** Of content, in all channels. */
  get bytes(): number {
    return this.#bytes;
  }

  keeps(channel: string): boolean {
    return this.#rule(channel) !== undefined;
  }

  /** Keeps an item; undefined: its channel has no history. */
  append(item: PublishItem): Place | undefined {
    const rule = this.#rule(item.channel);
    if (rule === undefined) return undefined;
    const log = this.#log(item.channel, rule);
    const place = { offset: ++log.offset, epoch: log.epoch };
    const bytes = contentBytes(item);
    log.kept.push({ item, place, atMs: this.#deps.clock.now(), bytes });
    log.bytes += bytes;
    log.lastUsedMs = this.#deps.clock.now();
    this.#bytes += bytes;
    this.#trim(log);
    this.#forgetOldest(log);
    return place;
  }

  since(channel: string, from: Since | undefined): Recovery {
    const log = this.#read(channel);
    if (log === undefined) return { recovered: false, messages: [], place: undefined };
    const here = { offset: log.offset, epoch: log.epoch };
    if (from !== undefined && 'id' in from) return { ...behindItem(log.kept, from.id), place: here };
    const place = from;
    const firstKept = log.offset - log.kept.length + 1;
    const isKnown = place?.epoch === log.epoch && place.offset <= log.offset && place.offset + 1 >= firstKept;
    if (!isKnown) return { recovered: false, messages: [], place: here };
    return { recovered: true, messages: log.kept.slice(place.offset + 1 - firstKept), place: here };
  }

  /** The last so many, the oldest first. */
  last(channel: string, limit: number): Recovery['messages'] {
    return this.#read(channel)?.kept.slice(-limit) ?? [];
  }

  /** Something may be missing from a channel, or from all: what comes from now on is of another epoch. */
  forget(channel?: string): void {
    if (channel !== undefined) {
      const log = this.#logs.get(channel);
      if (log !== undefined) this.#drop(channel, log);
      return;
    }
    this.#logs.clear();
    this.#bytes = 0;
  }

  close(): void {
    this.#cancelSweep();
    this.forget();
  }

  #read(channel: string): Log | undefined {
    const rule = this.#rule(channel);
    if (rule === undefined) return undefined;
    const log = this.#log(channel, rule);
    this.#trim(log);
    this.#forgetOldest(log);
    return log;
  }

  /** Behind all others in the map, as the one that is used last. */
  #log(channel: string, rule: HistoryRule): Log {
    const log = this.#logs.get(channel) ?? {
      rule,
      epoch: this.#deps.random.id(EPOCH_CHARACTERS).replace(/[^A-Za-z0-9]/g, '0'),
      kept: [],
      offset: 0,
      bytes: 0,
      lastUsedMs: this.#deps.clock.now(),
    };
    this.#logs.delete(channel);
    this.#logs.set(channel, log);
    return log;
  }

  #trim(log: Log): void {
    const { maxMessages, maxAgeMs, maxBytes } = log.rule;
    const oldestMs = this.#deps.clock.now() - maxAgeMs;
    let gone = 0;
    for (const { atMs, bytes } of log.kept) {
      const fits = log.kept.length - gone <= maxMessages && log.bytes <= maxBytes && atMs > oldestMs;
      if (fits) break;
      gone++;
      log.bytes -= bytes;
      this.#bytes -= bytes;
    }
    if (gone > 0) log.kept.splice(0, gone);
  }

  /** @param used stays, whatever it costs: its own bounds hold. */
  #forgetOldest(used: Log): void {
    for (const [channel, log] of this.#logs) {
      const fits = this.#logs.size <= this.#limits.maxChannels && this.#bytes <= this.#limits.maxTotalBytes;
      if (fits || log === used) return;
      this.#drop(channel, log);
    }
  }

  /** An empty log stays as long again: whoever has had its last message can still be told that nothing was missed. */
  #sweep(): void {
    const now = this.#deps.clock.now();
    for (const [channel, log] of this.#logs) {
      this.#trim(log);
      if (log.kept.length === 0 && now - log.lastUsedMs >= 2 * log.rule.maxAgeMs) this.#drop(channel, log);
    }
  }

  #drop(channel: string, log: Log): void {
    this.#logs.delete(channel);
    this.#bytes -= log.bytes;
  }
}

interface Log {
  readonly rule: HistoryRule;
  readonly epoch: string;
  /** Without a hole: the last one has `offset`. */
  readonly kept: Kept[];
  offset: number;
  bytes: number;
  lastUsedMs: number;
}

const EPOCH_CHARACTERS = 12;

/**
 * What came after the item with an id, in the order of its sequence: one that was published before its predecessor may
 * stand before it in a history.
 */
export function behindItem(kept: Recovery['messages'], id: string): Pick<Recovery, 'recovered' | 'messages'> {
  const messages = inSequence(kept);
  const at = messages.findLastIndex(({ item }) => item.id === id);
  return at === -1
    ? { recovered: false, messages: [] }
    : { recovered: true, messages: messages.slice(at + 1) };
}
