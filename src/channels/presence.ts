import { askAll } from './ask-all.js';
import type { Hub } from './hub.js';
import type { Backplane, NodeQuestion } from './types.js';

export interface Member {
  /** The id of its session. */
  readonly id: string;
  readonly user: string | undefined;
  /** When it came to the channel, ISO 8601. */
  readonly since: string;
}

export interface Presence {
  readonly members: readonly Member[];
  /** All of them, also those that are too many to be listed. */
  readonly total: number;
  /** Nodes that did not answer: who is there is not in it. */
  readonly missing: readonly string[];
}

export interface PresenceOptions {
  readonly hub: Hub;
  readonly backplane: Pick<Backplane, 'nodes' | 'query'>;
  /** Whether anybody may ask who is in a channel; default: in none. */
  readonly isOn?: (channel: string) => boolean;
}

const MEMBERS = 'members';

/**
 * Who is in a channel. Nobody keeps a list of it: each node knows its own subscribers, and is asked for them, so that no
 * list can be wrong after a crash.
 */
export class PresenceBook {
  readonly #hub: Hub;
  readonly #backplane: PresenceOptions['backplane'];
  readonly #isOn: (channel: string) => boolean;

  constructor({ hub, backplane, isOn = () => false }: PresenceOptions) {
    this.#hub = hub;
    this.#backplane = backplane;
    this.#isOn = isOn;
  }

  /** @returns undefined: presence is off for the channel. */
  async of(channel: string, limit: number): Promise<Presence | undefined> {
    if (!this.#isOn(channel)) return undefined;
    const here = this.#local(channel, limit);
    const { answers, missing } = await askAll(this.#backplane, {
      what: MEMBERS,
      of: { channel, limit },
    });
    const all = [here, ...(answers as readonly LocalMembers[])];
    return {
      members: all.flatMap(({ members }) => members).slice(0, limit),
      total: all.reduce((sum, { total }) => sum + total, 0),
      missing,
    };
  }

  /** What others ask; undefined: that is not a question for this one. */
  answerQuery({ what, of }: NodeQuestion): LocalMembers | undefined {
    return what === MEMBERS ? this.#local(String(of['channel']), Number(of['limit'])) : undefined;
  }

  #local(channel: string, limit: number): LocalMembers {
    const members: Member[] = [];
    for (const { subscriber, since } of this.#hub.subscriptionsOf(channel)) {
      if (members.length >= limit) break;
      members.push({ id: subscriber.id, user: subscriber.user, since: since.toISOString() });
    }
    return { members, total: this.#hub.count(channel) };
  }
}

type LocalMembers = Omit<Presence, 'missing'>;
