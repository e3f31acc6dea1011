import type { TurnClock } from '../base/turn-clock.js';
import type { Delivery, Prepared } from '../channels/types.js';
import type { GatewayPlan } from '../route/gateway-plan.js';
import type { ClientEndpoint } from './types.js';

type Sending =
  { readonly type: 'text' | 'binary'; readonly content: Buffer } | { readonly prepared: Prepared };

/** What an outlet needs of a client; a `prepared` message is never given to one that cannot send it. */
export type OutletEnd = Pick<ClientEndpoint, 'bufferedBytes' | 'isBlocked' | 'isOpen' | 'send'> &
  Partial<Pick<ClientEndpoint, 'sendPrepared'>>;

/**
 * The way of messages to one client, which may be slower than they come: then its route’s policy decides, in the open.
 * What waits for it is bounded whatever the policy is.
 */
export class Outlet {
  /** Messages and bytes of content that were given to the connection. */
  messages = 0;
  bytes = 0;
  /** When the last of them was, by its clock; undefined: none, or nobody said what time it is. */
  sentAtMs: number | undefined;
  /** Messages that were lost to the policy. */
  dropped = 0;
  readonly #endpoint: OutletEnd;
  readonly #plan: GatewayPlan['slowConsumer'];
  readonly #onTooSlow: () => void;
  readonly #clock: TurnClock | undefined;
  /** For `drop-oldest`: what goes out when the connection takes more. */
  #queue: Sending[] = [];
  #queuedBytes = 0;
  #awaiting: (() => void)[] = [];

  /** @param onTooSlow called once, with policy `close`; it has to close. */
  constructor(
    endpoint: OutletEnd,
    plan: GatewayPlan['slowConsumer'],
    onTooSlow: () => void,
    clock?: TurnClock,
  ) {
    this.#endpoint = endpoint;
    this.#plan = plan;
    this.#onTooSlow = onTooSlow;
    this.#clock = clock;
  }

  send(type: 'text' | 'binary', content: Buffer): Delivery {
    return this.#give({ type, content });
  }

  sendPrepared(prepared: Prepared): Delivery {
    const endpoint = this.#endpoint;
    // A fan-out comes here for nearly every delivery: nothing is made for a client that has taken all others.
    if (this.#queue.length > 0 || endpoint.bufferedBytes > 0 || !endpoint.isOpen) {
      return this.#give({ prepared });
    }
    this.messages++;
    this.bytes += sizeOfPrepared(prepared);
    this.sentAtMs = this.#clock?.now();
    endpoint.sendPrepared?.(prepared);
    return 'delivered';
  }

  /** Undefined while the connection takes more; else resolves once it does, or never where it ends before. */
  ready(): Promise<void> | undefined {
    if (!this.#endpoint.isBlocked && this.#queue.length === 0) return undefined;
    return new Promise((resolve) => this.#awaiting.push(resolve));
  }

  /** The connection takes more. */
  onDrain(): void {
    while (this.#queue.length > 0 && !this.#endpoint.isBlocked) {
      const next = this.#queue.shift()!;
      this.#queuedBytes -= sizeOf(next);
      this.#pass(next);
    }
    if (this.#queue.length > 0 || this.#awaiting.length === 0) return;
    for (const resolve of this.#awaiting.splice(0)) resolve();
  }

  /** Bytes that wait for the client. */
  get waitingBytes(): number {
    return this.#endpoint.bufferedBytes + this.#queuedBytes;
  }

  #give(sending: Sending): Delivery {
    if (!this.#endpoint.isOpen) return 'skipped';
    if (this.#plan.policy === 'drop-oldest') return this.#queueUp(sending);
    // One message is never too much for a client that has taken the others, but for what its socket holds by itself.
    const { isBlocked, bufferedBytes } = this.#endpoint;
    if (!isBlocked || bufferedBytes + sizeOf(sending) <= this.#plan.maxBytes) {
      this.#pass(sending);
      return 'delivered';
    }
    this.dropped++;
    if (this.#plan.policy === 'close') this.#onTooSlow();
    return 'dropped';
  }

  /** What is with the connection cannot be taken back, so it is given no more than it takes. */
  #queueUp(sending: Sending): Delivery {
    if (this.#queue.length === 0 && !this.#endpoint.isBlocked) {
      this.#pass(sending);
      return 'delivered';
    }
    this.#queue.push(sending);
    this.#queuedBytes += sizeOf(sending);
    while (this.#queue.length > 1 && this.#queuedBytes > this.#plan.maxBytes) {
      this.#queuedBytes -= sizeOf(this.#queue.shift()!);
      this.dropped++;
    }
    return 'delivered';
  }

  #pass(sending: Sending): void {
    this.messages++;
    this.bytes += sizeOf(sending);
    this.sentAtMs = this.#clock?.now();
    if ('prepared' in sending) this.#endpoint.sendPrepared?.(sending.prepared);
    else this.#endpoint.send(sending.type, sending.content);
  }
}

function sizeOf(sending: Sending): number {
  if ('content' in sending) return sending.content.length;
  return sizeOfPrepared(sending.prepared);
}

function sizeOfPrepared({ item: { wsMessage } }: Prepared): number {
  return wsMessage?.action === 'send' ? wsMessage.content.length : 0;
}
