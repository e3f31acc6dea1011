import type { Clock } from './deps.js';

/** A clock that is read once in a turn of the event loop: reading one costs as much as handing on a message. */
export class TurnClock {
  readonly #clock: Clock;
  #nowMs: number | undefined;
  readonly #forget = (): void => void (this.#nowMs = undefined);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The one of this clock, so that all who ask in a turn share its reading. */
  static of(clock: Clock): TurnClock {
    let turn = turns.get(clock);
    if (turn === undefined) turns.set(clock, (turn = new TurnClock(clock)));
    return turn;
  }

  /** Monotonic milliseconds, as they were when somebody first asked in this turn. */
  now(): number {
    if (this.#nowMs === undefined) {
      this.#nowMs = this.#clock.now();
      setImmediate(this.#forget);
    }
    return this.#nowMs;
  }
}

const turns = new WeakMap<Clock, TurnClock>();
