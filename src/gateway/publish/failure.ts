/** The errors of the publish listener: code → HTTP status. Callers see `{ "error": { "code", "message" } }`, or a text. */
export const publishErrors = {
  BAD_REQUEST: 400,
  ITEMS_INVALID: 400,
  NOT_AUTHORIZED: 401,
  HOST_NOT_ALLOWED: 403,
  ORIGIN_NOT_ALLOWED: 403,
  NOT_FOUND: 404,
  SESSION_NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  NOT_ACCEPTABLE: 406,
  TIMEOUT: 408,
  SESSION_CLOSING: 409,
  BODY_TOO_LARGE: 413,
  TYPE_NOT_SUPPORTED: 415,
  SESSION_TOO_SLOW: 429,
  HEAD_TOO_LARGE: 431,
  INTERNAL: 500,
  BACKPLANE_UNAVAILABLE: 503,
  NODE_UNAVAILABLE: 503,
} as const satisfies Record<string, number>;

export type PublishErrorCode = keyof typeof publishErrors;

export interface FailureExtras {
  /** Further header fields of the answer. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** Further members of `error`. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** What is said where a text is wanted, with its line ends; default: the message. */
  readonly text?: string;
}

/** What a caller is told: one line. */
export class PublishFailure extends Error {
  override readonly name = 'PublishFailure';
  readonly code: PublishErrorCode;
  readonly extras: FailureExtras;

  constructor(code: PublishErrorCode, message: string, extras: FailureExtras = {}) {
    super(message);
    this.code = code;
    this.extras = extras;
  }

  get status(): number {
    return publishErrors[this.code];
  }
}
