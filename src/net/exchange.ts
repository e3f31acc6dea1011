import type { Readable, Writable } from 'node:stream';
import type { Clock } from '../base/deps.js';
import type { ResponseHead } from '../protocol/http/head.js';
import type { HeaderList } from '../protocol/http/header-list.js';
import type { DialTarget } from './dial.js';

/** What is asked, in whichever HTTP. */
export interface ExchangeOptions {
  readonly target: DialTarget;
  readonly method: string;
  readonly path: string;
  /** `Host` and the body’s framing among them, as for HTTP/1.1; without `Connection`. */
  readonly headers: HeaderList;
  /** Whether a body will be written; without one the request is ended at once. */
  readonly hasBody: boolean;
  /** From the whole request having been sent to the final response head. */
  readonly responseTimeoutMs: number;
  /** Limit for the response head. */
  readonly maxHeaderBytes: number;
  readonly clock: Clock;
  /** Gives the exchange up, with a ProxyError as its reason. */
  readonly signal: AbortSignal;
  /** An interim answer (1xx) that came before the final one; never a 101. */
  readonly onInterim: (head: ResponseHead) => void;
}

/**
 * One plain request to one server: `Http1Request` or `Http2Request`. Its failures are ProxyErrors, each named for the
 * moment at which it happened. No event of it needs a listener elsewhere.
 */
export interface Exchange {
  /** Where the body is written, once `connected` has resolved. */
  readonly body: RequestBody;
  /**
   * Resolves when the connection stands. Until then nothing of the body is taken: after a rejection another server may
   * be asked.
   */
  readonly connected: Promise<void>;
  /** Resolves with the final response, which has an `error` listener; its head is valid and not a 101. */
  readonly answered: Promise<Answer>;
  /** Whether others have used the connection before: the server may have closed it before our request arrived. */
  readonly isReused: boolean;
}

export interface RequestBody extends Writable {
  /** Before the end, and only of a body in chunks. Throws what cannot be sent. */
  addTrailers(trailers: Array<[name: string, value: string]>): void;
}

/** It ends if it is whole; one that was cut off is destroyed instead. */
export interface Answer extends Readable {
  readonly statusCode?: number | undefined;
  readonly statusMessage?: string | undefined;
  /** `[name, value, name, value, …]` */
  readonly rawHeaders: readonly string[];
  /** Complete when it has ended. */
  readonly rawTrailers: readonly string[];
}
