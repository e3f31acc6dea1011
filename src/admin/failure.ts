/** The errors of the admin API: code → HTTP status. Callers see `{ "error": { "code", "message" } }`. */
export const adminErrors = {
  BAD_REQUEST: 400,
  TOKEN_REQUIRED: 401,
  HOST_NOT_ALLOWED: 403,
  NOT_FOUND: 404,
  CONNECTION_NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  TIMEOUT: 408,
  STOPPING: 409,
  BODY_TOO_LARGE: 413,
  CONTENT_TYPE_REQUIRED: 415,
  CONFIG_INVALID: 422,
  HEAD_TOO_LARGE: 431,
  INTERNAL: 500,
  NOT_IMPLEMENTED: 501,
} as const satisfies Record<string, number>;

export type AdminErrorCode = keyof typeof adminErrors;

/** What a caller is told: one line. */
export class AdminFailure extends Error {
  override readonly name = 'AdminFailure';
  readonly code: AdminErrorCode;
  /** Further header fields of the answer. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: AdminErrorCode, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.code = code;
    this.headers = headers;
  }

  get status(): number {
    return adminErrors[this.code];
  }
}
