import { askAll } from './ask-all.js';
import type { ChannelCount, Hub } from './hub.js';
import type { Backplane, NodeQuestion } from './types.js';

export interface ChannelPage {
  /** By name. */
  readonly channels: readonly ChannelCount[];
  /** To be given as `after` for the page behind this one; undefined: this is the last. */
  readonly next: string | undefined;
  /** Nodes that did not answer: their subscribers are not in it. */
  readonly missing: readonly string[];
}

const CHANNELS = 'channels';
const COUNT = 'channel-count';

/** The channels that have subscribers, on all nodes. */
export class ChannelList {
  readonly #hub: Hub;
  readonly #backplane: Pick<Backplane, 'nodes' | 'query'>;

  constructor(hub: Hub, backplane: Pick<Backplane, 'nodes' | 'query'>) {
    this.#hub = hub;
    this.#backplane = backplane;
  }

  /** @param after the name behind which the page begins. */
  async page(limit: number, after = ''): Promise<ChannelPage> {
    // One more than asked for tells whether there is a page behind this one.
    const of = { limit: limit + 1, after };
    const { answers, missing } = await askAll(this.#backplane, {
      what: CHANNELS,
      of,
    });
    const counts = new Map<string, number>();
    const all = [this.#local(of.limit, after), ...(answers as readonly (readonly ChannelCount[])[])];
    for (const { channel, subscribers } of all.flat()) {
      counts.set(channel, (counts.get(channel) ?? 0) + subscribers);
    }
    const merged = [...counts].map(([channel, subscribers]) => ({ channel, subscribers })).sort(byName);
    const channels = merged.slice(0, limit);
    return { channels, next: merged.length > limit ? channels.at(-1)?.channel : undefined, missing };
  }

  /** Subscribers of one channel. */
  async count(
    channel: string,
  ): Promise<{ readonly subscribers: number; readonly missing: readonly string[] }> {
    const question = { what: COUNT, of: { channel } };
    const { answers, missing } = await askAll(this.#backplane, question);
    return {
      subscribers: answers.reduce<number>((sum, n) => sum + Number(n), this.#hub.count(channel)),
      missing,
    };
  }

  /** What others ask; undefined: that is not a question for this one. */
  answerQuery({ what, of }: NodeQuestion): unknown {
    if (what === COUNT) return this.#hub.count(String(of['channel']));
    if (what === CHANNELS) return this.#local(Number(of['limit']), String(of['after']));
    return undefined;
  }

  #local(limit: number, after: string): readonly ChannelCount[] {
    const found: ChannelCount[] = [];
    for (const count of this.#hub.channels()) if (count.channel > after) found.push(count);
    return found.sort(byName).slice(0, limit);
  }
}

/** By code units, as `>` compares: pages are cut by it. */
function byName(a: ChannelCount, b: ChannelCount): number {
  return a.channel < b.channel ? -1 : a.channel > b.channel ? 1 : 0;
}
