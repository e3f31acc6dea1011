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
  /** Returns a reason to stop following these frames (the scanner goes blind with it), or nothing. */
  header(header: FrameHeader): string | void;
  /** Payload bytes `chunk[start, end)`, still masked. */
  payload?(chunk: Uint8Array, start: number, end: number): void;
  end?(): void;
}

/**
 * Walks frames without holding a payload: a small state machine with a few bytes of scratch. It never throws; on bytes
 * that cannot be a frame it goes blind and says why.
 */
export interface FrameScanner {
  push(chunk: Uint8Array): void;
  /** Stops behind the first frame that ends in the chunk. Returns how many bytes it has walked: all, if none ends. */
  pushToBoundary(chunk: Uint8Array): number;
  /** True between frames: only then may something be injected towards the receiver. False once blind. */
  readonly atBoundary: boolean;
  /** Why the scanner went blind, or undefined while it follows. */
  readonly blind: string | undefined;
}

/** Which way the frames go: clients mask (RFC 6455 §5.1), upstreams do not. */
export type Direction = 'from-client' | 'from-upstream';

/** What one direction of a session has carried so far. */
export interface Traffic {
  /** Complete data messages (a fragmented message counts once, control frames not at all). */
  readonly messages: number;
  /** The code of the first Close frame; 1005 when it carried none; undefined before one was seen. Hixie: 1005. */
  readonly closeCode: number | undefined;
  readonly atBoundary: boolean;
  readonly blind: string | undefined;
  push(chunk: Uint8Array): void;
  /** As `FrameScanner.pushToBoundary`. */
  pushToBoundary(chunk: Uint8Array): number;
}

/** Makes the observer for one direction, or undefined for frames that cannot be read. */
export type MakeTraffic = (framing: Framing, direction: Direction) => Traffic | undefined;
