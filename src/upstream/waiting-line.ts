import type { Clock } from '../base/deps.js';
import type { ProxyError } from '../base/errors.js';
import type { Lease, Want } from './lease.js';

/** What comes of waiting: exactly one of the two is called, or neither when the waiting is abandoned. */
export interface Waiter<T> {
  /** The lease is the waiter’s from now on, to be released. */
  granted(lease: Lease<T>): void;
  refused(error: ProxyError): void;
}

interface Place<T> {
  readonly want: Want;
  readonly waiter: Waiter<T>;
  readonly cancelTimer: () => void;
}

/** Those who wait for room at a server, first come, first served. */
export class WaitingLine<T> {
  readonly #places = new Set<Place<T>>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#places.size;
  }

  /** Joins at the end; the returned function leaves. `late` is what to say after `timeoutMs`. */
  join(want: Want, waiter: Waiter<T>, timeoutMs: number, late: () => ProxyError): () => void {
    const leave = (): void => {
      place.cancelTimer();
      this.#places.delete(place);
    };
    const cancelTimer = this.#clock.after(timeoutMs, () => {
      leave();
      waiter.refused(late());
    });
    const place: Place<T> = { want, waiter, cancelTimer };
    this.#places.add(place);
    return leave;
  }

  /** Asks for everyone in turn: a lease or an error ends the waiting, undefined lets it go on. */
  serve(find: (want: Want) => Lease<T> | ProxyError | undefined): void {
    for (const place of this.#places) {
      const found = find(place.want);
      if (found === undefined) continue;
      place.cancelTimer();
      this.#places.delete(place);
      if (found instanceof Error) place.waiter.refused(found);
      else place.waiter.granted(found);
    }
  }
}
