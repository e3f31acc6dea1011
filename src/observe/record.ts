import type { ErrorCode } from '../base/errors.js';
import type { Generation } from '../protocol/handshake/types.js';

/** How a session ended; derived once (session/outcome.ts), read by log, metrics and tests alike. */
export type Outcome =
  | 'client-closed'
  | 'upstream-closed'
  | 'client-lost'
  | 'upstream-lost'
  | 'idle-timeout'
  | 'limit'
  | 'drained'
  | `failed(${ErrorCode})`;

/**
 * One finished HTTP request or session: a line of the access log. Fields that do not apply are undefined, and not in the
 * log.
 * Durations are milliseconds, counts are of payload: bytes after the switch, or of HTTP bodies.
 */
export interface AccessRecord {
  /** When it began, ISO 8601. */
  time: string;
  /** The client's address without port. */
  client: string;
  method: string;
  host?: string;
  /** Path without the query, which may hold secrets. */
  path: string;
  /** What the client was answered; 499 when it was gone before. */
  status: number;
  via: 'h1' | 'h2';
  /** What the client speaks. */
  generation?: Generation;
  /** What the upstream is spoken to in, where that is another. */
  upstreamGeneration?: Generation;
  subprotocol?: string;
  /** Id of the route. */
  route?: string;
  /** Id of the upstream. */
  upstream?: string;
  /** The server that answered, or was tried last. */
  server?: string;
  durationMs: number;
  /** From the request head to the answered handshake. Sessions only. */
  handshakeMs?: number;
  bytesFromClient: number;
  bytesFromUpstream: number;
  messagesFromClient?: number;
  messagesFromUpstream?: number;
  /** For this client, lost as it was too slow (`gateway.slowConsumer`); absent where none was. */
  messagesDropped?: number;
  closeCodeFromClient?: number;
  closeCodeFromUpstream?: number;
  /** The reason in that side’s Close frame; what is not UTF-8 is shown as U+FFFD. */
  closeReasonFromClient?: string;
  closeReasonFromUpstream?: string;
  closedBy?: 'client' | 'upstream' | 'proxy';
  /** Sessions, and requests that failed. */
  outcome?: Outcome;
  /** One line for people about a failure. */
  detail?: string;
}

/** A session that has just been opened. */
export interface SessionInfo {
  readonly id: string;
  readonly openedAt: Date;
  readonly client: string;
  readonly host: string;
  readonly path: string;
  readonly via: 'h1' | 'h2';
  readonly generation: Generation;
  /** What the upstream is spoken to in, where that is another; such a session is relayed as RFC 6455. */
  readonly upstreamGeneration?: Generation | undefined;
  readonly subprotocol: string | undefined;
  readonly route: string;
  readonly upstream: string;
  readonly server: string;
}

/** What is amiss with one session of a gateway route. */
export interface GatewayTrouble {
  readonly session: string;
  /** Id of the route. */
  readonly route: string;
  /** The client's address without port. */
  readonly client: string;
  readonly problem: string;
}

/** What has become of a server. */
export interface ServerChange {
  readonly upstream: string;
  readonly server: string;
  /**
   * `up`: may be used. `down`: active checks failed, it is not used. `ejected`: clients’ requests failed, for a while it
   * is used only when no other is left.
   */
  readonly state: 'up' | 'down' | 'ejected';
  /** One line. */
  readonly reason: string;
}

/** A connection that came to nothing in its TLS handshake. */
export interface TlsFailure {
  /** Id of the listener. */
  readonly listener: string;
  /** Where the client came from. */
  readonly address: string;
  /** One line. */
  readonly reason: string;
}

/** An open session, with what it has carried until now. */
export interface OpenSession extends SessionInfo {
  readonly bytesFromClient: number;
  readonly bytesFromUpstream: number;
  /** Undefined when frames are not read. */
  readonly messagesFromClient: number | undefined;
  readonly messagesFromUpstream: number | undefined;
}
