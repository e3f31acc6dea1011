import { HeadError } from './response-head.js';

/**
 * Follows a chunked body (RFC 9112 §7.1) to its end without holding any of it. Strict: lines end in CRLF, a size is hex
 * digits and nothing else; extensions and trailers pass unread, but for whoever wants the data: then trailers are kept.
 * Throws a HeadError on anything else.
 */
export class ChunkedEnd {
  readonly #maxLineBytes: number;
  readonly #maxTrailerBytes: number;
  #state: State = SIZE;
  /** Bytes so far of the present size line, later of the trailers. */
  #overhead = 0;
  #digits = 0;
  #size = 0;
  #trailers = '';

  constructor(maxLineBytes: number, maxTrailerBytes: number) {
    this.#maxLineBytes = maxLineBytes;
    this.#maxTrailerBytes = maxTrailerBytes;
  }

  get done(): boolean {
    return this.#state === DONE;
  }

  /** The lines behind the last chunk, as latin-1 text; kept only for whoever has wanted the data. */
  get trailers(): string {
    return this.#trailers;
  }

  /**
   * How many bytes of this chunk belong to the body.
   *
   * @param onData is told where in the chunk data stand: `[start, end)`.
   */
  push(chunk: Uint8Array, onData?: (start: number, end: number) => void): number {
    let at = 0;
    while (at < chunk.length && this.#state !== DONE) {
      if (this.#state === DATA) {
        const taken = Math.min(this.#size, chunk.length - at);
        onData?.(at, at + taken);
        this.#size -= taken;
        at += taken;
        if (this.#size === 0) this.#state = DATA_CR;
      } else {
        const byte = chunk[at++]!;
        this.#state = this.#step(this.#state, byte);
        if (onData !== undefined && isInTrailers(this.#state)) this.#trailers += String.fromCharCode(byte);
      }
    }
    return at;
  }

  /** Everything between the data, a byte at a time. */
  #step(state: Exclude<State, typeof DATA | typeof DONE>, byte: number): State {
    switch (state) {
      case SIZE:
        this.#countLineByte();
        return this.#sizeByte(byte);
      case SIZE_SPACE:
        this.#countLineByte();
        if (isBlank(byte)) return SIZE_SPACE;
        return byte === SEMICOLON ? EXTENSION : fail('chunk size is followed by something else than ";"');
      case EXTENSION:
        this.#countLineByte();
        if (byte === CR) return SIZE_LF;
        return isText(byte) ? EXTENSION : fail('chunk extension has a control character');
      case SIZE_LF:
        if (byte !== LF) fail('chunk-size line has a CR without LF');
        this.#overhead = 0;
        this.#digits = 0;
        return this.#size > 0 ? DATA : TRAILER_START;
      case DATA_CR:
        return byte === CR ? DATA_LF : fail('chunk is longer than its size says');
      case DATA_LF:
        return byte === LF ? SIZE : fail('chunk ends in CR without LF');
      case TRAILER_START:
        this.#countTrailerByte();
        if (byte === CR) return END_LF;
        return isText(byte) && !isBlank(byte)
          ? TRAILER
          : fail('trailer begins with whitespace or a control character');
      case TRAILER:
        this.#countTrailerByte();
        if (byte === CR) return TRAILER_LF;
        return isText(byte) ? TRAILER : fail('trailer has a control character');
      case TRAILER_LF:
        this.#countTrailerByte();
        return byte === LF ? TRAILER_START : fail('trailer has a CR without LF');
      case END_LF:
        return byte === LF ? DONE : fail('chunked body ends in CR without LF');
    }
  }

  #sizeByte(byte: number): State {
    const digit = hexDigit(byte);
    if (digit !== -1) {
      if (++this.#digits > MAX_SIZE_DIGITS) fail(`chunk size has more than ${MAX_SIZE_DIGITS} digits`);
      if (this.#size >= 2 ** 49) fail('chunk size is larger than 2^53 - 1 bytes');
      this.#size = this.#size * 16 + digit;
      return SIZE;
    }
    if (this.#digits === 0) fail('chunk size is missing');
    if (byte === CR) return SIZE_LF;
    if (byte === SEMICOLON) return EXTENSION;
    return isBlank(byte) ? SIZE_SPACE : fail('chunk size is not a hexadecimal number');
  }

  #countLineByte(): void {
    if (++this.#overhead > this.#maxLineBytes) {
      throw new HeadError('too-large', `chunk-size line is longer than ${this.#maxLineBytes} bytes`);
    }
  }

  #countTrailerByte(): void {
    if (++this.#overhead > this.#maxTrailerBytes) {
      throw new HeadError('too-large', `trailers are larger than ${this.#maxTrailerBytes} bytes`);
    }
  }
}

/** A 64-bit number with all its leading zeros. */
const MAX_SIZE_DIGITS = 16;

const CR = 0x0d;
const LF = 0x0a;
const SEMICOLON = 0x3b;

const SIZE = 0;
/** Whitespace between a size and its extensions: bad, but to be understood (RFC 9112 §7.1.1). */
const SIZE_SPACE = 1;
const EXTENSION = 2;
const SIZE_LF = 3;
const DATA = 4;
const DATA_CR = 5;
const DATA_LF = 6;
const TRAILER_START = 7;
const TRAILER = 8;
const TRAILER_LF = 9;
const END_LF = 10;
const DONE = 11;
type State =
  | typeof SIZE
  | typeof SIZE_SPACE
  | typeof EXTENSION
  | typeof SIZE_LF
  | typeof DATA
  | typeof DATA_CR
  | typeof DATA_LF
  | typeof TRAILER_START
  | typeof TRAILER
  | typeof TRAILER_LF
  | typeof END_LF
  | typeof DONE;

/** Behind a byte of a trailer’s line: its text, or the CR that ends it. */
function isInTrailers(state: State): boolean {
  return state === TRAILER || state === TRAILER_LF;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x09;
}

function isText(byte: number): boolean {
  return byte === 0x09 || (byte >= 0x20 && byte !== 0x7f);
}

function fail(message: string): never {
  throw new HeadError('malformed', message);
}
