import type { Deps } from '../base/deps.js';
import { Drain, type DrainCounts, type DrainPlan } from '../session/drain.js';
import { endHolds } from '../session/hold-drain.js';
import type { LiveSession, Registry } from '../session/registry.js';

/** What a stop does; what is left out is as the configuration says. */
export interface StopOptions {
  /** How long open sessions and requests may go on before they are cut, in milliseconds. */
  readonly timeoutMs?: number;
  /** Over which time sessions are closed. */
  readonly spreadMs?: number;
  /** What their clients are told. */
  readonly code?: number;
  readonly reason?: string;
}

/** How far a stop has come. */
export interface Draining extends DrainCounts {
  /** When what is left is cut. */
  readonly deadline: Date;
}

/**
 * One stop of a proxy, from the first call on. Later calls change nothing but the deadline, and that only to an earlier
 * one.
 */
export class Stopping {
  readonly #deps: Deps;
  readonly #cut: () => void;
  readonly #drain: Drain | undefined;
  readonly #stopEndingHolds: () => void;
  #deadlineMs = Infinity;
  #cancelDeadline: () => void = () => {};

  /** @param cut ends at once what is left. */
  constructor(registry: Registry, deps: Deps, plan: DrainPlan, cut: () => void) {
    this.#deps = deps;
    this.#cut = cut;
    // Nobody could answer in no time.
    this.#drain = plan.timeoutMs === 0 ? undefined : new Drain(registry, deps, plan);
    this.#stopEndingHolds = plan.timeoutMs === 0 ? () => {} : endHolds(registry, deps, plan);
    this.hurry(plan.timeoutMs);
  }

  /** Cuts what is left after this time, unless that was to be sooner anyway. */
  hurry(timeoutMs: number): void {
    const deadlineMs = this.#deps.clock.now() + timeoutMs;
    if (deadlineMs >= this.#deadlineMs) return;
    this.#deadlineMs = deadlineMs;
    this.#cancelDeadline();
    if (timeoutMs === 0) this.#cut();
    else this.#cancelDeadline = this.#deps.clock.after(timeoutMs, this.#cut);
  }

  /** A session whose handshake was under way. */
  add(session: LiveSession): void {
    this.#drain?.add(session);
  }

  get draining(): Draining | undefined {
    if (this.#drain === undefined) return undefined;
    const leftMs = Math.max(0, this.#deadlineMs - this.#deps.clock.now());
    return { ...this.#drain.counts, deadline: new Date(this.#deps.clock.date().getTime() + leftMs) };
  }

  /** Everything has ended. */
  end(): void {
    this.#cancelDeadline();
    this.#drain?.stop();
    this.#stopEndingHolds();
  }
}
