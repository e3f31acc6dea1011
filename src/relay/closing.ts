import { randomBytes } from 'node:crypto';
import type { Breach } from '../protocol/frames/types.js';
import { writeClose, writeHixieClose } from '../protocol/frames/writer.js';
import type { Framing } from '../protocol/handshake/types.js';
import type { RelaySideName } from './types.js';

/** For an end of ours, where no time was set. */
export const DEFAULT_CLOSE_TIMEOUT_MS = 5000;

/** What one side has sent, and been sent, of a closing handshake. */
export interface ClosingSide {
  /** A whole Close frame has come from it. */
  readonly hasClosed: boolean;
  /** A whole Close frame, its peer's or ours, has gone to it. */
  readonly wasClosed: boolean;
  /** It has been given our FIN, or will be. */
  readonly isEnded: boolean;
}

export type ClosingStep = 'wait' | 'finish' | 'cut';

/**
 * When a tunnel with Close frames in it is ended by us (RFC 6455 §7.1.1): a side that has been sent one and has sent one
 * gets our FIN, and is read until it ends as well, so that what it was sent last cannot be lost to a reset. The twin of
 * `native/src/closing.c`.
 */
export class Closing {
  #timeoutMs: number;
  #lingeringSinceMs: number | undefined;
  #isFinished = false;
  readonly #unansweredSinceMs: Partial<Record<RelaySideName, number>> = {};

  /** @param timeoutMs 0: nobody but the peers ends it. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  get isOn(): boolean {
    return this.#timeoutMs > 0;
  }

  /** A limit was broken, or nothing moves: from here on it is our end, however patient the tunnel was. */
  begin(nowMs: number): void {
    if (this.#timeoutMs === 0) this.#timeoutMs = DEFAULT_CLOSE_TIMEOUT_MS;
    this.#lingeringSinceMs ??= nowMs;
  }

  /** Whether a side's closing handshake is over. */
  isDone(side: ClosingSide): boolean {
    return this.isOn && !side.isEnded && side.hasClosed && side.wasClosed;
  }

  /** What is to be done now about what has taken too long. */
  sweep(nowMs: number, sides: Readonly<Record<RelaySideName, ClosingSide>>): ClosingStep {
    if (!this.isOn) return 'wait';
    for (const name of ['client', 'upstream'] as const) {
      const side = sides[name];
      if (side.isEnded || side.hasClosed || !side.wasClosed) continue;
      const since = (this.#unansweredSinceMs[name] ??= nowMs);
      if (nowMs - since < this.#timeoutMs) continue;
      this.#lingeringSinceMs ??= nowMs;
      this.#isFinished = true;
      return 'finish';
    }
    if (this.#lingeringSinceMs === undefined || nowMs - this.#lingeringSinceMs < this.#timeoutMs)
      return 'wait';
    if (this.#isFinished) return 'cut';
    this.#isFinished = true;
    return 'finish';
  }
}

/** What the side that broke a limit is told. */
export function breachClose(framing: Framing, towards: RelaySideName, breach: Breach): Buffer {
  const [code, reason] =
    breach === 'message-size' ? ([1009, 'message too big'] as const) : ([1008, 'too many messages'] as const);
  return framing === 'hixie' ? writeHixieClose() : writeClose(code, reason, maskTowards(towards));
}

/** What the other side is told then, or both sides for a reason of ours. */
export function goingAway(framing: Framing, towards: RelaySideName, reason = ''): Buffer {
  return framing === 'hixie' ? writeHixieClose() : writeClose(1001, reason, maskTowards(towards));
}

function maskTowards(towards: RelaySideName): Buffer | undefined {
  return towards === 'upstream' ? randomBytes(4) : undefined;
}
