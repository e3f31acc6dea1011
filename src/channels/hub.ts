import type { Clock } from '../base/deps.js';
import type { PublishItem } from '../protocol/grip/types.js';
import { NOBODY } from './nobody.js';
import { PreparedItem } from './prepared.js';
import { type Placed, Sequencer, sequencerDefaults, type SequencerLimits } from './sequencer.js';
import type {
  Backplane,
  Delivery,
  Place,
  Prepared,
  PublishResult,
  Recovery,
  Since,
  Subscriber,
  Subscription,
} from './types.js';

export interface HubOptions {
  readonly clock: Clock;
  readonly backplane: Pick<Backplane, 'join' | 'leave' | 'publish' | 'keepsHistory' | 'since'>;
  /** Default: `sequencerDefaults`. */
  readonly sequencing?: Partial<SequencerLimits>;
}

/** Messages that are held for one subscriber while its past is read; one more, and it has none. */
const MAX_HELD = 1000;

/** A channel as others see it. */
export interface ChannelCount {
  readonly channel: string;
  readonly subscribers: number;
}

/** Who listens to what on this node, and the way of an item to all of them. */
export class Hub {
  readonly #clock: Clock;
  readonly #backplane: HubOptions['backplane'];
  readonly #limits: SequencerLimits;
  readonly #channels = new Map<string, Channel>();
  readonly #channelsOf = new Map<Subscriber, Channel[]>();
  /** Deliveries so far. Who subscribes during one is not part of it. */
  #deliveries = 0;

  constructor({ clock, backplane, sequencing }: HubOptions) {
    this.#clock = clock;
    this.#backplane = backplane;
    this.#limits = { ...sequencerDefaults, ...sequencing };
  }

  /** From the next item on. A second time replaces what was said the first time. Resolves as `Backplane.join`. */
  subscribe(subscriber: Subscriber, subscription: Subscription): Promise<void> {
    const channel = this.#channels.get(subscription.channel) ?? this.#open(subscription.channel);
    const entry = channel.entries.get(subscriber);
    if (entry !== undefined) {
      entry.subscription = subscription;
    } else {
      const since = this.#clock.date();
      channel.entries.set(subscriber, {
        subscriber,
        subscription,
        since,
        sinceDelivery: this.#deliveries,
        held: undefined,
      });
      const channels = this.#channelsOf.get(subscriber);
      if (channels === undefined) this.#channelsOf.set(subscriber, [channel]);
      else channels.push(channel);
    }
    return channel.joined;
  }

  /** Whether it was subscribed. */
  unsubscribe(subscriber: Subscriber, name: string): boolean {
    const channel = this.#channels.get(name);
    if (channel === undefined || !channel.entries.delete(subscriber)) return false;
    const channels = this.#channelsOf.get(subscriber)!;
    if (channels.length === 1) this.#channelsOf.delete(subscriber);
    else channels.splice(channels.indexOf(channel), 1);
    this.#closeIfEmpty(channel);
    return true;
  }

  /** The subscriber is gone. */
  leaveAll(subscriber: Subscriber): void {
    const channels = this.#channelsOf.get(subscriber) ?? [];
    this.#channelsOf.delete(subscriber);
    for (const channel of channels) {
      channel.entries.delete(subscriber);
      this.#closeIfEmpty(channel);
    }
  }

  /** Keeps back what comes for a subscriber of the channel, until it is released: see `resume`. */
  hold(subscriber: Subscriber, name: string): Hold {
    const entry = this.#channels.get(name)?.entries.get(subscriber);
    if (entry === undefined) throw new Error(`${subscriber.id} holds a channel that it is not in: ${name}`);
    const held: Prepared[] = (entry.held ??= []);
    return {
      get isOver() {
        return entry.held !== held;
      },
      release: (had) => {
        if (entry.held !== held) return;
        entry.held = undefined;
        for (const item of held) {
          if (!this.isSubscribed(subscriber, name)) return;
          if (!isBehind(item.place, had)) subscriber.receive(item, entry.subscription);
        }
      },
    };
  }

  /** To all nodes. Rejects where it could not be handed on. */
  publish(item: PublishItem): Promise<PublishResult> {
    return this.#backplane.publish(item);
  }

  keepsHistory(channel: string): boolean {
    return this.#backplane.keepsHistory(channel);
  }

  /** As `Backplane.since`. */
  since(channel: string, from: Since | undefined): Promise<Recovery> {
    return this.#backplane.since(channel, from);
  }

  /** What the backplane brings, for those who listen here: its handler `onPublish`. */
  receive(item: PublishItem, place: Place | undefined): PublishResult {
    const channel = this.#channels.get(item.channel);
    if (channel === undefined) return NOBODY;
    const placed = { item, place };
    if (item.noSeq || (item.id === undefined && item.prevId === undefined)) {
      return { ...this.#deliver(channel, placed), sequence: 'in-order' };
    }
    channel.sequencer ??= new Sequencer(this.#limits, this.#clock, (due) => this.#deliver(channel, due));
    const { sequence, result = NOBODY } = channel.sequencer.take(placed);
    return { ...result, sequence };
  }

  /** How many subscribers a channel has here. */
  count(name: string): number {
    return this.#channels.get(name)?.entries.size ?? 0;
  }

  /** Of the last item that went out to those who listen here; undefined: none with an id has. */
  lastId(name: string): string | undefined {
    return this.#channels.get(name)?.sequencer?.lastId;
  }

  isSubscribed(subscriber: Subscriber, name: string): boolean {
    return this.#channels.get(name)?.entries.has(subscriber) ?? false;
  }

  /** In the order in which the subscriber came to them. */
  channelsOf(subscriber: Subscriber): readonly string[] {
    return (this.#channelsOf.get(subscriber) ?? []).map(({ name }) => name);
  }

  /** In the order in which they came. */
  subscriptionsOf(name: string): IterableIterator<SubscriptionFact> {
    return (this.#channels.get(name)?.entries ?? NO_ENTRIES).values();
  }

  get channelCount(): number {
    return this.#channels.size;
  }

  /** All channels of this node, in no order. */
  *channels(): Generator<ChannelCount> {
    for (const { name, entries } of this.#channels.values()) {
      yield { channel: name, subscribers: entries.size };
    }
  }

  #open(name: string): Channel {
    const channel: Channel = {
      name,
      entries: new Map(),
      joined: this.#backplane.join(name),
      sequencer: undefined,
      lastPlace: undefined,
    };
    this.#channels.set(name, channel);
    return channel;
  }

  #closeIfEmpty(channel: Channel): void {
    if (channel.entries.size > 0) return;
    channel.sequencer?.close();
    this.#channels.delete(channel.name);
    this.#backplane.leave(channel.name);
  }

  /** A Map may change while it is walked: who is gone is not reached, and who is new is passed over. */
  #deliver(channel: Channel, { item, place }: Placed): Tally {
    const prepared = new PreparedItem(item, place && resumeAt(channel, place));
    const delivery = ++this.#deliveries;
    let delivered = 0;
    let dropped = 0;
    for (const entry of channel.entries.values()) {
      if (entry.sinceDelivery >= delivery) continue;
      const outcome = entry.held === undefined ? receive(entry, prepared) : hold(entry, entry.held, prepared);
      if (outcome === 'delivered') delivered++;
      else if (outcome === 'dropped') dropped++;
    }
    return { delivered, dropped };
  }
}

/** What comes for a subscriber waits here while it is given the past. */
export interface Hold {
  /** There was too much to hold: it has been given out, and there is no past to be given before it. */
  readonly isOver: boolean;
  /** Gives out what was held, but for what it has had already, up to `had`. */
  release(had: Place | undefined): void;
}

export interface SubscriptionFact {
  readonly subscriber: Subscriber;
  readonly since: Date;
}

interface Entry extends SubscriptionFact {
  subscription: Subscription;
  readonly sinceDelivery: number;
  /** Undefined: nothing is held. */
  held: Prepared[] | undefined;
}

interface Channel {
  readonly name: string;
  readonly entries: Map<Subscriber, Entry>;
  readonly joined: Promise<void>;
  /** From the first item that has an id on. */
  sequencer: Sequencer<Tally> | undefined;
  /** The furthest in its history that came to be delivered. */
  lastPlace: Place | undefined;
}

type Tally = Omit<PublishResult, 'sequence'>;

const NO_ENTRIES: ReadonlyMap<Subscriber, Entry> = new Map();

function receive({ subscriber, subscription }: Entry, prepared: Prepared): Delivery {
  return subscriber.receive(prepared, subscription);
}

function hold(entry: Entry, held: Prepared[], prepared: Prepared): Delivery {
  held.push(prepared);
  if (held.length > MAX_HELD) {
    entry.held = undefined;
    for (const item of held) receive(entry, item);
  }
  return 'delivered';
}

function isBehind(place: Place | undefined, had: Place | undefined): boolean {
  return place !== undefined && had !== undefined && place.epoch === had.epoch && place.offset <= had.offset;
}

/** Behind all that was delivered, but before what still waits. */
function resumeAt(channel: Channel, place: Place): Place {
  const { lastPlace, sequencer } = channel;
  const isFurther = lastPlace?.epoch !== place.epoch || lastPlace.offset < place.offset;
  const furthest = isFurther ? place : lastPlace;
  channel.lastPlace = furthest;
  const firstParked = sequencer?.firstParkedOffset;
  if (firstParked === undefined || firstParked > furthest.offset) return furthest;
  return { epoch: place.epoch, offset: firstParked - 1 };
}
