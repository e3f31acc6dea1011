import type { Limits } from '../config/limits.js';
import type { TlsPlan } from './tls-plan.js';

/** Where clients are accepted, compiled and frozen. */
export interface ListenerPlan {
  readonly id: string;
  /** Undefined: every address, IPv6 and IPv4. */
  readonly host: string | undefined;
  /** 0: any free port. */
  readonly port: number;
  /** Whether a peer is a proxy whose `X-Forwarded-*` we keep. */
  readonly isTrusted: (address: string) => boolean;
  /** Undefined: plain. */
  readonly tls?: TlsPlan | undefined;
  readonly maxHeaderBytes: number;
  /** For a TLS handshake; then from the first byte (or the connection) to a complete request head. */
  readonly headerTimeoutMs: number;
  /** How long an idle keep-alive connection is kept. */
  readonly keepAliveTimeoutMs: number;
  readonly limits: Limits;
}
