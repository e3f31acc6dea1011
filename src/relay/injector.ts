import type { Traffic } from '../protocol/frames/types.js';
import type { InjectionKind } from './types.js';

/** Pings that wait for their pong, each way; older ones are given up. */
const MAX_AWAITED = 8;

const HEADS: Readonly<Record<InjectionKind, number>> = { close: 0x88, ping: 0x89 };
const PONG_HEAD = 0x8a;
const NOTHING = Buffer.alloc(0);

/**
 * Frames of our own in one flow, between those of its sender. Two facts keep that safe. *Boundary*: a frame goes in only
 * where the flow stands between two frames; until then it waits. *Silence after Close*: behind a Close that we have put
 * in, whatever still comes is read and dropped. The twin of `native/src/injector.c`.
 */
export class Injector {
  /** Pongs to our own pings, not passed on. */
  pongs = 0;
  readonly #traffic: Traffic;
  readonly #watch: (chunk: Uint8Array, toBoundary: boolean) => number;
  readonly #write: (bytes: Uint8Array) => void;
  #due: { readonly kind: InjectionKind; readonly frame: Uint8Array; readonly sent: () => void }[] = [];
  #isSilent = false;
  /** Payloads of the pings that the sender of this flow has been sent. */
  #awaited: Buffer[] = [];
  /** A pong, or where messages have limits the header of any frame, that is held back until it is whole. */
  #held: Buffer | undefined;
  #isPongHeld = false;
  readonly #onBreach: () => void;
  readonly #hasLimits: boolean;

  /**
   * @param watch counts a chunk; returns how much of it was walked.
   * @param write passes bytes to the receiver, unless it has been told of the end.
   * @param onBreach is called when a message breaks a limit; what came before its frame has been passed on.
   */
  constructor(
    traffic: Traffic,
    watch: (chunk: Uint8Array, toBoundary: boolean) => number,
    write: (bytes: Uint8Array) => void,
    onBreach: () => void,
    hasLimits: boolean,
  ) {
    this.#hasLimits = hasLimits;
    this.#onBreach = onBreach;
    this.#traffic = traffic;
    this.#watch = watch;
    this.#write = write;
  }

  /** Puts a frame in now or at the next boundary; `sent` is called when it has gone out. */
  put(kind: InjectionKind, frame: Uint8Array, sent: () => void): void {
    this.#due.push({ kind, frame: Uint8Array.from(frame), sent });
    this.#putIn();
  }

  /** The sender of this flow has been sent a ping, which its pong will answer. */
  awaitPong(ping: Uint8Array): void {
    this.#awaited.push(payloadOf(ping));
    if (this.#awaited.length > MAX_AWAITED) this.#awaited.shift();
  }

  /** Passes a chunk of the sender on: frame by frame only while there is a reason. */
  passOn(chunk: Uint8Array): void {
    let start = 0;
    let at = 0;
    while (at < chunk.length && (this.#isStepping || this.#isLimited)) {
      const isBetween = this.#traffic.atBoundary;
      const isPong = isBetween && this.#awaited.length > 0 && chunk[at] === PONG_HEAD;
      if (isBetween && (this.#due.length > 0 || isPong)) {
        this.#forward(chunk.subarray(start, at));
        start = at;
        this.#putIn();
        if (isPong) this.#held = Buffer.alloc(0);
        this.#isPongHeld = isPong;
      }
      const known = this.#traffic.breach;
      at += this.#watch(chunk.subarray(at), this.#isStepping);
      if (this.#traffic.breach !== known) {
        this.#hearBreach(chunk.subarray(start, at));
        start = at;
        continue;
      }
      if (!this.#isPongHeld) continue;
      this.#held = Buffer.concat([this.#held!, chunk.subarray(start, at)]);
      start = at;
      if (this.#traffic.atBoundary) this.#judgePong(this.#held);
      else if (this.#traffic.blind !== undefined) this.release();
    }
    if (at < chunk.length) this.#watch(chunk.subarray(at), false);
    this.#passRest(chunk.subarray(start));
    this.#putIn();
  }

  /** Whether to go frame by frame. */
  get #isStepping(): boolean {
    return this.#due.length > 0 || this.#awaited.length > 0 || this.#isPongHeld;
  }

  /** Whether a frame may still break a limit: not behind another, nor behind a Close. */
  get #isLimited(): boolean {
    return this.#hasLimits && !this.#isSilent && this.#traffic.breach === undefined && !this.#traffic.closed;
  }

  /** The end of a chunk. Under limits a header that is not whole stays here: its frame may have to. */
  #passRest(bytes: Uint8Array): void {
    const open = this.#isLimited && !this.#isPongHeld ? this.#traffic.openHeaderBytes : 0;
    const fresh = Math.min(open, bytes.length);
    if (open <= bytes.length) this.#forward(bytes.subarray(0, bytes.length - fresh));
    if (open > 0) this.#held = Buffer.concat([this.#held ?? NOTHING, bytes.subarray(bytes.length - fresh)]);
  }

  /** The scanner stands behind these bytes, at the first of a frame that breaks a limit or behind its header. */
  #hearBreach(bytes: Uint8Array): void {
    const before = bytes.length - this.#traffic.breachHeaderBytes;
    if (before >= 0) this.#forward(bytes.subarray(0, before));
    else this.#held = undefined;
    this.#onBreach();
  }

  /** A Close at once, unless there is none to be said, and silence: the frame that comes next is not passed on. */
  breakOff(close: Uint8Array | undefined): void {
    if (this.#isSilent) return;
    if (close !== undefined) this.#write(close);
    this.#isSilent = true;
  }

  /** Whether a Close of ours has gone to the receiver. */
  get isSilent(): boolean {
    return this.#isSilent;
  }

  /** Before the sender's end is passed on: what was held back goes too. */
  release(): void {
    const held = this.#held;
    this.#held = undefined;
    this.#isPongHeld = false;
    if (held !== undefined) this.#forward(held);
  }

  #putIn(): void {
    while (this.#due.length > 0 && this.#traffic.atBoundary) {
      const { kind, frame, sent } = this.#due.shift()!;
      // Nothing goes in behind a Close, ours or theirs.
      if (this.#isSilent || this.#traffic.closeCode !== undefined) continue;
      this.#write(frame);
      this.#isSilent = kind === 'close';
      sent();
    }
  }

  #forward(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    // A header that was held back is whole, or was never one.
    if (!this.#isPongHeld) this.release();
    if (!this.#isSilent) this.#write(bytes);
  }

  /** A pong that answers a ping of ours goes no further; it answers all older pings too (RFC 6455 §5.5.3). */
  #judgePong(pong: Buffer): void {
    const payload = payloadOf(pong);
    const answered = this.#awaited.findIndex((awaited) => awaited.equals(payload));
    if (answered === -1) return this.release();
    this.#held = undefined;
    this.#isPongHeld = false;
    this.#awaited = this.#awaited.slice(answered + 1);
    this.pongs++;
  }
}

/** @throws RangeError when `frame` is not one whole frame of that kind. */
export function checkInjection(kind: InjectionKind, frame: Uint8Array): void {
  const isHixieClose = kind === 'close' && frame.length === 2 && frame[0] === 0xff && frame[1] === 0;
  if (isHixieClose) return;
  const length = (frame[1] ?? 0) & 0x7f;
  const isWhole = length <= 125 && frame.length === 2 + length + (isMasked(frame) ? 4 : 0);
  if (frame[0] !== HEADS[kind] || !isWhole) throw new RangeError(`not a whole ${kind} frame`);
}

/** Of a whole control frame, unmasked. */
function payloadOf(frame: Uint8Array): Buffer {
  if (!isMasked(frame)) return Buffer.from(frame.subarray(2));
  const mask = frame.subarray(2, 6);
  return Buffer.from(frame.subarray(6).map((byte, i) => byte ^ mask[i % 4]!));
}

function isMasked(frame: Uint8Array): boolean {
  return (frame[1] ?? 0) >= 0x80;
}
