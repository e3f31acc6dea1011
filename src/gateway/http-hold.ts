import type { Clock } from '../base/deps.js';
import { ProxyError } from '../base/errors.js';
import type { Hub } from '../channels/hub.js';
import type { Delivery, Prepared, Subscriber, Subscription } from '../channels/types.js';
import { filterResponse } from '../protocol/grip/filters.js';
import type { Hold } from '../protocol/grip/hold.js';
import type { GatewayPlan } from '../route/gateway-plan.js';
import type { BackendAnswer } from './backend.js';
import { asProxyError, broken, type Held, heldOf, malformed } from './held.js';
import { AskFailure, type HoldAsker } from './hold-asker.js';
import { HoldChannels } from './hold-channels.js';
import type { HoldSink } from './hold-sink.js';
import { instructionOf } from './instruction.js';
import { ResponseHold } from './response-hold.js';
import { StreamHold } from './stream-hold.js';
import { type Waiting, WaitingItems } from './waiting-items.js';

export interface HttpHoldOptions {
  /** Of the session. */
  readonly id: string;
  readonly plan: GatewayPlan;
  readonly hub: Hub;
  readonly sink: HoldSink;
  readonly asker: HoldAsker;
  readonly clock: Clock;
  /** A number in [0, 1). */
  readonly random: () => number;
  /** The client is gone, or is to be cut; its reason is a ProxyError. */
  readonly signal: AbortSignal;
  /** One line for the log. */
  readonly report: (problem: string) => void;
}

/** Between an empty answer to a next link and its own next link: a circle of them turns slowly. */
const EMPTY_FOLLOW_MS = 1000;

/**
 * A client of plain HTTP that is held as its backend said: a subscriber of channels whose response is kept (long poll)
 * or goes on (stream), until something ends it. A backend is asked again where the client has missed something, where a
 * hint tells it, and, for a stream, where its next link leads.
 *
 * What ends a response in order: an answer that was published, the time-out, a `close`, a backend without another hold, a
 * stop. Everything else rejects `run`, so that the response is cut and cannot be taken for a whole one.
 */
export class HttpHold implements Subscriber {
  readonly id: string;
  readonly #options: HttpHoldOptions;
  readonly #channels: HoldChannels;
  #mode: ResponseHold | StreamHold | undefined;
  #next: Hold['next'];
  #goneUrl: string | undefined;
  #cancelNext: () => void = nothing;
  /** Items that came while a backend’s body was on its way, which they stand behind. Undefined: none is. */
  #waiting: WaitingItems | undefined;
  /** What waits for the body to have moved. */
  readonly #awaiting: (() => void)[] = [];
  /** Of the last body of the backend. */
  #poured = 0;
  /** A body is moving: even items without an order wait. */
  #isMoving = true;
  /** Gives up asking; undefined: nobody is asked. */
  #asking: AbortController | undefined;
  /** Came while the backend was being asked: what it says then may be of before. */
  #isHinted = false;
  /** A stop: to be ended as soon as there is something to end. */
  #isEnding = false;
  #isOver = false;
  #settle: (error?: unknown) => void = nothing;

  constructor(options: HttpHoldOptions) {
    this.id = options.id;
    this.#options = options;
    const { hub, plan, report } = options;
    this.#channels = new HoldChannels({ hub, plan, subscriber: this, report });
    this.#waiting = this.#newQueue();
  }

  get user(): string | undefined {
    return this.#channels.meta.get('user');
  }

  /** Holds the client; resolves when it has its whole response, rejects where that is to be cut. Call once. */
  async run(first: Held): Promise<void> {
    const { signal } = this.#options;
    const lost = (): void => this.#settle(signal.reason);
    const settled = new Promise<void>((resolve, reject) => {
      this.#settle = (error) => {
        this.#isOver = true;
        if (error === undefined) resolve();
        else reject(ProxyError.from(error));
      };
    });
    signal.addEventListener('abort', lost, { once: true });
    if (signal.aborted) lost();
    else this.#try(this.#adopt(first));
    try {
      await settled;
    } catch (thrown) {
      this.#tellGone();
      throw thrown;
    } finally {
      signal.removeEventListener('abort', lost);
      this.#letGo();
    }
  }

  /** A stop: a long poll gets its stored response, a stream ends. */
  end(): void {
    this.#isEnding = true;
    this.#asking?.abort(new ProxyError('PROXY_STOPPING', 'the proxy is shutting down'));
    if (!this.#isOver && this.#mode !== undefined && !this.#isMoving) this.#guarded(() => this.#mode?.end());
  }

  /** What the client has missed stands behind the backend’s own part, too. */
  ready(): Promise<void> | undefined {
    if (this.#isOver) return undefined;
    if (this.#isMoving) {
      return new Promise<void>((resolve) => this.#awaiting.push(resolve)).then(() => this.ready());
    }
    return this.#mode?.kind === 'stream' ? this.#mode.ready() : undefined;
  }

  tooSlow(): void {
    this.#onTooSlow('did not take what it had missed while more came than is kept for it');
  }

  receive({ item }: Prepared, { filters }: Subscription): Delivery {
    if (this.#isOver) return 'skipped';
    try {
      return this.#receive({ item, filters });
    } catch (thrown) {
      this.#settle(thrown);
      return 'dropped';
    }
  }

  #receive(one: Waiting): Delivery {
    const { item, filters } = one;
    if (this.#waiting !== undefined && (this.#isMoving || this.#channels.isSequenced(item))) {
      this.#waiting.add(one);
      return 'delivered';
    }
    if (this.#channels.isBeyondGap(item)) {
      this.#repair(one);
      return 'skipped';
    }
    this.#channels.note(item);
    const mode = this.#mode;
    if (mode === undefined) return 'skipped';
    const { action } = (mode.kind === 'stream' ? item.httpStream : item.httpResponse) ?? {};
    if (action === undefined) return 'skipped';
    if (action !== 'hint') return mode.receive(item, filters);
    this.#onHint();
    return 'delivered';
  }

  /** Does what a hold says, in place of the one before. */
  async #adopt(held: Held): Promise<void> {
    const { hold } = held;
    this.#waiting ??= this.#newQueue();
    this.#isMoving = true;
    this.#goneUrl = hold.goneUrl ?? this.#goneUrl;
    this.#next = hold.next;
    const behind = this.#channels.adopt(hold) ?? (await this.#behindHistory(hold));
    if (this.#isOver) return held.discard();
    if (behind !== undefined && this.#mode?.kind !== 'stream' && this.#options.asker.canAskAgain) {
      held.discard();
      return this.#ask();
    }
    if (hold.mode === 'response') await this.#keep(held);
    else await this.#stream(held);
    if (this.#isOver) return;
    this.#replay();
    if (this.#isOver) return;
    if (this.#isEnding) return this.end();
    // What it has missed is asked of the next link.
    if (behind !== undefined) return this.#repair(undefined);
    if (hold.mode === 'follow') this.#awaitNext(this.#poured > 0 ? 0 : EMPTY_FOLLOW_MS, 'follow');
    else if (this.#next !== undefined) this.#awaitNext(this.#next.timeoutMs, 'idle');
  }

  /** As `HoldChannels.behind`, where the backend can be asked about it; else it has been logged, and that is all. */
  async #behindHistory({ mode, next }: Hold): Promise<string | undefined> {
    const behind = await this.#channels.behind();
    const canAsk = mode === 'response' ? this.#options.asker.canAskAgain : next !== undefined;
    return canAsk ? behind : undefined;
  }

  async #keep(held: Held): Promise<void> {
    if (this.#mode?.kind === 'stream') {
      held.discard();
      throw broken('it answered a next link with a hold of another kind (`response`)');
    }
    const body = this.#filtered(await held.read());
    if (this.#isOver) return;
    this.#mode?.stop();
    const { sink, clock, report } = this.#options;
    this.#mode = new ResponseHold({
      stored: { ...held.response, body },
      timeoutMs: held.hold.timeoutMs,
      sink,
      channels: this.#channels,
      clock,
      report,
      onAnswered: (failure) => this.#settle(failure),
    });
  }

  async #stream(held: Held): Promise<void> {
    const { sink } = this.#options;
    const isMade = this.#channels.bodyContext.filters.includes('build-id');
    const coding = held.response.headers.get('content-encoding') ?? 'identity';
    if (coding.toLowerCase() !== 'identity') {
      held.discard();
      throw broken(`its stream has Content-Encoding ${coding}, behind which nothing can be put`);
    }
    // Before the head goes out: what cannot be made becomes an error that the client can read.
    const made = isMade ? this.#filtered(await held.read()) : undefined;
    if (this.#isOver) return;
    let stream = this.#mode?.kind === 'stream' ? this.#mode : undefined;
    if (stream === undefined) {
      this.#mode?.stop();
      if (!sink.begin(held.response)) {
        // To a HEAD, or with a 304: that is all of it.
        held.discard();
        sink.end();
        return this.#settle();
      }
      stream = this.#mode = this.#openStream();
    }
    if (made === undefined) this.#poured = await held.pour();
    else {
      this.#poured = made.length;
      stream.write(made);
    }
    if (!this.#isOver) stream.setKeepAlive(held.hold.keepAlive);
  }

  #openStream(): StreamHold {
    const { sink, plan, clock, random, report } = this.#options;
    return new StreamHold({
      sink,
      slowConsumer: plan.slowConsumer,
      channels: this.#channels,
      clock,
      random,
      report,
      onEnded: () => this.#settle(),
      onTooSlow: (detail) => this.#onTooSlow(detail),
    });
  }

  #onTooSlow(detail: string): void {
    this.#options.report(`the client ${detail}`);
    this.#settle(new ProxyError('CLIENT_GONE', `the client ${detail}`));
  }

  #filtered(body: Buffer): Buffer {
    const rendered = filterResponse(body, this.#channels.bodyContext);
    if (rendered.ok) return rendered.content;
    throw broken(`filter build-id: ${rendered.problem}`);
  }

  /** Items that came meanwhile, but for those that the backend knew of. */
  #replay(): void {
    const waiting = this.#waiting?.behind((item) => this.#channels.isLast(item)) ?? [];
    this.#waiting = undefined;
    this.#isMoving = false;
    for (const one of waiting) {
      if (this.#isOver) return;
      this.#guarded(() => this.#receive(one));
    }
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#awaiting.splice(0)) resolve();
  }

  #newQueue(): WaitingItems {
    return new WaitingItems(this.#options.plan.slowConsumer.maxBytes);
  }

  #onHint(): void {
    if (this.#asking !== undefined) this.#isHinted = true;
    else if (this.#mode?.kind === 'stream') {
      if (this.#next === undefined)
        this.#options.report('a hint for a stream without a next link changes nothing');
      else this.#try(this.#follow());
    } else if (this.#options.asker.canAskAgain) this.#try(this.#ask());
    else
      this.#options.report('a hint for a request with a body, which cannot be sent again, changes nothing');
  }

  /** The client has missed something before `item`, which waits for the backend to say what. */
  #repair(item: Waiting | undefined): void {
    const isStream = this.#mode?.kind === 'stream';
    if (isStream ? this.#next === undefined : !this.#options.asker.canAskAgain) {
      const what = isStream ? 'its stream has no next link' : 'its request cannot be sent again';
      throw broken(`an item was published that the client has not had, and ${what}`);
    }
    this.#waiting ??= this.#newQueue();
    if (item !== undefined) this.#waiting.add(item);
    // What is being said may not have it: asked again then, by way of `#replay`.
    if (this.#asking !== undefined) return;
    this.#try(isStream ? this.#follow() : this.#ask());
  }

  /** Nothing has gone to the client: its request is sent again. */
  async #ask(): Promise<void> {
    const answer = await this.#asked((lasts, signal) => this.#options.asker.again(lasts, signal));
    if (answer === undefined) return;
    const instruction = instructionOf(answer);
    if (instruction.kind === 'error') throw malformed(answer.server, instruction.problem);
    if (instruction.kind === 'hold') return this.#adopt(heldOf(instruction, answer, this.#options.sink));
    this.#mode?.stop();
    this.#options.sink.respond({ ...instruction.response, body: instruction.response.body ?? answer.body });
    this.#settle();
  }

  /** What the next link has goes behind what the client has. */
  async #follow(): Promise<void> {
    const { url } = this.#next!;
    this.#waiting ??= this.#newQueue();
    const answer = await this.#asked((lasts, signal) => this.#options.asker.next(url, lasts, signal));
    if (answer === undefined) return;
    if (answer.status < 200 || answer.status > 299) {
      throw broken(`${answer.server} answered its next link with ${answer.status}`);
    }
    const instruction = instructionOf(answer);
    if (instruction.kind === 'error') throw malformed(answer.server, instruction.problem);
    if (instruction.kind === 'hold') return this.#adopt(heldOf(instruction, answer, this.#options.sink));
    const stream = this.#mode as StreamHold;
    stream.write(instruction.response.body ?? answer.body);
    stream.end();
  }

  /** Undefined: the client is let go, or a long poll goes on as it was. */
  async #asked(
    ask: (gripLast: readonly string[], signal: AbortSignal) => Promise<BackendAnswer>,
  ): Promise<BackendAnswer | undefined> {
    this.#cancelNext();
    const asking = new AbortController();
    this.#asking = asking;
    this.#isHinted = false;
    try {
      for (;;) {
        const answer = await ask(this.#channels.gripLast(), asking.signal);
        if (this.#isOver) return undefined;
        if (!this.#isHinted) return answer;
        this.#isHinted = false;
      }
    } catch (thrown) {
      if (this.#isOver) return undefined;
      if (this.#isEnding && this.#mode !== undefined) {
        this.#isMoving = false;
        this.#mode.end();
        return undefined;
      }
      if (!(thrown instanceof AskFailure) || this.#mode?.kind !== 'response') throw asProxyError(thrown);
      // Its own time-out will answer it.
      this.#options.report(`the backend of a long poll cannot be asked again: ${thrown.message}`);
      this.#asking = undefined;
      this.#replay();
      return undefined;
    } finally {
      this.#asking = undefined;
    }
  }

  /** @param mode `idle`: if nothing was sent for as long as the link says. One timer, that looks how long that is. */
  #awaitNext(ms: number, mode: 'follow' | 'idle'): void {
    this.#cancelNext();
    this.#cancelNext = this.#options.clock.after(ms, () => {
      const leftMs = mode === 'idle' ? this.#next!.timeoutMs - (this.#mode as StreamHold).quietMs : 0;
      if (leftMs > 0) this.#awaitNext(leftMs, mode);
      else if (this.#asking === undefined) this.#try(this.#follow());
    });
  }

  /** Its client has gone, or was cut. */
  #tellGone(): void {
    const url = this.#goneUrl;
    if (url === undefined) return;
    this.#options.asker
      .gone(url, this.#channels.gripLast())
      .catch((thrown: unknown) => this.#options.report((thrown as Error).message));
  }

  #letGo(): void {
    this.#isOver = true;
    this.#cancelNext();
    this.#asking?.abort(OVER);
    this.#mode?.stop();
    this.#channels.leave();
    this.#wake();
    this.#waiting = undefined;
    const dropped = this.#mode?.kind === 'stream' ? this.#mode.dropped : 0;
    if (dropped > 0)
      this.#options.report(`${dropped} items were lost to a slow client (\`gateway.slowConsumer\`)`);
  }

  #try(work: Promise<void>): void {
    work.catch((thrown: unknown) => this.#settle(asProxyError(thrown)));
  }

  #guarded(work: () => unknown): void {
    try {
      work();
    } catch (thrown) {
      this.#settle(asProxyError(thrown));
    }
  }
}

const OVER = new ProxyError('INTERNAL', 'the hold is over');

function nothing(): void {}
