import type { Hub } from './hub.js';
import { PreparedItem } from './prepared.js';
import { inSequence } from './sequencer.js';
import type { Backplane, Place, Recovery, Subscriber, Subscription } from './types.js';

export interface Resumed {
  /** Whether the subscriber has had, or is given now, everything since its place. */
  readonly recovered: boolean;
  /** How many messages it was given of the past. */
  readonly messages: number;
}

/**
 * Subscribes, and goes on where the subscriber was: first what it has missed, then what comes, nothing twice and nothing
 * left out between the two. Where that cannot be, it is given nothing of the past. `tell` is called in front of it all.
 * Rejects where the history cannot be read; the subscription holds all the same.
 *
 * @param place undefined: from here on.
 */
export async function resume(
  { hub, backplane }: { readonly hub: Hub; readonly backplane: Pick<Backplane, 'since'> },
  subscriber: Subscriber,
  subscription: Subscription,
  place: Place | undefined,
  tell?: (recovery: Recovery) => void,
): Promise<Resumed> {
  const joined = hub.subscribe(subscriber, subscription);
  const hold = hub.hold(subscriber, subscription.channel);
  let given: Place | undefined;
  try {
    await joined;
    const recovery = await backplane.since(subscription.channel, place);
    if (hold.isOver) return { recovered: false, messages: 0 };
    tell?.(recovery);
    const messages = inSequence(recovery.messages);
    for (const { item, place: its } of messages) {
      if (hub.isSubscribed(subscriber, subscription.channel)) {
        subscriber.receive(new PreparedItem(item, its), subscription);
      }
    }
    if (recovery.recovered) given = recovery.place;
    return { recovered: recovery.recovered, messages: messages.length };
  } finally {
    hold.release(given);
  }
}
