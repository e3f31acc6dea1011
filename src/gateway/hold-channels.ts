import type { Hub } from '../channels/hub.js';
import { resume } from '../channels/resume.js';
import type { Subscriber, Subscription } from '../channels/types.js';
import { gripLast } from '../protocol/grip/features.js';
import type { FilterContext } from '../protocol/grip/filters.js';
import type { Hold } from '../protocol/grip/hold.js';
import type { PublishItem } from '../protocol/grip/types.js';
import type { GatewayPlan } from '../route/gateway-plan.js';

export interface HoldChannelsOptions {
  readonly hub: Hub;
  readonly plan: Pick<GatewayPlan, 'channelPrefix' | 'maxSubscriptions'>;
  readonly subscriber: Subscriber;
  /** One line for the log. */
  readonly report: (problem: string) => void;
}

/** The channels of a client that is held: which, since which item, and what filters know of the client. */
export class HoldChannels {
  readonly #options: HoldChannelsOptions;
  /** By the backend’s names, without the prefix: the last item that the client has had, as far as it is known. */
  readonly #lastIds = new Map<string, string | undefined>();
  readonly #meta = new Map<string, string>();
  #filters: readonly string[] = [];
  /** Of the channels of the last hold whose past is read: how that came out. */
  #reading: Promise<string | undefined> = NONE_BEHIND;
  /** Gaps that the backend was asked about: it is not asked twice, whatever it said. */
  readonly #asked = new Set<string>();

  constructor(options: HoldChannelsOptions) {
    this.#options = options;
  }

  get meta(): ReadonlyMap<string, string> {
    return this.#meta;
  }

  /**
   * The channels of a hold, in place of those before. Returns one of which items went out before the client came to it
   * that the backend did not know of; undefined: none is known.
   */
  adopt(hold: Hold): string | undefined {
    const { hub, plan, subscriber, report } = this.#options;
    for (const [name, value] of hold.meta) this.#meta.set(name, value);
    const channels = hold.channels.slice(0, plan.maxSubscriptions);
    if (channels.length < hold.channels.length) {
      report(
        `the backend subscribes to ${hold.channels.length} channels, of which the first ${plan.maxSubscriptions} count (\`gateway.maxSubscriptions\`)`,
      );
    }
    const names = new Set(channels.map(({ name }) => name));
    for (const name of this.#lastIds.keys()) {
      if (names.has(name)) continue;
      this.#lastIds.delete(name);
      hub.unsubscribe(subscriber, plan.channelPrefix + name);
    }
    this.#reading = NONE_BEHIND;
    let behind: string | undefined;
    for (const { name, prevId, filters } of channels) {
      const isNew = !this.#lastIds.has(name);
      const channel = plan.channelPrefix + name;
      this.#lastIds.set(name, prevId);
      const subscription = { channel, filters, meta: () => this.#meta };
      if (isNew && prevId !== undefined && hub.keepsHistory(channel)) {
        this.#goOn(name, subscription, prevId);
        continue;
      }
      hub
        .subscribe(subscriber, subscription)
        .catch((thrown: unknown) => report(`channel ${channel}: ${String(thrown)}`));
      const lastId = isNew && prevId !== undefined ? hub.lastId(channel) : undefined;
      if (lastId === undefined || lastId === prevId) continue;
      if (this.#asksAbout(name, prevId, lastId)) behind = name;
      else
        report(`channel ${channel}: the backend goes on from '${prevId}', though '${lastId}' has gone out`);
    }
    this.#filters = [...new Set(channels.flatMap(({ filters }) => filters))];
    return behind;
  }

  /** One of the channels whose past is not kept far enough, as far as that was asked; undefined: there is none. */
  behind(): Promise<string | undefined> {
    return this.#reading;
  }

  /** Whether the order of items counts on this one’s channel. */
  isSequenced({ channel }: PublishItem): boolean {
    return this.#lastIds.get(this.#nameOf(channel)) !== undefined;
  }

  /** Whether the client has missed what came before the item, and the backend is to be asked about it. */
  isBeyondGap({ channel, id, prevId }: PublishItem): boolean {
    const name = this.#nameOf(channel);
    const lastId = this.#lastIds.get(name);
    if (lastId === undefined || prevId === undefined || prevId === lastId) return false;
    if (this.#asksAbout(name, lastId, id ?? prevId)) return true;
    this.#options.report(
      `channel ${channel}: the item behind '${prevId}' goes to a client that has had '${lastId}'; the backend was asked for what is between`,
    );
    return false;
  }

  /** Whether this is the last item that the client has had. */
  isLast({ channel, id }: PublishItem): boolean {
    return id !== undefined && this.#lastIds.get(this.#nameOf(channel)) === id;
  }

  /** The client has this item, or was not to have it. */
  note({ channel, id }: PublishItem): void {
    const name = this.#nameOf(channel);
    if (id !== undefined && this.#lastIds.has(name)) this.#lastIds.set(name, id);
  }

  /** For items of a subscription with these filters. */
  context(filters: readonly string[]): FilterContext {
    return { filters, meta: this.#meta, channels: this.#lastIds };
  }

  /** For a body of the backend: the filters of all channels. */
  get bodyContext(): FilterContext {
    return this.context(this.#filters);
  }

  /** Values of `Grip-Last`. */
  gripLast(): string[] {
    return [...this.#lastIds]
      .map(([name, id]) => (id === undefined ? undefined : gripLast(name, id)))
      .filter((value) => value !== undefined);
  }

  leave(): void {
    this.#options.hub.leaveAll(this.#options.subscriber);
  }

  /** What the client has missed comes from the history; where that does not reach back so far, the backend is asked. */
  #goOn(name: string, subscription: Subscription, prevId: string): void {
    const { hub, subscriber, report } = this.#options;
    const before = this.#reading;
    const reading = new Promise<boolean>((resolve) => {
      resume(hub, subscriber, subscription, { id: prevId }, ({ recovered }) => resolve(recovered))
        .catch((thrown: unknown) => report(`channel ${subscription.channel}: ${String(thrown)}`))
        .finally(() => resolve(false));
    });
    this.#reading = reading.then(async (isWhole) => {
      const other = await before;
      if (isWhole) return other;
      report(`channel ${subscription.channel}: not all that came since '${prevId}' is kept`);
      return other ?? (this.#asksAbout(name, prevId, '') ? name : undefined);
    });
  }

  #asksAbout(name: string, lastId: string | undefined, id: string): boolean {
    const gap = JSON.stringify([name, lastId, id]);
    if (this.#asked.has(gap)) return false;
    if (this.#asked.size >= MAX_GAPS) this.#asked.clear();
    this.#asked.add(gap);
    return true;
  }

  #nameOf(channel: string): string {
    return channel.slice(this.#options.plan.channelPrefix.length);
  }
}

const NONE_BEHIND = Promise.resolve(undefined);

/** Gaps that are remembered at one time: enough to end any circle. */
const MAX_GAPS = 100;
