import { Socket } from 'node:net';
import { availableParallelism } from 'node:os';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { NativeDoor, type Visit } from '../net/native-door.js';
import type { Framing } from '../protocol/handshake/types.js';
import { FanOut } from './fan-out.js';
import { REASON_BYTES, type EngineHandle, type NativeBinding } from './native-binding.js';
import { reasonAt, Records, sideNumber, SLOTS_PER_SLAB } from './native-records.js';
import type {
  Carried,
  InjectionKind,
  Relay,
  RelayEnd,
  RelayEngine,
  RelayOptions,
  RelayPair,
  RelaySideName,
  VisitStart,
} from './types.js';

export interface NativeOptions {
  /** Relay threads; default: as many as the process may use cores. */
  readonly threads?: number;
}

/**
 * The engine for plain sockets: their descriptors leave the event loop for a thread of the addon (`native/`), and
 * Node's own objects become garbage. What has no descriptor of its own (TLS, HTTP/2) goes to the fallback.
 */
export class NativeEngine implements RelayEngine {
  readonly name = 'native';
  readonly fanOut: FanOut;
  readonly #binding: NativeBinding;
  readonly #fallback: RelayEngine;
  readonly #records: Records;
  /** By slot. */
  readonly #relays: (NativeRelay | undefined)[] = [];
  readonly #endedSlots = new Uint32Array(ENDED_AT_ONCE);
  readonly #endedReasons = new Uint8Array(ENDED_AT_ONCE * 2 * REASON_BYTES);
  /** As the addon has them. */
  readonly #limits = new Float64Array(7);
  /** Held here because the addon holds it only while tunnels are open. */
  readonly #onEnded = (): void => this.#takeEnded();
  #handle: EngineHandle | undefined;

  constructor(binding: NativeBinding, fallback: RelayEngine, options: NativeOptions = {}) {
    this.fanOut = new FanOut(binding);
    this.#binding = binding;
    this.#fallback = fallback;
    const handle = binding.open(options.threads ?? availableParallelism(), SLOTS_PER_SLAB, this.#onEnded);
    this.#handle = handle;
    this.#records = new Records((slab) => binding.addSlab(handle, slab));
  }

  join(pair: RelayPair, options: RelayOptions): Relay {
    const handle = this.#handle;
    const clientFd = descriptorOf(pair.client.socket);
    const upstreamFd = descriptorOf(pair.upstream.socket);
    if (handle === undefined || clientFd === undefined || upstreamFd === undefined) {
      return this.#fallback.join(pair, options);
    }
    const fromClient = joinBytes([pair.client.early, ...unread(pair.client.socket)]);
    const fromUpstream = joinBytes([pair.upstream.early, ...unread(pair.upstream.socket)]);
    const slot = this.#records.take();
    this.#useLimits(handle, options);
    const errno = this.#binding.join(
      handle,
      slot,
      clientFd,
      upstreamFd,
      joinBytes([pair.answer, fromUpstream]),
      pair.answer.length,
      fromClient,
      framingNumber(pair.framing),
      options.idleTimeoutMs,
      options.halfCloseTimeoutMs,
      options.maxAgeMs,
    );
    if (errno !== 0) {
      // Out of descriptors or memory. Nothing has been taken, but the bytes that were read are in our hands.
      this.#records.give(slot);
      const client = { socket: pair.client.socket, early: fromClient };
      const upstream = { socket: pair.upstream.socket, early: fromUpstream };
      return this.#fallback.join({ ...pair, client, upstream }, options);
    }
    letGo(pair.client.socket);
    letGo(pair.upstream.socket);
    return this.#begin(slot, pair.framing);
  }

  joinVisit(visit: Visit, start: VisitStart, options: RelayOptions): Relay {
    const { answer, early, framing } = start;
    const slot = this.#records.take();
    if (this.#handle !== undefined) this.#useLimits(this.#handle, options);
    if (visit.join(slot, answer, early, framingNumber(framing), options)) return this.#begin(slot, framing);
    // Out of memory, or closed.
    this.#records.give(slot);
    const { client, upstream } = visit.take();
    const pair = {
      client: { socket: client, early: early.fromClient },
      // They stand in the door’s memory, which the next event overwrites.
      upstream: { socket: upstream!, early: Buffer.from(early.fromUpstream) },
      answer: Buffer.from(answer, 'latin1'),
      framing,
    };
    return this.#fallback.join(pair, options);
  }

  #begin(slot: number, framing: Framing | undefined): Relay {
    const relay = new NativeRelay(this, slot, isRead(framing));
    this.#relays[slot] = relay;
    return relay;
  }

  /** A way in whose visits this engine can join. To be closed before the engine is. */
  openDoor(): NativeDoor {
    if (this.#handle === undefined) throw new Error('the engine is closed');
    return new NativeDoor(this.#binding, this.#handle);
  }

  /** The addon keeps the limits of the last tunnel: most have the same. */
  #useLimits(handle: EngineHandle, { closeTimeoutMs = 0, fromClient, fromUpstream }: RelayOptions): void {
    const limits = this.#limits;
    let at = 0;
    let isNew = false;
    const put = (value: number | undefined): void => {
      const known = value !== undefined && value > 0 ? value : 0;
      if (limits[at] !== known) isNew = true;
      limits[at++] = known;
    };
    put(closeTimeoutMs);
    for (const side of [fromClient, fromUpstream]) {
      put(side?.maxMessageBytes);
      put(side?.maxMessagesPerSecond);
      put(side?.maxBytesPerSecond);
    }
    if (isNew) this.#binding.setLimits(handle, limits);
  }

  /** Resets what is open and stops the threads. Later tunnels go to the fallback. */
  close(): void {
    const handle = this.#handle;
    if (handle === undefined) return;
    this.#takeEnded();
    this.#handle = undefined;
    this.#binding.close(handle);
    for (const [slot, relay] of this.#relays.entries()) {
      if (relay !== undefined) this.#finish(slot, relay, { first: 'proxy', how: 'cut' });
    }
  }

  /** For tests: lets so much of the engine's time pass; returns when every thread has acted on it. */
  passTime(ms: number): void {
    if (this.#handle !== undefined) this.#binding.passTime(this.#handle, ms);
  }

  /** For the engine's relays only. */
  carried(slot: number, side: RelaySideName, isObserved: boolean, closeReason?: string): Carried {
    return this.#records.carried(slot, side, isObserved, closeReason);
  }

  /** For the engine's relays only. */
  firstClose(slot: number): RelaySideName | undefined {
    return this.#records.firstClose(slot);
  }

  /** For the engine's relays only. */
  cut(slot: number): void {
    if (this.#handle !== undefined) this.#binding.cut(this.#handle, slot);
  }

  /** For the engine's relays only. */
  inject(slot: number, towards: RelaySideName, kind: InjectionKind, frame: Uint8Array): boolean {
    if (this.#handle === undefined) return false;
    const number = kind === 'close' ? 0 : 1;
    const errno = this.#binding.inject(this.#handle, slot, sideNumber(towards), number, frame);
    if (errno === EINVAL) throw new RangeError(`not a whole ${kind} frame`);
    return errno === 0;
  }

  #takeEnded(): void {
    if (this.#handle === undefined) return;
    for (;;) {
      const count = this.#binding.takeEnded(this.#handle, this.#endedSlots, this.#endedReasons);
      for (let i = 0; i < count; i++) {
        const slot = this.#endedSlots[i]!;
        this.#finish(slot, this.#relays[slot]!, this.#records.end(slot), {
          fromClient: reasonAt(this.#endedReasons, 2 * i),
          fromUpstream: reasonAt(this.#endedReasons, 2 * i + 1),
        });
      }
      if (count < this.#endedSlots.length) return;
    }
  }

  #finish(slot: number, relay: NativeRelay, end: RelayEnd, reasons: CloseReasons = {}): void {
    this.#relays[slot] = undefined;
    relay.finish(end, reasons);
    this.#records.give(slot);
  }
}

const EINVAL = 22;
/** How many ended tunnels are taken with one call. */
const ENDED_AT_ONCE = 64;

/** What the Close frames of either side gave as their reason. */
interface CloseReasons {
  readonly fromClient?: string | undefined;
  readonly fromUpstream?: string | undefined;
}

/** What is left of a tunnel in JavaScript: a number. */
class NativeRelay implements Relay {
  readonly #engine: NativeEngine;
  readonly #slot: number;
  readonly #isObserved: boolean;
  #listener: ((end: RelayEnd) => void) | undefined;
  #ended: Promise<RelayEnd> | undefined;
  /** The last word, kept because the slot goes to another tunnel. */
  #last: Facts | undefined;

  constructor(engine: NativeEngine, slot: number, isObserved: boolean) {
    this.#engine = engine;
    this.#slot = slot;
    this.#isObserved = isObserved;
  }

  get ended(): Promise<RelayEnd> {
    this.#ended ??= new Promise((resolve) => this.whenEnded(resolve));
    return this.#ended;
  }

  whenEnded(listener: (end: RelayEnd) => void): void {
    if (this.#last !== undefined) {
      listener(this.#last.end);
      return;
    }
    const earlier = this.#listener;
    this.#listener =
      earlier === undefined
        ? listener
        : (end) => {
            earlier(end);
            listener(end);
          };
  }

  get fromClient(): Carried {
    return this.#last?.fromClient ?? this.#engine.carried(this.#slot, 'client', this.#isObserved);
  }

  get fromUpstream(): Carried {
    return this.#last?.fromUpstream ?? this.#engine.carried(this.#slot, 'upstream', this.#isObserved);
  }

  get firstClose(): RelaySideName | undefined {
    return this.#last === undefined ? this.#engine.firstClose(this.#slot) : this.#last.firstClose;
  }

  cut(): void {
    if (this.#last === undefined) this.#engine.cut(this.#slot);
  }

  inject(towards: RelaySideName, kind: InjectionKind, frame: Uint8Array): boolean {
    if (!this.#isObserved || this.#last !== undefined) return false;
    const against = towards === 'client' ? this.fromUpstream : this.fromClient;
    return against.blind === undefined && this.#engine.inject(this.#slot, towards, kind, frame);
  }

  /** For the engine: the tunnel is over, and its record is about to be another's. */
  finish(end: RelayEnd, reasons: CloseReasons): void {
    const carried = (side: RelaySideName, reason: string | undefined): Carried =>
      this.#engine.carried(this.#slot, side, this.#isObserved, reason);
    this.#last = {
      fromClient: carried('client', reasons.fromClient),
      fromUpstream: carried('upstream', reasons.fromUpstream),
      firstClose: this.firstClose,
      end,
    };
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.(end);
  }
}

type Facts = Pick<Relay, 'fromClient' | 'fromUpstream' | 'firstClose'> & { readonly end: RelayEnd };

/**
 * The descriptor of a plain socket that can be taken from Node as it is: open, with nothing left to be written. What
 * was not flushed is rare at this point, and the fallback knows how to wait for it.
 */
function descriptorOf(socket: Duplex): number | undefined {
  if (!(socket instanceof Socket) || socket instanceof TLSSocket) return undefined;
  if (socket.destroyed || socket.connecting || socket.writableLength > 0 || socket.writableEnded) {
    return undefined;
  }
  const { _handle: handle } = socket as Socket & { _handle?: { fd?: number } | null };
  return handle?.fd === undefined || handle.fd < 0 ? undefined : handle.fd;
}

/** What Node has already read from a paused socket. */
function unread(socket: Duplex): Buffer[] {
  const chunks: Buffer[] = [];
  while (socket.readableLength > 0) {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) break;
    chunks.push(chunk);
  }
  return chunks;
}

/** Closes Node's own descriptor. The duplicate keeps the connection: nothing reaches the peer. */
function letGo(socket: Duplex): void {
  socket.on('error', ignore);
  socket.destroy();
}

function ignore(): void {}

function joinBytes(parts: readonly Buffer[]): Buffer {
  const filled = parts.filter((part) => part.length > 0);
  return filled.length === 1 ? filled[0]! : Buffer.concat(filled);
}

function isRead(framing: Framing | undefined): boolean {
  return framingNumber(framing) !== 0;
}

/** As in `native/src/scanner.h`. */
function framingNumber(framing: Framing | undefined): 0 | 1 | 2 {
  if (framing === 'rfc6455') return 1;
  return framing === 'hixie' ? 2 : 0;
}
