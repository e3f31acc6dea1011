import { HixieScanner } from './hixie-scanner.js';
import { Rfc6455Scanner } from './rfc6455-scanner.js';
import { MessageGauge } from './message-limits.js';
import {
  PAUSE,
  type Breach,
  type Direction,
  type FrameHeader,
  type FrameSink,
  type MakeTraffic,
  type MessageLimits,
  type Traffic,
} from './types.js';

export const makeTraffic: MakeTraffic = (framing, direction, limits) => {
  if (framing === 'rfc6455') return new Rfc6455Traffic(direction, limits);
  if (framing === 'hixie') return new HixieTraffic(limits);
  return undefined;
};

/** What a Close frame without a code is reported as (RFC 6455 §7.1.5). */
const NO_CODE = 1005;

/** The reason of a Close as text. */
export function readReason(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
}

/** What both framings show alike. */
abstract class ScannedTraffic implements Traffic {
  messages = 0;
  closeCode: number | undefined;
  closeReason: string | undefined;
  closed = false;
  breachHeaderBytes = 0;
  protected abstract readonly scanner: Rfc6455Scanner | HixieScanner;
  protected readonly gauge: MessageGauge | undefined;

  constructor(limits: MessageLimits | undefined) {
    this.gauge = limits === undefined ? undefined : new MessageGauge(limits);
  }

  get breach(): Breach | undefined {
    return this.gauge?.breach;
  }

  get openHeaderBytes(): number {
    return this.scanner.openHeaderBytes;
  }

  get atBoundary(): boolean {
    return this.scanner.atBoundary;
  }

  get blind(): string | undefined {
    return this.scanner.blind;
  }

  push(chunk: Uint8Array): number {
    return this.scanner.push(chunk);
  }

  pushToBoundary(chunk: Uint8Array): number {
    return this.scanner.pushToBoundary(chunk);
  }
}

class Rfc6455Traffic extends ScannedTraffic implements FrameSink {
  protected readonly scanner = new Rfc6455Scanner(this);
  readonly #fromClient: boolean;
  /** Whether the present frame ends a data message; whether it is a Close. */
  #completes = false;
  #isClose = false;
  /** The payload of the first Close while it passes, how much of it has, and the frame's masking key. */
  #close: Uint8Array | undefined;
  #closeAt = 0;
  #maskKey = 0;

  constructor(direction: Direction, limits: MessageLimits | undefined) {
    super(limits);
    this.#fromClient = direction === 'from-client';
  }

  header(header: FrameHeader): string | typeof PAUSE | undefined {
    if (header.masked !== this.#fromClient) {
      return this.#fromClient
        ? 'frame from the client is not masked (RFC 6455 §5.1)'
        : 'frame from the upstream is masked (RFC 6455 §5.1)';
    }
    this.#completes = header.fin && header.opcode < 8;
    this.#isClose = header.opcode === 8;
    if (header.opcode === 8 && this.closeCode === undefined) {
      if (header.payloadLength === 0) this.closeCode = NO_CODE;
      else this.#close = new Uint8Array(header.payloadLength);
      this.#maskKey = header.maskKey;
    }
    return this.gauge !== undefined && this.#breaks(header, this.gauge) ? PAUSE : undefined;
  }

  #breaks({ opcode, payloadLength }: FrameHeader, gauge: MessageGauge): boolean {
    if (opcode >= 8 || this.closeCode !== undefined) return false;
    const isBroken = (opcode !== 0 && gauge.begin()) || gauge.add(payloadLength);
    if (isBroken) this.breachHeaderBytes = this.scanner.headerBytes;
    return isBroken;
  }

  payload(chunk: Uint8Array, start: number, end: number): void {
    const close = this.#close;
    if (close === undefined) return;
    for (; start < end; start++, this.#closeAt++) {
      // The first byte of the payload goes with the key's top byte, the second with the next (RFC 6455 §5.3).
      const key = (this.#maskKey >>> (24 - 8 * (this.#closeAt % 4))) & 0xff;
      close[this.#closeAt] = chunk[start]! ^ key;
    }
    if (this.#closeAt > 1) this.closeCode = (close[0]! << 8) | close[1]!;
  }

  end(): void {
    if (this.#completes) this.messages++;
    else if (this.#isClose) this.#endClose();
  }

  #endClose(): void {
    this.closed = true;
    const reason = this.#close?.subarray(2);
    if (reason !== undefined && reason.length > 0) this.closeReason = readReason(reason);
    this.#close = undefined;
  }
}

class HixieTraffic extends ScannedTraffic implements FrameSink {
  protected readonly scanner = new HixieScanner(this);
  #isText = false;
  #isClose = false;
  /** Whether the present frame has no length. */
  #isOpenEnded = false;

  header({ opcode, payloadLength }: FrameHeader): typeof PAUSE | undefined {
    // Endpoints discard every frame that is not text: those are no messages.
    this.#isText = opcode === 1;
    this.#isClose = opcode === 8;
    if (this.#isClose) this.closeCode = NO_CODE;
    this.#isOpenEnded = payloadLength === -1;
    const gauge = this.closeCode === undefined ? this.gauge : undefined;
    if (gauge === undefined) return undefined;
    const isBroken = gauge.begin(this.#isText) || gauge.add(Math.max(0, payloadLength));
    if (isBroken) this.breachHeaderBytes = this.scanner.headerBytes;
    return isBroken ? PAUSE : undefined;
  }

  payload(_chunk: Uint8Array, start: number, end: number): number | undefined {
    const gauge = this.#isOpenEnded && this.closeCode === undefined ? this.gauge : undefined;
    if (gauge === undefined) return undefined;
    const room = gauge.room;
    if (!gauge.add(end - start)) return undefined;
    this.breachHeaderBytes = 0;
    return start + room;
  }

  end(): void {
    if (this.#isText) this.messages++;
    else if (this.#isClose) this.closed = true;
  }
}
