import type { Limits } from '../config/limits.js';
import type { ProxyProtocolPlan } from './proxy-stage.js';
import type { TlsPlan } from './tls-plan.js';

/** Where clients are accepted, compiled and frozen. */
export interface ListenerPlan {
  readonly id: string;
  /** A unix socket; host and port mean nothing then. Undefined: TCP. */
  readonly unix?: UnixSocketPlan | undefined;
  /** Undefined: every address, IPv6 and IPv4. */
  readonly host: string | undefined;
  /** 0: any free port. */
  readonly port: number;
  /** Whether a peer is a proxy whose `X-Forwarded-*` we keep. */
  readonly isTrusted: (address: string) => boolean;
  /** Undefined: no connection begins with a PROXY header. */
  readonly proxyProtocol?: ProxyProtocolPlan | undefined;
  /** Undefined: plain. */
  readonly tls?: TlsPlan | undefined;
  readonly maxHeaderBytes: number;
  /** For a TLS handshake; then from the first byte (or the connection) to a complete request head. */
  readonly headerTimeoutMs: number;
  /** How long an idle keep-alive connection is kept. */
  readonly keepAliveTimeoutMs: number;
  readonly limits: Limits;
  /** Undefined: HTTP/1.1 only. */
  readonly http2: Http2Plan | undefined;
}

export interface Http2Plan {
  /** Of one connection. */
  readonly maxConcurrentStreams: number;
}

export interface UnixSocketPlan {
  /** Absolute. */
  readonly socketPath: string;
  /** Its permissions. */
  readonly mode: number;
}
