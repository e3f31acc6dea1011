import type { Duplex } from 'node:stream';
import type { Clock } from '../base/deps.js';
import { ifOrderly, reset } from '../net/sockets.js';
import { makeTraffic } from '../protocol/frames/traffic.js';
import type { Direction, Traffic } from '../protocol/frames/types.js';
import type { Framing } from '../protocol/handshake/types.js';
import { checkInjection, Injector } from './injector.js';
import type {
  Carried,
  InjectionKind,
  Relay,
  RelayEnd,
  RelayEngine,
  RelayOptions,
  RelayPair,
  RelaySideName,
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
  #activeAt: number;
  #seenBytes = 0;
  #firstClose: RelaySideName | undefined;
  #end: RelayEnd | undefined;
  #endedAt = 0;
  #resolve!: (end: RelayEnd) => void;

  constructor({ client, upstream, answer, framing }: RelayPair, options: RelayOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#openedAt = this.#activeAt = clock.now();
    this.ended = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#fromClient = new Flow(client.socket, upstream.socket, traffic(framing, 'from-client'));
    this.#fromUpstream = new Flow(upstream.socket, client.socket, traffic(framing, 'from-upstream'));
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
    });
    return true;
  }

  #injectorOf(side: RelaySideName, flow: Flow): Injector {
    const watch = (chunk: Uint8Array, toBoundary: boolean) => this.#scan(side, flow, chunk, toBoundary);
    flow.injector ??= new Injector(flow.traffic!, watch, (bytes) => flow.write(bytes));
    return flow.injector;
  }

  /** Looks whether the tunnel has been idle, half-closed or alive for too long. */
  sweep(now: number): void {
    const bytes = this.#fromClient.bytes + this.#fromUpstream.bytes;
    if (bytes !== this.#seenBytes) {
      this.#seenBytes = bytes;
      this.#activeAt = now;
    }
    const { idleTimeoutMs, halfCloseTimeoutMs, maxAgeMs } = this.#options;
    if (this.#end !== undefined) {
      if (halfCloseTimeoutMs > 0 && now - Math.max(this.#activeAt, this.#endedAt) >= halfCloseTimeoutMs) {
        this.#resetBoth();
      }
    } else if (idleTimeoutMs > 0 && now - this.#activeAt >= idleTimeoutMs) {
      this.#finish('idle');
    } else if (maxAgeMs > 0 && now - this.#openedAt >= maxAgeMs) {
      this.#finish('max-age');
    }
  }

  #listen(side: RelaySideName, flow: Flow, back: Flow): void {
    const { source, sink } = flow;
    source.on('data', (chunk: Buffer) => {
      flow.bytes += chunk.length;
      if (flow.injector !== undefined) return flow.injector.passOn(chunk);
      this.#scan(side, flow, chunk, false);
      flow.write(chunk);
    });
    source.on('end', () => ifOrderly(source, () => this.#onEnd(side, flow)));
    source.on('error', (error: Error & { code?: string }) =>
      this.#lose(side, sink, error.code ?? error.message),
    );
    source.on('close', () => {
      // Closed without an end: destroyed under us. The other side must not wait for it.
      if (!source.readableEnded) this.#lose(side, sink, 'closed');
      flow.closed = true;
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
    let walked = chunk.length;
    if (toBoundary) walked = traffic.pushToBoundary(chunk);
    else traffic.push(chunk);
    if (traffic.closeCode !== undefined) this.#firstClose ??= side;
    return walked;
  }

  #lose(side: RelaySideName, other: Duplex, detail: string): void {
    this.#settle({ first: side, how: 'reset', detail });
    reset(other);
  }

  /** Ends both sides in order; one that does not take its last bytes is cut by a later sweep. */
  #finish(how: 'idle' | 'max-age'): void {
    this.#settle({ first: 'proxy', how });
    for (const { source } of [this.#fromClient, this.#fromUpstream]) {
      // What a side still sends has nowhere to go.
      source.pause();
      source.end(() => source.destroy());
    }
  }

  #resetBoth(): void {
    reset(this.#fromClient.source);
    reset(this.#fromUpstream.source);
  }

  /** The first to end or fail decides; what follows from it is not news. */
  #settle(end: RelayEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#endedAt = this.#clock.now();
  }
}

function traffic(framing: Framing | undefined, direction: Direction): Traffic | undefined {
  return framing === undefined ? undefined : makeTraffic(framing, direction);
}

/** One direction: what `source` sends goes to `sink`. */
class Flow implements Carried {
  readonly source: Duplex;
  readonly sink: Duplex;
  readonly traffic: Traffic | undefined;
  bytes = 0;
  /** Made when a frame of ours is first put in, here or on the way back. */
  injector: Injector | undefined;
  /** Whether the source has closed. */
  closed = false;
  #full = false;

  constructor(source: Duplex, sink: Duplex, traffic: Traffic | undefined) {
    this.source = source;
    this.sink = sink;
    this.traffic = traffic;
  }

  get messages(): number | undefined {
    return this.traffic?.messages;
  }

  get closeCode(): number | undefined {
    return this.traffic?.closeCode;
  }

  get blind(): string | undefined {
    return this.traffic?.blind;
  }

  get pongs(): number {
    return this.injector?.pongs ?? 0;
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
    this.source.resume();
  }
}
