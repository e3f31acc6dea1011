import type { Readable, Writable } from 'node:stream';
import type { Clock } from '../base/deps.js';
import { ProxyError } from '../base/errors.js';

/** Calls `onIdle` once when nothing has moved for `ms`; 0 = never. Not running until `start()`. */
export class IdleWatch {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #onIdle: () => void;
  #movedAt = 0;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, ms: number, onIdle: () => void) {
    this.#clock = clock;
    this.#ms = ms;
    this.#onIdle = onIdle;
  }

  start(): void {
    this.moved();
    if (this.#ms > 0 && this.#cancel === undefined) this.#wait(this.#ms);
  }

  /** Something moved. Cheap: the timer finds out when it falls due. */
  moved(): void {
    this.#movedAt = this.#clock.now();
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #wait(ms: number): void {
    this.#cancel = this.#clock.after(ms, () => {
      const left = this.#movedAt + this.#ms - this.#clock.now();
      this.#cancel = undefined;
      if (left > 0) this.#wait(left);
      else this.#onIdle();
    });
  }
}

/** Where an exchange stood when nothing moved any more. */
export interface Stall {
  /** The request to the upstream, once it has a connection. */
  readonly request: Writable | undefined;
  /** The upstream’s response, once it has begun. */
  readonly answer: Readable | undefined;
  /** The response to the client. */
  readonly response: Writable;
  readonly server: string | undefined;
  readonly idleTimeoutMs: number;
}

/** Whose fault it is: of whoever was to take bytes and is full, else of whoever was to send some. */
export function stallError({ request, answer, response, server, idleTimeoutMs }: Stall): ProxyError {
  const limit = `${idleTimeoutMs} ms`;
  if (answer !== undefined) {
    if (answer.readableEnded || response.writableNeedDrain) {
      return new ProxyError('CLIENT_GONE', `the client took no byte of its answer for ${limit}`);
    }
    return new ProxyError('UPSTREAM_RESPONSE_ABORTED', `${server}: no byte of its response for ${limit}`);
  }
  if (request?.writableNeedDrain === true || request?.writableEnded === true) {
    return new ProxyError('UPSTREAM_ANSWER_TIMEOUT', `${server}: took no byte of the body for ${limit}`);
  }
  return new ProxyError('REQUEST_BODY_TIMEOUT', `no byte of the request body came for ${limit}`);
}
