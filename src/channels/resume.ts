import type { Hub } from './hub.js';
import { PreparedItem } from './prepared.js';
import { inSequence } from './sequencer.js';
import type { Place, Recovery, Since, Subscriber, Subscription } from './types.js';

export interface Resumed {
  /** Whether the subscriber has had, or is given now, everything since then. */
  readonly recovered: boolean;
  /** How many messages it was given of the past. */
  readonly messages: number;
}

/**
 * Subscribes, and goes on where the subscriber was: first what it has missed, as fast as it takes it, then what comes,
 * nothing twice and nothing left out between the two. Where that cannot be, it is given nothing of the past. `tell` is
 * called in front of it all. Rejects where the history cannot be read; the subscription holds all the same.
 *
 * @param from undefined: from here on.
 */
export async function resume(
  hub: Hub,
  subscriber: Subscriber,
  subscription: Subscription,
  from: Since | undefined,
  tell?: (recovery: Recovery) => void,
): Promise<Resumed> {
  const { channel } = subscription;
  const joined = hub.subscribe(subscriber, subscription);
  const hold = hub.hold(subscriber, channel);
  let given: Place | undefined;
  try {
    await joined;
    const recovery = await hub.since(channel, from);
    if (hold.isOver) {
      const nothing = { recovered: false, messages: [], place: recovery.place };
      if (hub.isSubscribed(subscriber, channel)) tell?.(nothing);
      return { recovered: false, messages: 0 };
    }
    tell?.(recovery);
    const messages = inSequence(recovery.messages);
    for (const { item, place } of messages) {
      const isReady = subscriber.ready?.();
      if (isReady !== undefined) await isReady;
      if (!hub.isSubscribed(subscriber, channel)) break;
      if (hold.isOver) {
        subscriber.tooSlow?.();
        break;
      }
      subscriber.receive(new PreparedItem(item, place), subscription);
    }
    if (recovery.recovered) given = recovery.place;
    return { recovered: recovery.recovered, messages: messages.length };
  } finally {
    hold.release(given);
  }
}
