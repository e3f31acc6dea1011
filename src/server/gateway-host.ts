import type { Deps } from '../base/deps.js';
import { type Channels, openChannels } from '../channels/channels.js';

/** What gateway routes share: channels and the ids of sessions. Opened when the first of them is needed. */
export class GatewayHost {
  readonly #deps: Deps;
  #channels: Promise<Channels> | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** The same each time. */
  channels(): Promise<Channels> {
    return (this.#channels ??= openChannels({ deps: this.#deps }));
  }

  /** Safe to call again. */
  async close(): Promise<void> {
    const channels = await this.#channels?.catch(() => undefined);
    await channels?.close();
  }
}
