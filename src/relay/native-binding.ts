import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** An engine inside the addon. */
export interface EngineHandle {
  readonly engine: unique symbol;
}

/** A door inside the addon. */
export interface DoorHandle {
  readonly door: unique symbol;
}

/** A scanner inside the addon. */
export interface ScannerHandle {
  readonly scanner: unique symbol;
}

/** The addon (`native/src/addon.c`). Sides: 0 client, 1 upstream. Framings: 0 none, 1 RFC 6455, 2 Hixie. */
export interface NativeBinding extends DoorBinding {
  /** `onEnded` is called when tunnels wait to be taken. It is held only while tunnels are open. */
  open(threads: number, slotsPerSlab: number, onEnded: () => void): EngineHandle;
  /** Resets what is open and stops the threads. The handle is of no more use. */
  close(engine: EngineHandle): void;
  /** Memory for the records of the next slots; see `native-records.ts`. */
  addSlab(engine: EngineHandle, slab: ArrayBuffer): void;
  /**
   * Takes duplicates of two descriptors, and sends what goes first. Returns 0, or the errno of what is missing: then
   * nothing was taken and nothing sent.
   */
  join(
    engine: EngineHandle,
    slot: number,
    clientFd: number,
    upstreamFd: number,
    toClient: Uint8Array,
    answerLength: number,
    toUpstream: Uint8Array,
    framing: number,
    idleTimeoutMs: number,
    halfCloseTimeoutMs: number,
    maxAgeMs: number,
  ): number;
  /**
   * The limits of tunnels that are joined from here on: `closeTimeoutMs`; then of the client and of the upstream
   * `maxMessageBytes`, `maxMessagesPerSecond`, `maxBytesPerSecond`; 0 = none. All 0 at first.
   */
  setLimits(engine: EngineHandle, limits: Float64Array): void;
  /** Writes the slots of tunnels that have ended into `slots`, and forgets them. Returns how many. */
  takeEnded(engine: EngineHandle, slots: Uint32Array): number;
  cut(engine: EngineHandle, slot: number): void;
  /** Kinds: 0 Close, 1 Ping. Returns 0 or an errno. */
  inject(engine: EngineHandle, slot: number, towards: number, kind: number, frame: Uint8Array): number;
  /** For tests: lets so much of the engine's time pass, sweep by sweep. */
  passTime(engine: EngineHandle, ms: number): void;

  /** The scanner by itself, for the tests that hold it to its TypeScript twin. */
  makeScanner(
    framing: number,
    fromClient: boolean,
    maxMessageBytes: number,
    maxMessagesPerSecond: number,
  ): ScannerHandle;
  /** Returns how many bytes were walked: with `toBoundary`, up to the end of the first frame that ends. */
  pushScanner(scanner: ScannerHandle, bytes: Uint8Array, toBoundary: boolean, nowMs: number): number;
  /**
   * Writes messages, close code (-1: none), whether it is at a boundary, blind, breach (0 none, 1 size, 2 rate) and its
   * header bytes, whether a Close has passed, open header bytes.
   */
  readScanner(scanner: ScannerHandle, facts: Float64Array): void;
}

/**
 * Where clients come in without Node's sockets (`native/src/door.h`). A visit is a client from its first event until it
 * is joined, taken or cut; numbers do not come back soon, and are positive. With a number that is unknown or over,
 * `doorDial`, `doorSend` and `doorJoin` return ESRCH (3). Every function may be called from inside `onEvents`.
 */
export interface DoorBinding {
  /**
   * `events`: EVENT_WORDS numbers an event: kind, visit, offset, length, extra, address length; as many events as it has
   * room for are a batch. `bytes`: where what was read stands until `onEvents` returns; at least 64 KiB + 46. Both are
   * kept until `closeDoor`. What `onEvents` throws becomes an uncaught exception. The process is kept while the door
   * listens or has visits.
   */
  openDoor(
    engine: EngineHandle,
    events: Int32Array,
    bytes: Uint8Array,
    onEvents: (count: number) => void,
  ): DoorHandle;
  /** Stops listening and resets every visit. No more events. May be called again. */
  closeDoor(door: DoorHandle): void;
  /**
   * Accepts from a duplicate of a listening descriptor. `listener`, below 4096, is what HEAD and SILENT have as `extra`.
   * Returns 0 or an errno.
   */
  doorListen(door: DoorHandle, fd: number, listener: number): number;
  /** Stops accepting there. The visits that it has let in go on. */
  doorUnlisten(door: DoorHandle, listener: number): void;
  /**
   * Dials an IP address for a visit without an upstream, and sends the offer (latin1). Returns 0, or the errno for which
   * no attempt was made (EINVAL for what is no address; EISCONN; EMFILE, ...): then the visit waits as before. What
   * fails later, from connect(2) on, comes as an event.
   */
  doorDial(door: DoorHandle, visit: number, host: string, port: number, offer: string): number;
  /** Sends all of it (latin1) to the client. EAGAIN when it did not take all: it must be cut then. */
  doorSend(door: DoorHandle, visit: number, text: string): number;
  /**
   * Hands both sockets to the engine under `slot`, as `join` does, with `answer` (latin1) and `early` for the client.
   * Returns 0: the visit is over; or an errno, and nothing was taken or sent (ENOTCONN before the whole offer was sent,
   * ESHUTDOWN when the engine is closed).
   */
  doorJoin(
    door: DoorHandle,
    visit: number,
    slot: number,
    answer: string,
    early: Uint8Array,
    toUpstream: Uint8Array,
    framing: number,
    idleTimeoutMs: number,
    halfCloseTimeoutMs: number,
    maxAgeMs: number,
  ): number;
  /**
   * Ends a visit and hands its descriptors out: `fds[0]` client, `fds[1]` upstream, or -1. An upstream that has not got
   * the whole offer is closed instead.
   */
  doorTake(door: DoorHandle, visit: number, fds: Int32Array): void;
  /** Ends a visit: both descriptors are reset. */
  doorCut(door: DoorHandle, visit: number): void;
}

export const EVENT_WORDS = 6;

/** What a door tells: the first word of an event. */
export const DOOR_EVENT = {
  /** A client's first bytes; its address, as text, stands right before them (no text for a unix socket). */
  head: 0,
  /** A client has sent nothing for a second. No bytes; its address as above. */
  silent: 1,
  /** Bytes from the upstream. */
  answer: 2,
  /** No connection was made; `extra` is the errno. The upstream is closed. */
  connectFailed: 3,
  /** The upstream has ended (`extra` 0) or was lost (an errno). It is closed. */
  upstreamEnded: 4,
  /** The client has ended (0) or was lost (an errno). */
  clientGone: 5,
} as const;

export type LoadedNative = { readonly binding: NativeBinding } | { readonly reason: string };

/** Where the addon may be: built here, or come with the package. */
const places = ['build/Release', `prebuilds/${process.platform}-${process.arch}`].map((folder) =>
  fileURLToPath(new URL(`../../native/${folder}/tidegate_relay.node`, import.meta.url)),
);

/** Loads the addon, or says in a few words why there is none. Never throws. */
export function loadNative(files: readonly string[] = places): LoadedNative {
  if (process.platform !== 'linux') return { reason: `it needs Linux, and this is ${process.platform}` };
  const require = createRequire(import.meta.url);
  let reason = 'it was not built (npm run build:native tells why)';
  for (const file of files.filter((file) => existsSync(file))) {
    try {
      return { binding: require(file) as NativeBinding };
    } catch (thrown) {
      reason = `it cannot be loaded: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
    }
  }
  return { reason };
}

/** Why frames could not be read, by the numbers of `native/src/scanner.h`, in the words of `protocol/frames/`. */
export function blindReason(blind: number): string | undefined {
  if (blind >= RESERVED_OPCODE) return `reserved opcode ${blind - RESERVED_OPCODE} (RFC 6455 §5.2)`;
  return BLIND_REASONS[blind];
}

const RESERVED_OPCODE = 16;
const BLIND_REASONS: readonly (string | undefined)[] = [
  undefined,
  'fragmented control frame (RFC 6455 §5.5)',
  'control frame of more than 125 bytes (RFC 6455 §5.5)',
  'Close frame with half a code (RFC 6455 §5.5.1)',
  'continuation frame without a message to continue (RFC 6455 §5.4)',
  'new data frame inside a fragmented message (RFC 6455 §5.4)',
  'frame length has its top bit set (RFC 6455 §5.2)',
  'frame length is larger than 2^53 - 1 bytes',
  'frame from the client is not masked (RFC 6455 §5.1)',
  'frame from the upstream is masked (RFC 6455 §5.1)',
  'Hixie frame length has more than 4 digits',
];
