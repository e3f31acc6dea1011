import { ProxyError } from '../base/errors.js';
import type { PublishItem } from '../protocol/grip/types.js';

/** An item, and the filters of the subscription that it came by. */
export interface Waiting {
  readonly item: PublishItem;
  readonly filters: readonly string[];
}

/** One more, and the client is cut. */
const MAX_ITEMS = 1000;

/** What is published to a client that is held while its backend’s own part is on its way, which it stands behind. */
export class WaitingItems {
  readonly #maxBytes: number;
  readonly #items: Waiting[] = [];
  #bytes = 0;

  /** @param maxBytes of content. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @throws ProxyError where there are too many. */
  add(one: Waiting): void {
    const { httpStream } = one.item;
    this.#items.push(one);
    this.#bytes += httpStream?.action === 'send' ? httpStream.content.length : 0;
    if (this.#items.length <= MAX_ITEMS && this.#bytes <= this.#maxBytes) return;
    const detail = `more than ${MAX_ITEMS} items, or ${this.#maxBytes} bytes (\`gateway.slowConsumer\`), waited for the backend’s own part of the response`;
    throw new ProxyError('UPSTREAM_RESPONSE_ABORTED', detail);
  }

  /**
   * Those that the backend did not know of, in their order.
   *
   * @param isLast whether an item is the last one of its channel that the backend’s part has: it goes, with all before.
   */
  behind(isLast: (item: PublishItem) => boolean): readonly Waiting[] {
    const known = new Map<string, Waiting>();
    for (const one of this.#items) if (isLast(one.item)) known.set(one.item.channel, one);
    return this.#items.filter((one) => {
      const last = known.get(one.item.channel);
      if (last === one) known.delete(one.item.channel);
      return last === undefined;
    });
  }
}
