import { PAUSE, type FrameHeader, type FrameScanner, type FrameSink } from './types.js';

/**
 * Walks the frames of Hixie-75 and Hixie-76 (HyBi-00) as their bytes pass. Types below 0x80 run up to a byte 0xFF, and
 * only 0x00 is text; types from 0x80 on carry a base-128 length; `FF 00` is the close. It keeps two numbers and nothing
 * else.
 */
export class HixieScanner implements FrameScanner {
  readonly #sink: FrameSink;
  readonly #header: FrameHeader = {
    fin: true,
    rsv: 0,
    opcode: 0,
    masked: false,
    maskKey: 0,
    payloadLength: 0,
  };
  #consume: (chunk: Uint8Array) => number = (chunk) => this.#walk(chunk, false);
  #state: State = BETWEEN;
  /** The type byte of the frame whose length is being read. */
  #type = 0;
  #digits = 0;
  /** The length so far while it is read, then the bytes still to be skipped. */
  #length = 0;
  #blind: string | undefined;
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
    return this.#state === BETWEEN && this.#blind === undefined;
  }

  get headerBytes(): number {
    return 1 + this.#digits;
  }

  get openHeaderBytes(): number {
    return this.#state === LENGTH && this.#blind === undefined ? 1 + this.#digits : 0;
  }

  get blind(): string | undefined {
    return this.#blind;
  }

  #walk(chunk: Uint8Array, toBoundary: boolean): number {
    let at = 0;
    while (at < chunk.length && this.#blind === undefined) {
      if (this.#paused) break;
      if (toBoundary && at > 0 && this.#state === BETWEEN) return at;
      switch (this.#state) {
        case BETWEEN:
          this.#startFrame(chunk[at++]!);
          break;
        case UP_TO_FF:
          at = this.#passUpToFf(chunk, at);
          break;
        case LENGTH:
          this.#lengthDigit(chunk[at++]!);
          break;
        case COUNTED:
          at = this.#passCounted(chunk, at);
          break;
      }
    }
    this.#paused = false;
    return this.#blind === undefined ? at : chunk.length;
  }

  #startFrame(type: number): void {
    if (type < 0x80) {
      this.#state = UP_TO_FF;
      this.#digits = 0;
      this.#tell(type === 0 ? 1 : 2, -1);
    } else {
      this.#state = LENGTH;
      this.#type = type;
      this.#digits = 0;
      this.#length = 0;
    }
  }

  #passUpToFf(chunk: Uint8Array, at: number): number {
    const found = chunk.indexOf(0xff, at);
    const end = found === -1 ? chunk.length : found;
    const stop = end > at ? this.#sink.payload?.(chunk, at, end) : undefined;
    if (typeof stop === 'number') {
      this.#paused = true;
      return stop;
    }
    if (found === -1) return end;
    this.#endFrame();
    return found + 1;
  }

  #lengthDigit(byte: number): void {
    // Before the multiplication, so that no number of digits can make the length imprecise.
    if (this.#digits === MAX_LENGTH_DIGITS) {
      return this.#goBlind(`Hixie frame length has more than ${MAX_LENGTH_DIGITS} digits`);
    }
    this.#digits++;
    this.#length = this.#length * 128 + (byte & 0x7f);
    if (byte >= 0x80) return;
    this.#state = COUNTED;
    this.#tell(this.#type === 0xff && this.#length === 0 ? 8 : 2, this.#length);
    if (this.#length === 0 && this.#blind === undefined) this.#endFrame();
  }

  #passCounted(chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + this.#length);
    this.#length -= end - at;
    this.#sink.payload?.(chunk, at, end);
    if (this.#length === 0) this.#endFrame();
    return end;
  }

  #tell(opcode: number, payloadLength: number): void {
    this.#header.opcode = opcode;
    this.#header.payloadLength = payloadLength;
    const stop = this.#sink.header(this.#header);
    if (typeof stop === 'string') this.#goBlind(stop);
    else if (stop === PAUSE) this.#paused = true;
  }

  #endFrame(): void {
    this.#state = BETWEEN;
    this.#sink.end?.();
  }

  #goBlind(reason: string): void {
    this.#blind = reason;
    this.#consume = discard;
  }
}

/** 28 bits of length: no server of the time took frames of 256 MiB. */
const MAX_LENGTH_DIGITS = 4;

const BETWEEN = 0;
const UP_TO_FF = 1;
const LENGTH = 2;
const COUNTED = 3;
type State = typeof BETWEEN | typeof UP_TO_FF | typeof LENGTH | typeof COUNTED;

/** Blind: what follows cannot be read. */
function discard(chunk: Uint8Array): number {
  return chunk.length;
}
