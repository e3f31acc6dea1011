import type { Deps } from '../base/deps.js';
import { type Channels, openChannels } from '../channels/channels.js';
import type { AdminAddress } from '../config/admin-address.js';
import type { PublishPlan } from '../gateway/publish-plan.js';
import { openPublish, type PublishServer } from '../gateway/publish/server.js';

/** What gateway routes share: channels, the ids of sessions, and the listener where backends publish. */
export class GatewayHost {
  readonly #deps: Deps;
  readonly #onFault: (error: unknown) => void;
  #channels: Promise<Channels> | undefined;
  #publish: PublishServer | undefined;

  constructor(deps: Deps, onFault: (error: unknown) => void) {
    this.#deps = deps;
    this.#onFault = onFault;
  }

  /** Opened when they are first needed; the same each time. */
  channels(): Promise<Channels> {
    return (this.#channels ??= openChannels({ deps: this.#deps }));
  }

  /** @throws ListenError, or Node’s own error */
  async openPublish(plan: PublishPlan): Promise<void> {
    const options = { clock: this.#deps.clock, onFault: this.#onFault };
    this.#publish = await openPublish(plan, await this.channels(), options);
  }

  /** Where it publishes; undefined where it does not. */
  get publishAddress(): AdminAddress | undefined {
    return this.#publish?.address;
  }

  /** Safe to call again. */
  async close(): Promise<void> {
    await this.#publish?.close();
    const channels = await this.#channels?.catch(() => undefined);
    await channels?.close();
  }
}
