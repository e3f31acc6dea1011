/** The errors of `@connections` by their `x-amzn-ErrorType`, which SDKs make exceptions of; and their statuses. */
export const awsErrors = {
  BadRequestException: 400,
  ForbiddenException: 403,
  /** SDKs correct their clocks after it. */
  InvalidSignatureException: 403,
  NotFoundException: 404,
  MethodNotAllowedException: 405,
  GoneException: 410,
  PayloadTooLargeException: 413,
  UnsupportedMediaTypeException: 415,
  LimitExceededException: 429,
  InternalServerErrorException: 500,
  ServiceUnavailableException: 503,
} as const satisfies Record<string, number>;

export type AwsErrorType = keyof typeof awsErrors;

/**
 * The connection that a path names behind any prefix (`/production/@connections/ID`); undefined: it is another path.
 * Ids come percent-encoded, and some clients encode the `@` too.
 */
export function connectionOfPath(path: string): { readonly id: string | undefined } | undefined {
  const [, escaped] = /\/(?:@|%40)connections\/([^/]*)\/?$/.exec(path) ?? [];
  if (escaped === undefined) return undefined;
  try {
    return { id: decodeURIComponent(escaped) };
  } catch {
    return { id: undefined };
  }
}

/** What `GET` says of a connection; times in wall-clock ms. */
export function writeConnection(facts: {
  readonly connectedAtMs: number;
  readonly lastActiveAtMs: number;
  readonly sourceIp: string;
  readonly userAgent: string | undefined;
}): object {
  const { connectedAtMs, lastActiveAtMs, sourceIp, userAgent } = facts;
  return {
    connectedAt: new Date(connectedAtMs).toISOString(),
    identity: { sourceIp, userAgent },
    lastActiveAt: new Date(Math.max(connectedAtMs, lastActiveAtMs)).toISOString(),
  };
}
