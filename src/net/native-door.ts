import { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { DOOR_EVENT, type DoorBinding, type DoorHandle, EVENT_WORDS } from './door-binding.js';

/** What a client does at a door, until its visit is over. The bytes are gone when the call returns. */
export interface VisitHandler {
  /** The upstream has sent something. */
  onAnswer(bytes: Buffer): void;
  /** The upstream could not be connected; another may be dialled. `code` as in Node’s errors. */
  onConnectFailed(code: string): void;
  /** The upstream ended (no code), or was lost, before the relay had it; another may be dialled. */
  onUpstreamEnded(code: string | undefined): void;
  /** The client ended, or was lost. */
  onClientGone(): void;
}

/** Takes what comes in at one listener of a door. */
export interface DoorListener {
  /**
   * A client has come with its first bytes (gone when the call returns), or has sent none for a second. From now on it
   * is the receiver’s to dial for, take or cut.
   */
  onVisit(visit: Visit, firstBytes: Buffer): void;
  /** No client can be accepted for now, which is tried again by itself. Told once, until one is. `code` as in Node’s errors. */
  onExhausted(code: string): void;
}

/** Both sides of a visit as Node’s sockets, which have no error handler yet. */
export interface Taken {
  readonly client: Socket;
  readonly upstream: Socket | undefined;
}

/**
 * The way in past Node’s own sockets (`native/src/door.h`): the addon accepts, reads a client’s first bytes, dials, and
 * exchanges the bytes of the handshake, on this thread; every decision is made here. What is not for it goes on as a
 * socket of Node’s.
 */
export class NativeDoor {
  readonly #binding: DoorBinding;
  readonly #handle: DoorHandle;
  readonly #events = new Int32Array(EVENTS_AT_ONCE * EVENT_WORDS);
  readonly #bytes = Buffer.allocUnsafeSlow(BYTES_AT_ONCE);
  readonly #listeners: (DoorListener | undefined)[] = [];
  readonly #visits = new Map<number, Visit>();
  readonly #fds = new Int32Array(2);
  #isClosed = false;

  constructor(binding: DoorBinding, engine: unknown) {
    this.#binding = binding;
    this.#handle = binding.openDoor(engine, this.#events, this.#bytes, (count) => this.#takeEvents(count));
  }

  /**
   * Accepts from a duplicate of a listening descriptor; the returned function stops that.
   *
   * @throws Error when the system refuses (its `code` says why).
   */
  listen(fd: number, listener: DoorListener): () => void {
    const free = this.#listeners.indexOf(undefined);
    const number = free === -1 ? this.#listeners.length : free;
    const errno = this.#binding.doorListen(this.#handle, fd, number);
    if (errno !== 0) throw systemError('listen', errno);
    this.#listeners[number] = listener;
    return () => {
      // The number may be another's by now.
      if (this.#listeners[number] !== listener) return;
      this.#listeners[number] = undefined;
      if (!this.#isClosed) this.#binding.doorUnlisten(this.#handle, number);
    };
  }

  /** Closes what is open with a reset. Safe to call again. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#visits.clear();
    this.#binding.closeDoor(this.#handle);
  }

  /** For visits only. */
  get binding(): DoorBinding {
    return this.#binding;
  }

  /** For visits only. */
  get handle(): DoorHandle {
    return this.#handle;
  }

  /** For visits only. */
  take(visit: number): Taken {
    this.#visits.delete(visit);
    this.#binding.doorTake(this.#handle, visit, this.#fds);
    const [client, upstream] = this.#fds;
    return {
      client: socketOf(client!),
      upstream: upstream === -1 ? undefined : socketOf(upstream!),
    };
  }

  /** For visits only. */
  forget(visit: number): void {
    this.#visits.delete(visit);
  }

  #takeEvents(count: number): void {
    const events = this.#events;
    for (let i = 0; i < count && !this.#isClosed; i++) {
      const at = i * EVENT_WORDS;
      const kind = events[at]!;
      const number = events[at + 1]!;
      const offset = events[at + 2]!;
      const extra = events[at + 4]!;
      const bytes = this.#bytes.subarray(offset, offset + events[at + 3]!);
      if (kind === DOOR_EVENT.head || kind === DOOR_EVENT.silent) {
        const address = this.#bytes.toString('latin1', offset - events[at + 5]!, offset);
        this.#receive(number, this.#listeners[extra], address, bytes);
      } else if (kind === DOOR_EVENT.exhausted) {
        this.#listeners[number]?.onExhausted(codeOf(extra) ?? 'ENOMEM');
      } else {
        // One that ended earlier in this batch is not known any more.
        this.#visits.get(number)?.tell(kind, bytes, extra);
      }
    }
  }

  #receive(number: number, listener: DoorListener | undefined, address: string, bytes: Buffer): void {
    const visit = new Visit(this, number, address);
    this.#visits.set(number, visit);
    // Nobody listens there any more.
    if (listener === undefined) visit.cut();
    else listener.onVisit(visit, bytes);
  }
}

/** One client at a door, from its first bytes until it is taken, cut, or given to the relay. */
export class Visit {
  readonly #door: NativeDoor;
  readonly number: number;
  /** IP address as the system has it; empty for a unix socket. */
  readonly address: string;
  handler: VisitHandler | undefined;

  constructor(door: NativeDoor, number: number, address: string) {
    this.#door = door;
    this.number = number;
    this.address = address;
  }

  /**
   * Dials an IP address and sends the offer (latin-1 text) once it is connected. Returns the code of what prevented even
   * the attempt (`EMFILE`, …), if something did.
   */
  dial(host: string, port: number, offer: string): string | undefined {
    const { binding, handle } = this.#door;
    return codeOf(binding.doorDial(handle, this.number, host, port, offer));
  }

  /** Whether the upstream has not taken the connection, or the whole offer, yet. */
  get isConnecting(): boolean {
    return this.#door.binding.doorIsConnecting(this.#door.handle, this.number);
  }

  /** Gives up the upstream; another may be dialled. */
  hangUp(): void {
    this.#door.binding.doorHangUp(this.#door.handle, this.number);
  }

  /** Sends latin-1 text to the client. Returns false when it cannot go out whole: then the client must be cut. */
  send(text: string): boolean {
    return this.#door.binding.doorSend(this.#door.handle, this.number, text) === 0;
  }

  /**
   * Gives both sides to the relay of the engine that the door was opened with: the answer’s head (latin-1 text), then
   * what has come early from either side. Returns false when the system has no room for it; then nothing has changed.
   */
  join(
    slot: number,
    answer: string,
    early: { readonly fromClient: Buffer; readonly fromUpstream: Buffer },
    framing: number,
    limits: {
      readonly idleTimeoutMs: number;
      readonly halfCloseTimeoutMs: number;
      readonly maxAgeMs: number;
    },
  ): boolean {
    const { binding, handle } = this.#door;
    const errno = binding.doorJoin(
      handle,
      this.number,
      slot,
      answer,
      early.fromUpstream,
      early.fromClient,
      framing,
      limits.idleTimeoutMs,
      limits.halfCloseTimeoutMs,
      limits.maxAgeMs,
    );
    if (errno !== 0) return false;
    this.#door.forget(this.number);
    return true;
  }

  /** Goes on with Node’s own sockets. The caller adds error handlers in the same turn. */
  take(): Taken {
    return this.#door.take(this.number);
  }

  /** Resets both sides. */
  cut(): void {
    this.#door.forget(this.number);
    this.#door.binding.doorCut(this.#door.handle, this.number);
  }

  /** For the door only. */
  tell(kind: number, bytes: Buffer, errno: number): void {
    const { handler } = this;
    if (handler === undefined) return;
    if (kind === DOOR_EVENT.answer) handler.onAnswer(bytes);
    else if (kind === DOOR_EVENT.connectFailed) handler.onConnectFailed(codeOf(errno) ?? 'ECONNREFUSED');
    else if (kind === DOOR_EVENT.upstreamEnded) handler.onUpstreamEnded(codeOf(errno));
    else if (kind === DOOR_EVENT.clientGone) handler.onClientGone();
  }
}

const EVENTS_AT_ONCE = 64;
const BYTES_AT_ONCE = 512 * 1024;

function socketOf(fd: number): Socket {
  return new Socket({ fd, allowHalfOpen: true });
}

function codeOf(errno: number): string | undefined {
  return errno === 0 ? undefined : getSystemErrorName(-errno);
}

function systemError(call: string, errno: number): Error {
  const code = codeOf(errno)!;
  return Object.assign(new Error(`${call} ${code}`), { code, errno: -errno, syscall: call });
}
