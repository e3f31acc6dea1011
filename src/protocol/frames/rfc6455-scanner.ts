import { PAUSE, type FrameHeader, type FrameScanner, type FrameSink } from './types.js';

/**
 * Walks RFC 6455 frames (HyBi-07 and later) as their bytes pass. It keeps at most one cut header, 14 bytes, and never a
 * payload. RSV bits are reported, not judged: they belong to extensions, as the length of a message does to limits and
 * the mask to whoever knows the direction.
 */
export class Rfc6455Scanner implements FrameScanner {
  readonly #sink: FrameSink;
  readonly #header: FrameHeader = {
    fin: false,
    rsv: 0,
    opcode: 0,
    masked: false,
    maskKey: 0,
    payloadLength: 0,
  };
  #consume: (chunk: Uint8Array) => number = (chunk) => this.#walk(chunk, false);
  /** Payload bytes of the present frame still to come. */
  #left = 0;
  /** Between the first and the last fragment of a message. */
  #fragmented = false;
  /** A header that the end of a chunk has cut. Most connections never need one. */
  #cut: Uint8Array | undefined;
  #cutLength = 0;
  #blind: string | undefined;
  #headerBytes = 0;
  /** The sink wants the walk to return. */
  #paused = false;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  push(chunk: Uint8Array): number {
    return this.#consume(chunk);
  }

  pushToBoundary(chunk: Uint8Array): number {
    return this.#blind === undefined ? this.#walk(chunk, true) : chunk.length;
  }

  get atBoundary(): boolean {
    return this.#left === 0 && this.#cutLength === 0 && this.#blind === undefined;
  }

  get headerBytes(): number {
    return this.#headerBytes;
  }

  get openHeaderBytes(): number {
    return this.#blind === undefined ? this.#cutLength : 0;
  }

  get blind(): string | undefined {
    return this.#blind;
  }

  #walk(chunk: Uint8Array, toBoundary: boolean): number {
    let at = this.#cutLength > 0 ? this.#completeCut(chunk) : 0;
    while (at < chunk.length && this.#blind === undefined) {
      if (this.#paused) break;
      if (toBoundary && at > 0 && this.#left === 0) return at;
      if (this.#left > 0) {
        at = this.#passPayload(chunk, at);
        continue;
      }
      const length = at + 1 < chunk.length ? headerLength(chunk[at + 1]!) : MAX_HEADER_BYTES;
      if (at + length > chunk.length) {
        this.#keepCut(chunk, at);
        return chunk.length;
      }
      this.#begin(chunk, at);
      at += length;
    }
    this.#paused = false;
    return this.#blind === undefined ? at : chunk.length;
  }

  /** The slow path: a byte at a time until the cut header is whole. Returns where to go on. */
  #completeCut(chunk: Uint8Array): number {
    const cut = this.#cut!;
    for (let at = 0; at < chunk.length;) {
      cut[this.#cutLength++] = chunk[at++]!;
      if (this.#cutLength > 1 && this.#cutLength === headerLength(cut[1]!)) {
        this.#cutLength = 0;
        this.#begin(cut, 0);
        return at;
      }
    }
    return chunk.length;
  }

  #keepCut(chunk: Uint8Array, at: number): void {
    this.#cut ??= new Uint8Array(MAX_HEADER_BYTES);
    while (at < chunk.length) this.#cut[this.#cutLength++] = chunk[at++]!;
  }

  #passPayload(chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + this.#left);
    this.#left -= end - at;
    this.#sink.payload?.(chunk, at, end);
    if (this.#left === 0) this.#sink.end?.();
    return end;
  }

  /** A whole header stands at `bytes[at]`. The checks come in the order of the bits in RFC 6455 §5.2. */
  #begin(bytes: Uint8Array, at: number): void {
    const header = this.#header;
    header.fin = bytes[at]! >= 0x80;
    header.rsv = (bytes[at]! >> 4) & 0x07;
    header.opcode = bytes[at]! & 0x0f;
    header.masked = bytes[at + 1]! >= 0x80;
    const shortLength = bytes[at + 1]! & 0x7f;

    const wrong = this.#misplaced(header, shortLength);
    if (wrong !== undefined) return this.#goBlind(wrong);

    let next = at + 2;
    let length = shortLength;
    if (shortLength === 126) {
      length = (bytes[next]! << 8) | bytes[next + 1]!;
      next += 2;
    } else if (shortLength === 127) {
      const high = uint32(bytes, next);
      if (high > 0x7fff_ffff) return this.#goBlind('frame length has its top bit set (RFC 6455 §5.2)');
      // Beyond 2^53 - 1 a number no longer counts single bytes.
      if (high > 0x1f_ffff) return this.#goBlind('frame length is larger than 2^53 - 1 bytes');
      length = high * 2 ** 32 + uint32(bytes, next + 4);
      next += 8;
    }
    header.payloadLength = length;
    this.#headerBytes = next - at + (header.masked ? 4 : 0);
    header.maskKey = header.masked ? uint32(bytes, next) : 0;

    if (header.opcode < 8) this.#fragmented = !header.fin;
    const stop = this.#sink.header(header);
    if (typeof stop === 'string') return this.#goBlind(stop);
    if (stop === PAUSE) this.#paused = true;
    this.#left = length;
    if (length === 0) this.#sink.end?.();
  }

  /** What no sender may do, whatever extensions were agreed on. */
  #misplaced(header: FrameHeader, shortLength: number): string | undefined {
    const { opcode, fin } = header;
    if ((opcode > 2 && opcode < 8) || opcode > 10) return `reserved opcode ${opcode} (RFC 6455 §5.2)`;
    if (opcode >= 8) {
      if (!fin) return 'fragmented control frame (RFC 6455 §5.5)';
      if (shortLength > 125) return 'control frame of more than 125 bytes (RFC 6455 §5.5)';
      if (opcode === 8 && shortLength === 1) return 'Close frame with half a code (RFC 6455 §5.5.1)';
    } else if (opcode === 0) {
      if (!this.#fragmented) return 'continuation frame without a message to continue (RFC 6455 §5.4)';
    } else if (this.#fragmented) {
      return 'new data frame inside a fragmented message (RFC 6455 §5.4)';
    }
    return undefined;
  }

  #goBlind(reason: string): void {
    this.#blind = reason;
    this.#consume = discard;
  }
}

/** 2 bytes, a 64-bit length, a masking key. */
const MAX_HEADER_BYTES = 14;

function headerLength(secondByte: number): number {
  const shortLength = secondByte & 0x7f;
  return 2 + (shortLength === 126 ? 2 : shortLength === 127 ? 8 : 0) + (secondByte >= 0x80 ? 4 : 0);
}

function uint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Blind: what follows cannot be read. */
function discard(chunk: Uint8Array): number {
  return chunk.length;
}
