import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { DoorBinding } from '../net/door-binding.js';

/** An engine inside the addon. */
export interface EngineHandle {
  readonly engine: unique symbol;
}

/** A scanner inside the addon. */
export interface ScannerHandle {
  readonly scanner: unique symbol;
}

/** The addon (`native/src/addon.c`). Sides: 0 client, 1 upstream. Framings: 0 none, 1 RFC 6455, 2 Hixie. */
export interface NativeBinding extends DoorBinding<EngineHandle> {
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
  /**
   * Writes the slots of tunnels that have ended into `slots`, and forgets them. `reasons` gets those of their Close
   * frames, the client's and the upstream's: `REASON_BYTES` each, the first of them the length. Returns how many tunnels.
   */
  takeEnded(engine: EngineHandle, slots: Uint32Array, reasons: Uint8Array): number;
  cut(engine: EngineHandle, slot: number): void;
  /** Kinds: 0 Close, 1 Ping. Returns 0 or an errno. */
  inject(engine: EngineHandle, slot: number, towards: number, kind: number, frame: Uint8Array): number;
  /**
   * Sends the same bytes, without waiting, to the first `count` descriptors of `fds`. Each is overwritten with how many
   * of the bytes its socket took: 0 where that failed, and for one below 0. Returns how many did not take all of it.
   */
  sendToAll(fds: Int32Array, count: number, bytes: Uint8Array): number;
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
   * header bytes, whether a Close has passed, open header bytes; and the reason as `takeEnded` does.
   */
  readScanner(scanner: ScannerHandle, facts: Float64Array, reason: Uint8Array): void;
}

/** `struct close_reason`. */
export const REASON_BYTES = 124;

export type LoadedNative = { readonly binding: NativeBinding } | { readonly reason: string };

/** Where the addon may be: built here, or come with the package. */
const places = ['build/Release', `prebuilds/${process.platform}-${process.arch}`].map((folder) =>
  fileURLToPath(new URL(`../../native/${folder}/tidegate_relay.node`, import.meta.url)),
);

/** What was added last: an addon without it was built from other sources. */
const NEWEST: keyof NativeBinding = 'sendToAll';

/** Loads the addon, or says in a few words why there is none. Never throws. */
export function loadNative(files: readonly string[] = places): LoadedNative {
  if (process.platform !== 'linux') return { reason: `it needs Linux, and this is ${process.platform}` };
  const require = createRequire(import.meta.url);
  let reason = 'it was not built (npm run build:native tells why)';
  for (const file of files.filter((file) => existsSync(file))) {
    try {
      const binding = require(file) as NativeBinding;
      if (NEWEST in binding) return { binding };
      reason = 'it is of an older Tidegate (npm run build:native builds it anew)';
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
