import type { Clock } from '../base/deps.js';
import type { Delivery } from '../channels/types.js';
import { filterItem } from '../protocol/grip/filters.js';
import type { KeepAlive } from '../protocol/grip/hold.js';
import type { PublishItem } from '../protocol/grip/types.js';
import type { GatewayPlan } from '../route/gateway-plan.js';
import type { HoldChannels } from './hold-channels.js';
import type { HoldSink } from './hold-sink.js';
import { Outlet } from './outlet.js';

export interface StreamHoldOptions {
  readonly sink: HoldSink;
  readonly slowConsumer: GatewayPlan['slowConsumer'];
  readonly channels: HoldChannels;
  readonly clock: Clock;
  /** A number in [0, 1). */
  readonly random: () => number;
  readonly report: (problem: string) => void;
  /** The response is whole. */
  readonly onEnded: () => void;
  /** With policy `close`: the stream is to be cut. */
  readonly onTooSlow: (detail: string) => void;
}

/** Keep-alives of clients that came at once come up to so much earlier, that they spread. */
const MAX_JITTER_MS = 1000;

/** A response that goes on: what is published is written behind what there is. */
export class StreamHold {
  readonly kind = 'stream';
  readonly #options: StreamHoldOptions;
  readonly #outlet: Outlet;
  /** When the client was last given something. */
  #sentAtMs: number;
  /** The same, but for keep-alives, which bring nothing that was missed. */
  #toldAtMs: number;
  #cancelKeepAlive: () => void = nothing;
  #isEnding = false;
  #isOver = false;

  /** The head has gone out. */
  constructor(options: StreamHoldOptions) {
    this.#options = options;
    this.#sentAtMs = this.#toldAtMs = options.clock.now();
    const { sink, slowConsumer, onTooSlow } = options;
    const end = {
      get bufferedBytes() {
        return sink.bufferedBytes;
      },
      get isBlocked() {
        return sink.isBlocked;
      },
      isOpen: true,
      send: (_type: unknown, content: Buffer) => sink.write(content),
    };
    this.#outlet = new Outlet(end, slowConsumer, () =>
      onTooSlow(
        `did not take what was sent: more than ${slowConsumer.maxBytes} bytes waited (\`gateway.slowConsumer\`)`,
      ),
    );
    sink.onDrain = () => this.#onDrain();
  }

  /** How long nothing was sent but keep-alives. */
  get quietMs(): number {
    return this.#options.clock.now() - this.#toldAtMs;
  }

  /** Items that were lost to the policy. */
  get dropped(): number {
    return this.#outlet.dropped;
  }

  /** As `Outlet.ready`. */
  ready(): Promise<void> | undefined {
    return this.#outlet.ready();
  }

  receive({ httpStream, meta }: PublishItem, filters: readonly string[]): Delivery {
    if (httpStream === undefined || httpStream.action === 'hint' || this.#isEnding) return 'skipped';
    const isSending = httpStream.action === 'send';
    const content = isSending ? httpStream.content : undefined;
    const contentFilters = isSending ? httpStream.contentFilters : undefined;
    const verdict = filterItem({ meta, contentFilters, content }, this.#options.channels.context(filters));
    if (verdict.do === 'drop') {
      if (verdict.fault !== undefined) this.#options.report(verdict.fault);
      return 'skipped';
    }
    if (!isSending) {
      this.end();
      return 'delivered';
    }
    this.#toldAtMs = this.#options.clock.now();
    return this.#send(verdict.do === 'replace' ? verdict.content : httpStream.content);
  }

  /** Of the backend’s own; bounded elsewhere, so it is never lost. */
  write(body: Buffer): void {
    this.#sentAtMs = this.#toldAtMs = this.#options.clock.now();
    if (body.length > 0) this.#options.sink.write(body);
  }

  /** In place of the one before. */
  setKeepAlive(keepAlive: KeepAlive | undefined): void {
    this.#cancelKeepAlive();
    this.#cancelKeepAlive = nothing;
    if (keepAlive !== undefined) this.#awaitKeepAlive(keepAlive, keepAlive.timeoutMs);
  }

  /** In order, behind all that waits. */
  end(): void {
    if (this.#isOver) return;
    this.#isEnding = true;
    this.setKeepAlive(undefined);
    const { sink, onEnded } = this.#options;
    if (this.#outlet.waitingBytes > sink.bufferedBytes) return;
    this.#isOver = true;
    sink.end();
    onEnded();
  }

  stop(): void {
    this.#isOver = true;
    this.setKeepAlive(undefined);
    this.#options.sink.onDrain = nothing;
  }

  #send(content: Buffer): Delivery {
    this.#sentAtMs = this.#options.clock.now();
    const { dropped } = this.#outlet;
    const delivery = this.#outlet.send('binary', content);
    const isFirstLoss = dropped === 0 && this.#outlet.dropped > 0;
    if (isFirstLoss && this.#options.slowConsumer.policy !== 'close') {
      this.#options.report(
        'the client is slow: what is published to it is being lost (`gateway.slowConsumer`)',
      );
    }
    return delivery;
  }

  #onDrain(): void {
    this.#outlet.onDrain();
    if (this.#isEnding) this.end();
  }

  /** One timer, that looks how long it has been quiet: nothing is done for each item. */
  #awaitKeepAlive(keepAlive: KeepAlive, waitMs: number): void {
    const { clock, random } = this.#options;
    const { content, timeoutMs, mode } = keepAlive;
    const jitterMs = random() * Math.min(MAX_JITTER_MS, timeoutMs / 2);
    const dueMs = timeoutMs - jitterMs;
    this.#cancelKeepAlive = clock.after(Math.max(0, waitMs - jitterMs), () => {
      const idleMs = clock.now() - this.#sentAtMs;
      if (mode === 'idle' && idleMs < dueMs) return this.#awaitKeepAlive(keepAlive, timeoutMs - idleMs);
      // A client that takes nothing needs none.
      if (!this.#options.sink.isBlocked) this.#send(content);
      this.#awaitKeepAlive(keepAlive, timeoutMs);
    });
  }
}

function nothing(): void {}
