import type { Deps } from '../base/deps.js';
import { type Channels, openChannels } from '../channels/channels.js';
import type { AdminAddress } from '../config/admin-address.js';
import type { Handover } from '../session/handover.js';
import type { Plan } from './compile.js';
import type { PublishPlan } from '../gateway/publish-plan.js';
import { openPublish, type PublishServer } from '../gateway/publish/server.js';
import type { Events } from '../observe/events.js';
import { ProxyError } from '../base/errors.js';
import { channelRules } from './channel-rules.js';
import { backplaneOf } from './open-backplane.js';

/** What gateway routes share: channels, the ids of sessions, and the listener where backends publish. */
export class GatewayHost {
  readonly #deps: Deps;
  readonly #events: Events;
  readonly #handover: Handover;
  readonly #plan: Pick<Plan, 'backplane' | 'channels'>;
  #channels: Promise<Channels> | undefined;
  #publish: PublishServer | undefined;

  constructor(deps: Deps, events: Events, plan: Pick<Plan, 'backplane' | 'channels'>, handover: Handover) {
    this.#deps = deps;
    this.#events = events;
    this.#plan = plan;
    this.#handover = handover;
  }

  /** Opened when they are first needed; the same each time. */
  channels(): Promise<Channels> {
    return (this.#channels ??= this.#open());
  }

  /** @throws ListenError, or Node’s own error */
  async openPublish(plan: PublishPlan): Promise<void> {
    const onFault = (thrown: unknown): void => this.#events.emit('fault', ProxyError.from(thrown));
    const options = { clock: this.#deps.clock, onFault };
    this.#publish = await openPublish(plan, await this.channels(), options);
  }

  /** As `PublishServer.update`. */
  updatePublish(plan: PublishPlan | undefined): void {
    if (plan !== undefined) this.#publish?.update(plan);
  }

  /** Where it publishes; undefined where it does not. */
  get publishAddress(): AdminAddress | undefined {
    return this.#publish?.address;
  }

  /** Safe to call again. */
  async close(): Promise<void> {
    this.#handover.close();
    await this.#publish?.close();
    const channels = await this.#channels?.catch(() => undefined);
    await channels?.close();
  }

  #open(): Promise<Channels> {
    const { backplane, channels } = this.#plan;
    const rules = channelRules(channels);
    const events = this.#events;
    return openChannels({
      deps: this.#deps,
      backplane: backplaneOf(backplane, channels, rules, this.#deps),
      presence: rules.presence,
      told: {
        onNodeLost: (node, sessions, told) => this.#handover.onNodeLost(node, sessions, told),
        onOutcast: (ids) => this.#handover.onOutcast(ids),
        onLink: (state, detail) => events.emit('backplane.link', state, detail),
        onGap: (channel, missed) => events.emit('backplane.gap', channel, missed),
        onTrouble: (detail) => events.emit('backplane.trouble', detail),
      },
    });
  }
}
