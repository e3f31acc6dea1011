import type { Framing } from '../handshake/types.js';

/** One frame header, as the scanner saw it pass. The object is reused: copy what you keep. */
export interface FrameHeader {
  fin: boolean;
  /** RSV1–3 as a number 0–7 (RSV1 = 4). Always 0 for Hixie frames. */
  rsv: number;
  /** RFC 6455 opcode. Hixie text frames say 1, the Hixie close `FF 00` 8, every other Hixie frame 2. */
  opcode: number;
  masked: boolean;
  /** The masking key as a big-endian number, 0 when the frame is not masked. */
  maskKey: number;
  /** Payload bytes to come; -1 when the frame is ended by a sentinel (Hixie types below 0x80). */
  payloadLength: number;
}

/** Hears of frames as their bytes pass. Chunks are views, valid only during the call. */
export interface FrameSink {
  /**
   * Returns nothing; or a reason to stop following these frames (the scanner goes blind with it); or `PAUSE`: the scanner
   * returns from its walk right behind the header, and goes on with the payload when it is next called.
   */
  header(header: FrameHeader): string | typeof PAUSE | void;
  /**
   * Payload bytes `chunk[start, end)`, still masked. In a frame without a length, a number returned is the offset at
   * which the scanner is to return from its walk; it goes on from there.
   */
  payload?(chunk: Uint8Array, start: number, end: number): number | void;
  end?(): void;
}

/**
 * Walks frames without holding a payload: a small state machine with a few bytes of scratch. It never throws; on bytes
 * that cannot be a frame it goes blind and says why.
 */
export interface FrameScanner {
  /** Returns how many bytes it has walked: all, unless its sink has stopped it. */
  push(chunk: Uint8Array): number;
  /** Stops behind the first frame that ends in the chunk. Returns how many bytes it has walked: all, if none ends. */
  pushToBoundary(chunk: Uint8Array): number;
  /** True between frames: only then may something be injected towards the receiver. False once blind. */
  readonly atBoundary: boolean;
  /** Bytes of a header that is not yet whole: the last that were walked. */
  readonly openHeaderBytes: number;
  /** Length of the last whole header. */
  readonly headerBytes: number;
  /** Why the scanner went blind, or undefined while it follows. */
  readonly blind: string | undefined;
}

/** See `FrameSink.header`. */
export const PAUSE = Symbol('pause');

/** What the messages of one direction may be; 0 = no limit. */
export interface MessageLimits {
  /**
   * Payload bytes of one data message, all its fragments together, as they are on the wire (compressed ones count
   * compressed). Of every frame where they are Hixie's.
   */
  readonly maxMessageBytes: number;
  /** Data messages; a burst of one second's worth is let through. */
  readonly maxMessagesPerSecond: number;
  /** Monotonic milliseconds. Asked once a message, and only when there is a rate. */
  readonly now: () => number;
}

/** The limit that was broken. */
export type Breach = 'message-size' | 'message-rate';

/** Which way the frames go: clients mask (RFC 6455 §5.1), upstreams do not. */
export type Direction = 'from-client' | 'from-upstream';

/** What one direction of a session has carried so far. */
export interface Traffic {
  /** Complete data messages (a fragmented message counts once, control frames not at all). */
  readonly messages: number;
  /** The code of the first Close frame; 1005 when it carried none; undefined before one was seen. Hixie: 1005. */
  readonly closeCode: number | undefined;
  /** The reason in that frame, once all of it has passed; undefined without one. What is not UTF-8 is shown as U+FFFD. */
  readonly closeReason: string | undefined;
  /** Whether a whole Close frame has passed. */
  readonly closed: boolean;
  readonly atBoundary: boolean;
  readonly blind: string | undefined;
  /** As `FrameScanner.openHeaderBytes`. */
  readonly openHeaderBytes: number;
  /** The first limit that was broken: from then on none is looked at. Frames behind a Close break none. */
  readonly breach: Breach | undefined;
  /**
   * When a walk has just stopped at a breach: how many bytes before that point are the offending frame's, perhaps some of
   * an earlier chunk. 0 where a frame without a length has passed the limit: its first bytes are gone.
   */
  readonly breachHeaderBytes: number;
  /** Returns how many bytes it has walked: all, unless a limit is broken. Then it goes on with the next call. */
  push(chunk: Uint8Array): number;
  /** As `FrameScanner.pushToBoundary`; stops at a breach, too. */
  pushToBoundary(chunk: Uint8Array): number;
}

/** Makes the observer for one direction, or undefined for frames that cannot be read. */
export type MakeTraffic = (
  framing: Framing,
  direction: Direction,
  limits?: MessageLimits,
) => Traffic | undefined;
