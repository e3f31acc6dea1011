import { HixieScanner } from './hixie-scanner.js';
import { Rfc6455Scanner } from './rfc6455-scanner.js';
import type { Direction, FrameHeader, FrameSink, MakeTraffic, Traffic } from './types.js';

export const makeTraffic: MakeTraffic = (framing, direction) => {
  if (framing === 'rfc6455') return new Rfc6455Traffic(direction);
  if (framing === 'hixie') return new HixieTraffic();
  return undefined;
};

/** What a Close frame without a code is reported as (RFC 6455 §7.1.5). */
const NO_CODE = 1005;

class Rfc6455Traffic implements Traffic, FrameSink {
  readonly #scanner = new Rfc6455Scanner(this);
  readonly #fromClient: boolean;
  #messages = 0;
  #closeCode: number | undefined;
  /** Whether the present frame ends a data message. */
  #completes = false;
  /** Bytes of the close code still to come; its value and the frame's masking key until then. */
  #codeBytesLeft = 0;
  #code = 0;
  #maskKey = 0;

  constructor(direction: Direction) {
    this.#fromClient = direction === 'from-client';
  }

  get messages(): number {
    return this.#messages;
  }

  get closeCode(): number | undefined {
    return this.#closeCode;
  }

  get atBoundary(): boolean {
    return this.#scanner.atBoundary;
  }

  get blind(): string | undefined {
    return this.#scanner.blind;
  }

  push(chunk: Uint8Array): void {
    this.#scanner.push(chunk);
  }

  pushToBoundary(chunk: Uint8Array): number {
    return this.#scanner.pushToBoundary(chunk);
  }

  header(header: FrameHeader): string | undefined {
    if (header.masked !== this.#fromClient) {
      return this.#fromClient
        ? 'frame from the client is not masked (RFC 6455 §5.1)'
        : 'frame from the upstream is masked (RFC 6455 §5.1)';
    }
    this.#completes = header.fin && header.opcode < 8;
    if (header.opcode === 8 && this.#closeCode === undefined) {
      if (header.payloadLength === 0) this.#closeCode = NO_CODE;
      else this.#codeBytesLeft = 2;
      this.#code = 0;
      this.#maskKey = header.maskKey;
    }
    return undefined;
  }

  payload(chunk: Uint8Array, start: number, end: number): void {
    while (this.#codeBytesLeft > 0 && start < end) {
      // The first byte of the payload goes with the key's top byte, the second with the next (RFC 6455 §5.3).
      const key = (this.#maskKey >>> (this.#codeBytesLeft === 2 ? 24 : 16)) & 0xff;
      this.#code = (this.#code << 8) | (chunk[start++]! ^ key);
      if (--this.#codeBytesLeft === 0) this.#closeCode = this.#code;
    }
  }

  end(): void {
    if (this.#completes) this.#messages++;
  }
}

class HixieTraffic implements Traffic, FrameSink {
  readonly #scanner = new HixieScanner(this);
  #messages = 0;
  #closeCode: number | undefined;
  #isText = false;

  get messages(): number {
    return this.#messages;
  }

  get closeCode(): number | undefined {
    return this.#closeCode;
  }

  get atBoundary(): boolean {
    return this.#scanner.atBoundary;
  }

  get blind(): string | undefined {
    return this.#scanner.blind;
  }

  push(chunk: Uint8Array): void {
    this.#scanner.push(chunk);
  }

  pushToBoundary(chunk: Uint8Array): number {
    return this.#scanner.pushToBoundary(chunk);
  }

  header(header: FrameHeader): void {
    // Endpoints discard every frame that is not text: those are no messages.
    this.#isText = header.opcode === 1;
    if (header.opcode === 8) this.#closeCode = NO_CODE;
  }

  end(): void {
    if (this.#isText) this.#messages++;
  }
}
