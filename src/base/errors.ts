/**
 * Every way Tidegate can fail, one row each: whose fault, at which step of a connection's life, what the client
 * is told. The reference page docs/reference/errors.md is generated from this table.
 */

/** Whose side the failure lies on. */
export type Side = 'client' | 'upstream' | 'proxy';

/** The steps of docs/life-of-a-connection.md, by name. */
export type Step =
  'accept' | 'read' | 'match' | 'admit' | 'pick' | 'dial' | 'verify' | 'answer' | 'relay' | 'start';

interface ErrorRow {
  readonly side: Side;
  readonly step: Step;
  /** HTTP status sent while nothing has gone to the client yet; 499 is only ever logged. */
  readonly status: number;
  /** WebSocket close code once a session is open. */
  readonly closeCode: number;
  /** One line for the reference page. */
  readonly doc: string;
}

export const errorTable = {
  PROXY_HEADER_INVALID: {
    side: 'client',
    step: 'accept',
    status: 400,
    closeCode: 1002,
    doc: 'A connection from a proxy that the listener takes PROXY headers from (`proxyProtocol`) did not begin with a valid one. It is cut without an answer.',
  },
  PROXY_HEADER_TIMEOUT: {
    side: 'client',
    step: 'accept',
    status: 408,
    closeCode: 1002,
    doc: 'The PROXY header was not complete in time: within `proxyProtocol.timeout`, or the listener’s `headerTimeout`. The connection is cut without an answer.',
  },
  REQUEST_HEAD_MALFORMED: {
    side: 'client',
    step: 'read',
    status: 400,
    closeCode: 1002,
    doc: 'The request head is not valid HTTP/1.1 (RFC 9112).',
  },
  REQUEST_HEAD_TOO_LARGE: {
    side: 'client',
    step: 'read',
    status: 431,
    closeCode: 1009,
    doc: 'The request head is larger than the listener’s `maxHeaderBytes`.',
  },
  REQUEST_HEAD_TIMEOUT: {
    side: 'client',
    step: 'read',
    status: 408,
    closeCode: 1002,
    doc: 'The request head was not complete within the listener’s `headerTimeout`.',
  },
  REQUEST_HOST_INVALID: {
    side: 'client',
    step: 'read',
    status: 400,
    closeCode: 1002,
    doc: 'The `Host` header is missing, given twice, or not a host name with an optional port.',
  },
  REQUEST_METHOD_UNSUPPORTED: {
    side: 'client',
    step: 'read',
    status: 501,
    closeCode: 1002,
    doc: 'CONNECT: Tidegate is a reverse proxy and opens no tunnels to addresses named by clients.',
  },
  HANDSHAKE_INVALID: {
    side: 'client',
    step: 'read',
    status: 400,
    closeCode: 1002,
    doc: 'The request asks for a WebSocket but is no handshake of any generation; the body says what is wrong.',
  },
  HANDSHAKE_BODY: {
    side: 'client',
    step: 'read',
    status: 400,
    closeCode: 1002,
    doc: 'An upgrade request came with a body (the 8 key bytes of Hixie-76 aside).',
  },
  HANDSHAKE_KEY_TIMEOUT: {
    side: 'client',
    step: 'read',
    status: 408,
    closeCode: 1002,
    doc: 'The 8 key bytes of a Hixie-76 handshake did not arrive within `handshakeTimeout`.',
  },
  WEBSOCKETS_NOT_TAKEN: {
    side: 'client',
    step: 'match',
    status: 501,
    closeCode: 1002,
    doc: 'A WebSocket over HTTP/2 (RFC 8441) for a route with `websocket: false`. In HTTP/1.1 such a request goes on as plain HTTP.',
  },
  HANDSHAKE_GENERATION_REFUSED: {
    side: 'client',
    step: 'admit',
    status: 426,
    closeCode: 1002,
    doc: 'The route does not take this generation of WebSocket (`websocket.generations`).',
  },
  CONNECTIONS_EXCEEDED: {
    side: 'proxy',
    step: 'admit',
    status: 503,
    closeCode: 1013,
    doc: 'As many WebSockets are open as `limits.connections` of the proxy, the listener or the route allows.',
  },
  CONNECTIONS_PER_ADDRESS_EXCEEDED: {
    side: 'client',
    step: 'admit',
    status: 429,
    closeCode: 1008,
    doc: 'The client has as many WebSockets open as `limits.connectionsPerAddress` allows.',
  },
  HANDSHAKE_RATE_EXCEEDED: {
    side: 'client',
    step: 'admit',
    status: 429,
    closeCode: 1008,
    doc: 'The client sends more handshakes than `limits.handshakesPerSecondPerAddress` allows.',
  },
  EVENTS_NOT_TAKEN: {
    side: 'client',
    step: 'admit',
    status: 403,
    closeCode: 1008,
    doc: 'A plain request to a gateway route calls its body `application/websocket-events`. Only Tidegate speaks to the servers so.',
  },
  CLIENT_GONE: {
    side: 'client',
    step: 'answer',
    status: 499,
    closeCode: 1001,
    doc: 'The client went away before it was answered. Seen in logs only.',
  },
  REQUEST_BODY_TOO_LARGE: {
    side: 'client',
    step: 'relay',
    status: 413,
    closeCode: 1009,
    doc: 'The request body is larger than the route’s `maxBodyBytes`.',
  },
  REQUEST_BODY_TIMEOUT: {
    side: 'client',
    step: 'relay',
    status: 408,
    closeCode: 1008,
    doc: 'No byte of the request body came within the route’s `idleTimeout`.',
  },
  ROUTE_NOT_FOUND: {
    side: 'proxy',
    step: 'match',
    status: 404,
    closeCode: 1008,
    doc: 'No route matches the host and path.',
  },
  UPSTREAM_UNAVAILABLE: {
    side: 'upstream',
    step: 'pick',
    status: 503,
    closeCode: 1013,
    doc: 'The upstream has no server to offer.',
  },
  UPSTREAM_SERVER_GONE: {
    side: 'upstream',
    step: 'pick',
    status: 503,
    closeCode: 1013,
    doc: 'The server that the client sticks to is gone or down, and `sticky.whenGone` is `refuse`.',
  },
  UPSTREAM_FULL: {
    side: 'upstream',
    step: 'pick',
    status: 503,
    closeCode: 1013,
    doc: 'Every server of the upstream has its `maxConnections`, and its `queue` is full.',
  },
  UPSTREAM_QUEUE_TIMEOUT: {
    side: 'upstream',
    step: 'pick',
    status: 503,
    closeCode: 1013,
    doc: 'Every server of the upstream had its `maxConnections` for as long as the `queue` lets clients wait.',
  },
  PROXY_EXHAUSTED: {
    side: 'proxy',
    step: 'dial',
    status: 503,
    closeCode: 1013,
    doc: 'Tidegate may open no more files, or has no memory, for another connection: raise its limit (`ulimit -n`, systemd’s `LimitNOFILE`).',
  },
  UPSTREAM_CONNECT_FAILED: {
    side: 'upstream',
    step: 'dial',
    status: 502,
    closeCode: 1014,
    doc: 'No connection to the upstream server: refused, unreachable, or the socket file is missing.',
  },
  UPSTREAM_CONNECT_TIMEOUT: {
    side: 'upstream',
    step: 'dial',
    status: 504,
    closeCode: 1014,
    doc: 'The upstream server did not take the connection within `connectTimeout`.',
  },
  UPSTREAM_NAME_UNRESOLVED: {
    side: 'upstream',
    step: 'dial',
    status: 502,
    closeCode: 1014,
    doc: 'The upstream server’s host name could not be resolved.',
  },
  UPSTREAM_TLS_FAILED: {
    side: 'upstream',
    step: 'dial',
    status: 502,
    closeCode: 1014,
    doc: 'TLS to the upstream server failed, most often because its certificate is not trusted.',
  },
  UPSTREAM_HTTP2_FAILED: {
    side: 'upstream',
    step: 'dial',
    status: 502,
    closeCode: 1014,
    doc: 'The upstream is to be spoken to in HTTP/2 (`http2`), and the server does not speak it: it did not agree to it in TLS, said something else first, ended the connection, or refused the request unseen, again and again.',
  },
  UPSTREAM_HTTP2_NO_WEBSOCKETS: {
    side: 'upstream',
    step: 'dial',
    status: 502,
    closeCode: 1014,
    doc: 'The upstream is to be spoken to in HTTP/2 only (`http2: true`), and the server announces no WebSockets over it (RFC 8441).',
  },
  UPSTREAM_CLOSED_EARLY: {
    side: 'upstream',
    step: 'verify',
    status: 502,
    closeCode: 1014,
    doc: 'The upstream server closed the connection before it had answered.',
  },
  UPSTREAM_ANSWER_TIMEOUT: {
    side: 'upstream',
    step: 'verify',
    status: 504,
    closeCode: 1014,
    doc: 'The upstream server did not answer within `handshakeTimeout` (WebSocket) or `responseTimeout` (HTTP).',
  },
  UPSTREAM_ANSWER_MALFORMED: {
    side: 'upstream',
    step: 'verify',
    status: 502,
    closeCode: 1014,
    doc: 'The upstream server’s response head is not valid HTTP/1.1, or, for a gateway, its answer to a WebSocket not valid WebSocket-over-HTTP.',
  },
  UPSTREAM_ANSWER_TOO_LARGE: {
    side: 'upstream',
    step: 'verify',
    status: 502,
    closeCode: 1014,
    doc: 'The upstream server’s response head is larger than the upstream’s `maxHeaderBytes`.',
  },
  UPSTREAM_SWITCH_INVALID: {
    side: 'upstream',
    step: 'verify',
    status: 502,
    closeCode: 1014,
    doc: 'The upstream server answered 101, but not with a valid switch to the WebSocket that was asked for.',
  },
  UPSTREAM_REFUSAL_AMBIGUOUS: {
    side: 'upstream',
    step: 'verify',
    status: 502,
    closeCode: 1014,
    doc: 'The upstream server answered a WebSocket handshake with a 2xx that is no switch. To a client of HTTP/2 it would be one (RFC 8441 §5), so it is not passed on.',
  },
  UPSTREAM_SWITCH_UNEXPECTED: {
    side: 'upstream',
    step: 'verify',
    status: 502,
    closeCode: 1014,
    doc: 'The upstream server answered 101 to a request that asked for no switch.',
  },
  UPSTREAM_RESPONSE_ABORTED: {
    side: 'upstream',
    step: 'relay',
    status: 502,
    closeCode: 1014,
    doc: 'The upstream server’s response broke off in the middle; the client’s connection is cut so that it can tell.',
  },
  TRANSLATION_BINARY: {
    side: 'proxy',
    step: 'relay',
    status: 400,
    closeCode: 1003,
    doc: 'A binary message came for a side whose generation (Hixie-75 or -76) has only text (`websocket.upstreamGeneration`).',
  },
  TRANSLATION_FRAME_INVALID: {
    side: 'proxy',
    step: 'relay',
    status: 400,
    closeCode: 1002,
    doc: 'What came from one side is no frame of its generation, so it cannot be translated into the other’s.',
  },
  TRANSLATION_TEXT_INVALID: {
    side: 'proxy',
    step: 'relay',
    status: 400,
    closeCode: 1007,
    doc: 'A text message that was to be translated into another generation is not UTF-8.',
  },
  TRANSLATION_TOO_LARGE: {
    side: 'proxy',
    step: 'relay',
    status: 413,
    closeCode: 1009,
    doc: 'A message that was to be translated has more bytes than `maxTranslatedBytes`, or more fragments than `maxTranslatedFragments`.',
  },
  PROXY_STOPPING: {
    side: 'proxy',
    step: 'accept',
    status: 503,
    closeCode: 1001,
    doc: 'Tidegate is shutting down and takes no new work.',
  },
  INTERNAL: {
    side: 'proxy',
    step: 'relay',
    status: 500,
    closeCode: 1011,
    doc: 'A fault in Tidegate itself; the log has the details. Please report it.',
  },
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;

/** A failure with a stable code; side, step and status follow from the table. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError';
  readonly code: ErrorCode;

  /** @param detail one line for people: what, where, and what would be accepted. */
  constructor(code: ErrorCode, detail: string, options?: { cause?: unknown }) {
    super(detail, options);
    this.code = code;
  }

  get side(): Side {
    return errorTable[this.code].side;
  }

  get step(): Step {
    return errorTable[this.code].step;
  }

  get status(): number {
    return errorTable[this.code].status;
  }

  get closeCode(): number {
    return errorTable[this.code].closeCode;
  }

  /** Any thrown thing as a ProxyError; what is not one already becomes `INTERNAL` with its cause kept. */
  static from(thrown: unknown): ProxyError {
    if (thrown instanceof ProxyError) return thrown;
    const detail = thrown instanceof Error ? thrown.message : String(thrown);
    return new ProxyError('INTERNAL', detail, { cause: thrown });
  }
}
