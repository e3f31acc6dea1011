import type { Limits } from '../config/limits.js';
import type { Generation } from '../protocol/handshake/types.js';
import type { ForwardedStyle } from '../protocol/http/forwarded.js';
import type { UpstreamGeneration } from '../protocol/translate/generations.js';
import type { GatewayPlan } from './gateway-plan.js';
import type { MessageBounds } from '../protocol/translate/types.js';

/** What one side of a session may send; 0 = no limit (`SideLimits` of the relay). */
export interface SidePlan {
  readonly maxMessageBytes: number;
  readonly maxMessagesPerSecond: number;
  readonly maxBytesPerSecond: number;
}

/** Pings of our own. */
export interface PingPlan {
  /** A side is asked when it has been silent for so long. */
  readonly intervalMs: number;
  /** And lost when it stays silent for so long after that. */
  readonly timeoutMs: number;
  readonly sides: readonly ('client' | 'upstream')[];
}

/** What a route does with WebSockets. */
export interface WebSocketPlan {
  readonly generations: ReadonlySet<Generation>;
  /** What the servers are spoken to in. */
  readonly upstreamGeneration: UpstreamGeneration;
  /** How much of a message is held while it is translated. */
  readonly translationBounds: MessageBounds;
  /** From the request head to the answered handshake, key bytes, dialling and the upstream's answer included. */
  readonly handshakeTimeoutMs: number;
  /** No byte either way for so long ends the session; 0 = never. */
  readonly idleTimeoutMs: number;
  /** After one side ended, how long the other may stay silent; 0 = never. */
  readonly halfCloseTimeoutMs: number;
  /** A session ends at this age; 0 = never. */
  readonly maxAgeMs: number;
  /** The share of `maxAgeMs`, 0 to 1, by which a session may end earlier, at random. */
  readonly maxAgeJitter: number;
  /** How long a side may take to answer a Close, and to end after it; 0 = nobody but the peers ends connections. */
  readonly closeTimeoutMs: number;
  readonly fromClient: SidePlan;
  readonly fromUpstream: SidePlan;
  /** Undefined: no pings. */
  readonly ping: PingPlan | undefined;
  /** Client bytes held while the upstream’s answer is awaited; beyond it, reading stops. */
  readonly maxEarlyBytes: number;
  /** Whether frames are scanned for the log (rung `observe`) or only moved (rung `pipe`). */
  readonly observe: boolean;
}

/** A redirect to the same host and target over TLS. */
export interface RedirectPlan {
  readonly port: number;
  readonly status: 301 | 302 | 307 | 308;
}

/** A route, compiled and frozen. A session keeps the plan it started with. */
export interface RoutePlan {
  readonly id: string;
  /** What it is known by when another configuration comes: its name, else its match. */
  readonly key: string;
  readonly matches: (host: string, path: string) => boolean;
  /** Id of the upstream; empty where there is a redirect instead. */
  readonly upstream: string;
  /** The answer to every request that did not come over TLS; the others are left to the routes behind. */
  readonly redirect?: RedirectPlan | undefined;
  /** Undefined: WebSockets are tunnelled. */
  readonly gateway?: GatewayPlan | undefined;
  /** Undefined: the route takes no WebSockets, upgrade tokens are removed. */
  readonly websocket: WebSocketPlan | undefined;
  readonly limits: Limits;
  /** From the whole request having been sent to the upstream’s response head. */
  readonly responseTimeoutMs: number;
  /** The largest request body of plain HTTP; 0 = any. */
  readonly maxBodyBytes: number;
  /** No byte of a body either way for so long ends a plain HTTP exchange; 0 = never (SSE). */
  readonly httpIdleTimeoutMs: number;
  /** Whose `Host` the upstream sees: the client’s, or the server’s own. */
  readonly hostHeader: 'client' | 'server';
  readonly forwarded: ForwardedStyle;
  /**
   * Names of fields in which servers learn of clients’ certificates, on whatever listener, lower-cased, with hyphens:
   * nobody may send them but we. Undefined: none.
   */
  readonly reservedHeaders?: ReadonlySet<string> | undefined;
}
