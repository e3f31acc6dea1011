/** What a backend is asked, what it answers, and why it does not. */

import type { ProxyError } from '../base/errors.js';
import type { WholeAnswer } from '../net/question.js';
import type { FieldLines } from '../protocol/http/field-lines.js';
import type { HeaderList } from '../protocol/http/header-list.js';
import type { FailureKind } from '../protocol/ws-over-http/types.js';

export interface Question {
  readonly method: string;
  readonly path: string;
  /** Without `Host`, unless the server is to see that one. `Content-Length` among them. */
  readonly headers: HeaderList | FieldLines;
  readonly body: Buffer;
  /** For all of it: a place at a server, the connection, the whole answer. */
  readonly timeoutMs: number;
  readonly maxResponseBytes: number;
  /** Gives it up, with a ProxyError. One for each message of each client is dear: see `Backend.begin`. */
  readonly signal?: AbortSignal;
}

/** A server’s whole answer. */
export interface BackendAnswer extends WholeAnswer {
  /** Its id. */
  readonly server: string;
}

/** Why there is no answer: what happened, and whether the server may have read the question. */
export class BackendFailure extends Error {
  override readonly name = 'BackendFailure';
  readonly kind: FailureKind;
  readonly error: ProxyError;

  constructor(kind: FailureKind, error: ProxyError) {
    super(error.message);
    this.kind = kind;
    this.error = error;
  }
}

/** How the limit of an answer’s body is called in the config. */
export const MAX_RESPONSE_NAME = 'gateway.maxResponseBytes';
