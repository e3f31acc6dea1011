import type { Clock } from '../../base/deps.js';
import { type EjectionPlan, FailureCount } from './ejection.js';

/**
 * - `up`: may be used. Where every server begins, as nothing is known against it.
 * - `down`: active checks failed. A fact: it is not used, and its tunnels may be closed.
 * - `ejected`: clients’ own requests failed. A guess, for a while: used only when nobody else is left.
 */
export type ServerStatus = 'up' | 'down' | 'ejected';

export interface ServerHealthOptions {
  readonly clock: Clock;
  /** Called after a change of `status`. */
  readonly onChange: (health: ServerHealth) => void;
  /** Whether one more server may be ejected now. */
  readonly mayEject: () => boolean;
}

/** What is known about one server’s health, from active checks and from what sessions met. */
export class ServerHealth {
  readonly #options: ServerHealthOptions;
  readonly #failures = new FailureCount();
  #status: ServerStatus = 'up';
  #since: Date;
  #reason = 'nothing is known against it';
  #isDown = false;
  #wasChecked = false;
  /** Results of checks in a row: good ones above 0, failures below. */
  #streak = 0;
  /** Ends the ejection; undefined when there is none. */
  #cancelReturn: (() => void) | undefined;

  constructor(options: ServerHealthOptions) {
    this.#options = options;
    this.#since = options.clock.date();
  }

  get status(): ServerStatus {
    return this.#status;
  }

  /** When the status became what it is. */
  get since(): Date {
    return this.#since;
  }

  /** One line: why the status is what it is. */
  get reason(): string {
    return this.#reason;
  }

  /**
   * The result of an active check: undefined, or what was wrong. The first one ever decides alone, so that a start
   * knows within one check who is there.
   */
  checked(
    failure: string | undefined,
    { rise, fall }: { readonly rise: number; readonly fall: number },
  ): void {
    const isGood = failure === undefined;
    this.#streak = isGood ? Math.max(0, this.#streak) + 1 : Math.min(0, this.#streak) - 1;
    const isFirst = !this.#wasChecked;
    this.#wasChecked = true;
    if (isGood && this.#isDown && this.#streak >= rise) {
      this.#isDown = false;
      this.#settle('the check passed');
    } else if (!isGood && !this.#isDown && (isFirst || -this.#streak >= fall)) {
      this.#isDown = true;
      this.#settle(failure);
    }
  }

  /** Active checks were switched off: what they found counts no more. */
  forgetChecks(): void {
    this.#wasChecked = false;
    this.#streak = 0;
    if (!this.#isDown) return;
    this.#isDown = false;
    this.#settle('it is checked no more');
  }

  /** A session got its answer. */
  succeeded(): void {
    this.#failures.succeeded();
  }

  /** A session met a failure of the server. */
  failed(reason: string, plan: EjectionPlan): void {
    const { clock, mayEject } = this.#options;
    const nowMs = clock.now();
    const isTooMany = this.#failures.failed(nowMs, plan);
    if (!isTooMany || this.#cancelReturn !== undefined || !mayEject()) return;
    const forMs = this.#failures.eject(nowMs, plan);
    this.#cancelReturn = clock.after(forMs, () => this.endEjection());
    this.#settle(`ejected for ${forMs} ms: ${reason}`);
  }

  get isEjected(): boolean {
    return this.#cancelReturn !== undefined;
  }

  /** Lets an ejected server back before its time; no timer is left. */
  endEjection(): void {
    if (this.#cancelReturn === undefined) return;
    this.#cancelReturn();
    this.#cancelReturn = undefined;
    this.#failures.returned(this.#options.clock.now());
    this.#settle('its ejection is over');
  }

  #settle(reason: string): void {
    const status = this.#isDown ? 'down' : this.isEjected ? 'ejected' : 'up';
    if (status === this.#status) return;
    this.#status = status;
    this.#reason = reason;
    this.#since = this.#options.clock.date();
    this.#options.onChange(this);
  }
}
