import type { Duplex } from 'node:stream';
import { ifOrderly } from './sockets.js';

/** How a socket stopped sending before anyone relayed it: in order (`end`), or not (`lost`). */
export type Gone = 'end' | 'lost';

/**
 * Keeps what a socket sends while its handshake is under way. It has the socket’s error handlers from the moment it is
 * made until `release`, holds at most `maxBytes` (then reading stops), and says when the socket has gone.
 */
export class Inbox {
  readonly #socket: Duplex;
  readonly #maxBytes: number;
  readonly #onGone: (how: Gone) => void;
  #held: Buffer;
  #gone: Gone | undefined;
  #isReleased = false;
  #changed: (() => void) | undefined;

  /**
   * @param early what was already read from the socket.
   * @param onGone called once, when the socket first ends or is lost.
   */
  constructor(socket: Duplex, early: Buffer, maxBytes: number, onGone: (how: Gone) => void = () => {}) {
    this.#socket = socket;
    this.#held = early;
    this.#maxBytes = maxBytes;
    this.#onGone = onGone;
    socket.on('error', this.#onLost);
    socket.on('close', this.#onLost);
    socket.on('end', this.#onEnd);
    socket.on('data', this.#onData);
    // A socket that failed before it came to us emits nothing any more.
    if (socket.destroyed) this.#leave('lost');
    this.#regulate();
  }

  get size(): number {
    return this.#held.length;
  }

  get gone(): Gone | undefined {
    return this.#gone;
  }

  /** Resolves when bytes have arrived or the socket has gone. One waiter at a time. */
  changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#changed = resolve;
    });
  }

  /** Takes the first `count` bytes, or all that are held. */
  take(count = this.#held.length): Buffer {
    const taken = this.#held.subarray(0, count);
    this.#held = this.#held.subarray(count);
    this.#regulate();
    return taken;
  }

  /** Puts bytes back in front. */
  putBack(bytes: Buffer): void {
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([bytes, this.#held]);
  }

  /**
   * Hands the socket on: paused, without any handler of ours, with what was held. The receiver must add its own error
   * handler in the same turn, and look at `gone`.
   */
  release(): Buffer {
    this.#isReleased = true;
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('close', this.#onLost);
    this.#socket.off('error', this.#onLost);
    this.#socket.pause();
    this.#changed = undefined;
    return this.#held;
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    this.#regulate();
    this.wake();
  };

  readonly #onEnd = (): void =>
    ifOrderly(this.#socket, () => {
      if (!this.#isReleased) this.#leave('end');
    });
  readonly #onLost = (): void => this.#leave('lost');

  #leave(how: Gone): void {
    const first = this.#gone === undefined;
    if (first || how === 'lost') this.#gone = how;
    if (first) this.#onGone(how);
    this.wake();
  }

  #regulate(): void {
    if (this.#held.length >= this.#maxBytes) this.#socket.pause();
    else if (this.#socket.isPaused() || this.#socket.readableFlowing === null) this.#socket.resume();
  }

  /** Lets a waiter look again, for a reason of the caller’s. */
  wake(): void {
    const changed = this.#changed;
    this.#changed = undefined;
    changed?.();
  }
}
