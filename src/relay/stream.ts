import type { Duplex } from 'node:stream';
import type { Clock } from '../base/deps.js';
import { ifOrderly, reset } from '../net/sockets.js';
import { makeTraffic } from '../protocol/frames/traffic.js';
import type { Breach, Direction, Traffic } from '../protocol/frames/types.js';
import type { Framing } from '../protocol/handshake/types.js';
import { breachClose, Closing, goingAway, type ClosingSide } from './closing.js';
import { checkInjection, Injector } from './injector.js';
import { Shaper } from './shaper.js';
import type {
  Carried,
  InjectionKind,
  Relay,
  RelayEnd,
  RelayEngine,
  RelayOptions,
  RelayPair,
  RelaySide,
  RelaySideName,
  SideLimits,
} from './types.js';

/** How often idle and aged tunnels are looked for: once for all, never a timer per tunnel or message. */
const SWEEP_MS = 1000;

/**
 * The engine that is always there: plain Node streams.
 *
 * ```
 *   client ──read──▶ [ upstream's write buffer ] ──▶ upstream
 *   client ◀── [ client's write buffer ] ◀──read── upstream
 * ```
 * When a write buffer is full, reading from the other side stops until it has drained: a side that does not read
 * holds the sender back, and no more than one buffer each way is ever held.
 */
export class StreamEngine implements RelayEngine {
  readonly name = 'stream';
  readonly #clock: Clock;
  readonly #relays = new Set<StreamRelay>();
  #stopSweep: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  join(pair: RelayPair, options: RelayOptions): Relay {
    const relay = new StreamRelay(pair, options, this.#clock);
    this.#relays.add(relay);
    this.#stopSweep ??= this.#clock.every(SWEEP_MS, () => this.#sweep());
    void relay.ended.then(() => this.#forget(relay));
    return relay;
  }

  #sweep(): void {
    const now = this.#clock.now();
    for (const relay of this.#relays) relay.sweep(now);
  }

  #forget(relay: StreamRelay): void {
    this.#relays.delete(relay);
    if (this.#relays.size > 0) return;
    this.#stopSweep?.();
    this.#stopSweep = undefined;
  }
}

class StreamRelay implements Relay {
  readonly ended: Promise<RelayEnd>;
  readonly #fromClient: Flow;
  readonly #fromUpstream: Flow;
  readonly #options: RelayOptions;
  readonly #clock: Clock;
  readonly #openedAt: number;
  readonly #framing: Framing | undefined;
  readonly #closing: Closing;
  /** A Close of ours came before any of the peers'. */
  #closedByUs = false;
  #firstClose: RelaySideName | undefined;
  #end: RelayEnd | undefined;
  #endedAt = 0;
  #resolve!: (end: RelayEnd) => void;

  constructor({ client, upstream, answer, framing }: RelayPair, options: RelayOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#openedAt = clock.now();
    this.#framing = framing;
    this.#closing = new Closing(options.closeTimeoutMs ?? 0);
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    const { fromClient, fromUpstream } = options;
    const fromClientTraffic = traffic(framing, 'from-client', fromClient, clock);
    const fromUpstreamTraffic = traffic(framing, 'from-upstream', fromUpstream, clock);
    this.#fromClient = new Flow(client, upstream, fromClientTraffic, clock);
    this.#fromUpstream = new Flow(upstream, client, fromUpstreamTraffic, clock);
    this.#limit('client', this.#fromClient, fromClient);
    this.#limit('upstream', this.#fromUpstream, fromUpstream);
    this.#listen('client', this.#fromClient, this.#fromUpstream);
    this.#listen('upstream', this.#fromUpstream, this.#fromClient);
    this.#moveEarly('upstream', this.#fromUpstream, upstream.early, answer);
    this.#moveEarly('client', this.#fromClient, client.early);
    this.#start('upstream', this.#fromUpstream);
    this.#start('client', this.#fromClient);
  }

  get fromClient(): Carried {
    return this.#fromClient;
  }

  get fromUpstream(): Carried {
    return this.#fromUpstream;
  }

  get firstClose(): RelaySideName | undefined {
    return this.#firstClose;
  }

  whenEnded(listener: (end: RelayEnd) => void): void {
    void this.ended.then(listener);
  }

  cut(): void {
    this.#settle({ first: 'proxy', how: 'cut' });
    this.#resetBoth();
  }

  inject(towards: RelaySideName, kind: InjectionKind, frame: Uint8Array): boolean {
    checkInjection(kind, frame);
    const [flow, back] =
      towards === 'client' ? [this.#fromUpstream, this.#fromClient] : [this.#fromClient, this.#fromUpstream];
    if (flow.traffic === undefined || flow.traffic.blind !== undefined || !flow.sink.writable) return false;
    const source = towards === 'client' ? 'upstream' : 'client';
    const injector = this.#injectorOf(source, flow);
    const answers = this.#injectorOf(towards, back);
    injector.put(kind, frame, () => {
      if (kind === 'ping') answers.awaitPong(frame);
      else this.#hearOwnClose();
    });
    return true;
  }

  #injectorOf(side: RelaySideName, flow: Flow, hasLimits = false): Injector {
    flow.injector ??= new Injector(
      flow.traffic!,
      (chunk, toBoundary) => this.#scan(side, flow, chunk, toBoundary),
      (bytes) => flow.write(bytes),
      () => this.#hearBreach(side, flow),
      hasLimits,
    );
    return flow.injector;
  }

  /** What was read of a side goes on. */
  #passOn(side: RelaySideName, flow: Flow, chunk: Buffer): void {
    flow.bytes += chunk.length;
    if (flow.injector !== undefined) {
      flow.injector.passOn(chunk);
    } else {
      this.#scan(side, flow, chunk, false);
      flow.write(chunk);
    }
    if (flow.traffic?.closed) this.#checkClosing();
  }

  #limit(side: RelaySideName, flow: Flow, limits: SideLimits | undefined): void {
    if (hasMessageLimits(limits) && flow.traffic !== undefined) this.#injectorOf(side, flow, true);
    const rate = limits?.maxBytesPerSecond ?? 0;
    if (!(rate > 0)) return;
    const pass = (chunk: Buffer): void => this.#passOn(side, flow, chunk);
    flow.shaper = new Shaper(rate, this.#clock, pass, () => flow.start());
  }

  /** A message of `side` has broken a limit, and nothing of its frame has gone on. */
  #hearBreach(side: RelaySideName, flow: Flow): void {
    const { breach, breachHeaderBytes } = flow.traffic!;
    const other = side === 'client' ? 'upstream' : 'client';
    const back = side === 'client' ? this.#fromUpstream : this.#fromClient;
    this.#settle({ first: 'proxy', how: 'limit', limit: breach as Breach, side });
    this.#closing.begin(this.#clock.now());
    // In the middle of a Hixie frame without a length nothing can be said any more.
    const isBetween = breachHeaderBytes > 0;
    flow.injector!.breakOff(isBetween ? goingAway(this.#framing!, other) : undefined);
    this.#hearOwnClose();
    if (!isBetween) this.#endSide(flow.sink);
    if (back.sink.writable) {
      const why = breachClose(this.#framing!, side, breach as Breach);
      this.#injectorOf(other, back).put('close', why, () => this.#hearOwnClose());
    }
  }

  #hearOwnClose(): void {
    if (this.#firstClose === undefined) this.#closedByUs = true;
    this.#checkClosing();
  }

  /** Ends what has sent a Close and was sent one. */
  #checkClosing(): void {
    if (!this.#closing.isOn) return;
    for (const name of ['client', 'upstream'] as const) {
      if (!this.#closing.isDone(this.#closingSide(name))) continue;
      this.#settle({ first: this.#closedFirst, how: 'closed' });
      this.#closing.begin(this.#clock.now());
      this.#endSide(name === 'client' ? this.#fromClient.source : this.#fromUpstream.source);
    }
  }

  #closingSide(name: RelaySideName): ClosingSide {
    const [flow, towards] =
      name === 'client' ? [this.#fromClient, this.#fromUpstream] : [this.#fromUpstream, this.#fromClient];
    return {
      hasClosed: flow.traffic?.closed ?? false,
      wasClosed: (towards.traffic?.closed ?? false) || (towards.injector?.isSilent ?? false),
      isEnded: flow.source.writableEnded || flow.source.destroyed,
    };
  }

  get #closedFirst(): RelaySideName | 'proxy' {
    return this.#closedByUs ? 'proxy' : (this.#firstClose ?? 'proxy');
  }

  #endSide(socket: Duplex): void {
    if (socket.writable) socket.end();
  }

  /** Looks whether the tunnel has been idle, half-closed or alive for too long. */
  sweep(now: number): void {
    const activeAt = Math.max(this.#fromClient.hear(now), this.#fromUpstream.hear(now));
    this.#checkClosing();
    const step = this.#closing.sweep(now, {
      client: this.#closingSide('client'),
      upstream: this.#closingSide('upstream'),
    });
    if (step === 'finish') this.#finish({ first: this.#closedFirst, how: 'closed' });
    else if (step === 'cut') this.#resetBoth();
    const { idleTimeoutMs, halfCloseTimeoutMs, maxAgeMs } = this.#options;
    if (this.#end !== undefined) {
      if (halfCloseTimeoutMs > 0 && now - Math.max(activeAt, this.#endedAt) >= halfCloseTimeoutMs) {
        this.#resetBoth();
      }
    } else if (idleTimeoutMs > 0 && now - activeAt >= idleTimeoutMs) {
      this.#endIdle();
    } else if (maxAgeMs > 0 && now - this.#openedAt >= maxAgeMs) {
      this.#finish({ first: 'proxy', how: 'max-age' });
    }
  }

  /** By Close frames, where there are any. */
  #endIdle(): void {
    const [up, down] = [this.#fromClient, this.#fromUpstream];
    if (![up, down].every(({ traffic }) => traffic !== undefined && traffic.blind === undefined)) {
      this.#finish({ first: 'proxy', how: 'idle' });
      return;
    }
    this.#settle({ first: 'proxy', how: 'idle' });
    this.#closing.begin(this.#clock.now());
    for (const [from, to, flow] of [
      ['upstream', 'client', down],
      ['client', 'upstream', up],
    ] as const) {
      const frame = goingAway(this.#framing!, to, 'idle');
      this.#injectorOf(from, flow).put('close', frame, () => this.#hearOwnClose());
    }
  }

  #listen(side: RelaySideName, flow: Flow, back: Flow): void {
    const { source, sink } = flow;
    source.on('data', (chunk: Buffer) => {
      if (flow.shaper === undefined) return this.#passOn(side, flow, chunk);
      flow.shaper.push(chunk);
      if (flow.shaper.isWaiting) source.pause();
    });
    source.on('end', () => ifOrderly(source, () => this.#onEnd(side, flow)));
    source.on('error', (error: Error & { code?: string }) =>
      this.#lose(side, flow, error.code ?? error.message),
    );
    source.on('close', () => {
      // Closed without an end: destroyed under us. The other side must not wait for it.
      if (!source.readableEnded) this.#lose(side, flow, 'closed');
      flow.closed = true;
      flow.shaper?.stop();
      if (back.closed) this.#resolve(this.#end!);
    });
    sink.on('drain', () => flow.start());
  }

  #onEnd(side: RelaySideName, { sink, injector }: Flow): void {
    this.#settle({ first: side, how: 'end' });
    injector?.release();
    if (sink.writable) sink.end();
  }

  /** Counts and writes what was read before the relay began; the answer goes with it in one write. */
  #moveEarly(side: RelaySideName, flow: Flow, early: Buffer, answer?: Buffer): void {
    flow.shaper?.spend(early.length);
    if (flow.injector !== undefined) {
      if (answer !== undefined && answer.length > 0) flow.write(answer);
      if (early.length > 0) this.#passOn(side, flow, early);
      return;
    }
    flow.bytes += early.length;
    if (early.length > 0) this.#scan(side, flow, early, false);
    const parts = [answer, early].filter((part) => part !== undefined && part.length > 0) as Buffer[];
    if (parts.length > 0) flow.write(parts.length === 1 ? parts[0]! : Buffer.concat(parts));
  }

  #start(side: RelaySideName, flow: Flow): void {
    // A side that had ended before the relay began says so no more.
    if (flow.source.readableEnded) this.#onEnd(side, flow);
    else flow.start();
  }

  /** Watches frames pass. Returns how many bytes were walked. */
  #scan(side: RelaySideName, { traffic }: Flow, chunk: Uint8Array, toBoundary: boolean): number {
    if (traffic === undefined) return chunk.length;
    const walked = toBoundary ? traffic.pushToBoundary(chunk) : traffic.push(chunk);
    if (traffic.closeCode !== undefined) this.#firstClose ??= side;
    return walked;
  }

  /**
   * The other side must not take what it has for a whole. Unless it has all of it: behind a Close nothing comes (RFC 6455
   * §5.5.1), and browsers reset as soon as theirs is out. Then a reset would only take the Close away from a server that
   * has not read it yet.
   */
  #lose(side: RelaySideName, { sink, traffic }: Flow, detail: string): void {
    this.#settle({ first: side, how: 'reset', detail });
    if (traffic?.closed !== true) {
      reset(sink);
    } else if (sink.writableFinished) {
      sink.destroy();
    } else {
      sink.once('finish', () => sink.destroy());
      if (sink.writable) sink.end();
    }
  }

  /** Ends both sides in order; one that does not take its last bytes is cut by a later sweep. */
  #finish(end: RelayEnd): void {
    this.#settle(end);
    for (const { source } of [this.#fromClient, this.#fromUpstream]) {
      // What a side still sends has nowhere to go.
      source.pause();
      if (source.writableFinished) source.destroy();
      else source.end(() => source.destroy());
    }
  }

  #resetBoth(): void {
    reset(this.#fromClient.source);
    reset(this.#fromUpstream.source);
  }

  /** The first to end or fail decides; what follows from it is not news. */
  #settle(end: RelayEnd): void {
    if (this.#end !== undefined) return;
    // What the peers do after a Close of ours is its answer.
    const isAnswer = this.#closedByUs && (end.how === 'end' || end.how === 'reset');
    this.#end = isAnswer ? { first: 'proxy', how: 'closed' } : end;
    this.#endedAt = this.#clock.now();
  }
}

function traffic(
  framing: Framing | undefined,
  direction: Direction,
  limits: SideLimits | undefined,
  clock: Clock,
): Traffic | undefined {
  if (framing === undefined) return undefined;
  if (!hasMessageLimits(limits)) return makeTraffic(framing, direction);
  const { maxMessageBytes = 0, maxMessagesPerSecond = 0 } = limits;
  return makeTraffic(framing, direction, { maxMessageBytes, maxMessagesPerSecond, now: () => clock.now() });
}

function hasMessageLimits(limits: SideLimits | undefined): limits is SideLimits {
  return (limits?.maxMessageBytes ?? 0) > 0 || (limits?.maxMessagesPerSecond ?? 0) > 0;
}

/** One direction: what `source` sends goes to `sink`. */
class Flow implements Carried {
  readonly source: Duplex;
  readonly sink: Duplex;
  readonly traffic: Traffic | undefined;
  bytes = 0;
  /** Made when a frame of ours is first put in, here or on the way back. */
  injector: Injector | undefined;
  shaper: Shaper | undefined;
  /** Whether the source has closed. */
  closed = false;
  #full = false;
  readonly #clock: Clock;
  readonly #countHeard: () => number;
  #heardBytes = 0;
  #heardAtMs: number;

  constructor(from: RelaySide, to: RelaySide, traffic: Traffic | undefined, clock: Clock) {
    this.#clock = clock;
    this.#heardAtMs = clock.now();
    this.#countHeard = from.heardBytes ?? (() => this.bytes);
    this.source = from.socket;
    this.sink = to.socket;
    this.traffic = traffic;
  }

  get messages(): number | undefined {
    return this.traffic?.messages;
  }

  get closeCode(): number | undefined {
    return this.traffic?.closeCode;
  }

  get closeReason(): string | undefined {
    return this.traffic?.closeReason;
  }

  get blind(): string | undefined {
    return this.traffic?.blind;
  }

  get pongs(): number {
    return this.injector?.pongs ?? 0;
  }

  get silentMs(): number {
    const seconds = Math.floor((this.#clock.now() - this.hear(this.#clock.now())) / 1000);
    return Math.max(0, Math.min(65_535, seconds)) * 1000;
  }

  /** When the source was last heard, as far as anybody has asked. */
  hear(nowMs: number): number {
    const bytes = this.#countHeard();
    if (bytes !== this.#heardBytes) {
      this.#heardBytes = bytes;
      this.#heardAtMs = nowMs;
    }
    return this.#heardAtMs;
  }

  write(chunk: Uint8Array): void {
    // After the sink's end only a reset can follow; until it does, there is nobody to write to.
    if (!this.sink.writable) return;
    if (!this.sink.write(chunk)) {
      this.#full = true;
      this.source.pause();
    }
  }

  /** Reads on, unless the sink is full. */
  start(): void {
    if (this.#full && this.sink.writableNeedDrain) return;
    this.#full = false;
    if (this.shaper?.isWaiting) return;
    this.source.resume();
  }
}
