import type { ClientIdentity } from '../net/dial.js';
import type { ProxyVersion } from '../protocol/proxy-header/types.js';
import type { Balance } from './balance/balancer.js';
import type { HashSource } from './balance/hash-key.js';
import type { CheckPlan } from './health/check-plan.js';
import type { EjectionPlan } from './health/ejection.js';
import type { ResolvePlan } from './resolve/plan.js';
import type { RetryBudgetPlan } from './retry-budget.js';
import type { StickyPlan } from './sticky.js';

export interface UpstreamTls {
  /** Whether the server’s certificate must be valid. */
  readonly verify: boolean;
  /** PEM text of the certificates to trust instead of the public ones. */
  readonly ca: string | undefined;
  /** Name for SNI and verification instead of the URL’s host. */
  readonly serverName: string | undefined;
  /** What we show to servers that ask for it; undefined: nothing. */
  readonly identity?: ClientIdentity | undefined;
}

export interface ServerPlan {
  /** As shown in logs: the configured URL. */
  readonly id: string;
  readonly address: { readonly host: string; readonly port: number } | { readonly socketPath: string };
  readonly secure: boolean;
  /** The server’s own `Host` value: host, and port unless it is the default. */
  readonly host: string;
}

/** A server with what operations need to know of it. */
export interface PooledServerPlan extends ServerPlan {
  /** Its part of the work. 0: only clients that stick to it. */
  readonly weight: number;
  /** Live leases it may have; 0 = no limit. */
  readonly maxConnections: number;
  /** Whether its name stands for SRV records. */
  readonly srv?: boolean;
  /**
   * The name to ask for in TLS where the address came from DNS: `dial` takes it for the server’s own name otherwise.
   * See `tlsOf`.
   */
  readonly tlsName?: string;
}

/** What a pool goes by; every part of it may change while the pool lives. */
export interface PoolPlan {
  /** The upstream’s id, for messages. */
  readonly id: string;
  readonly balance: Balance;
  /** Further servers tried after a failure, while nothing has gone to the client. */
  readonly retries: number;
  /** Undefined: only `retries` limits them. */
  readonly retryBudget: RetryBudgetPlan | undefined;
  /** How long a server that came up takes to its full part of the work; 0 = none. */
  readonly slowStartMs: number;
  readonly queue: { readonly size: number; readonly timeoutMs: number };
  /** Undefined: failures of clients’ requests eject nobody. */
  readonly ejection: EjectionPlan | undefined;
  /**
   * When active checks have found every server down: `refuse` with UPSTREAM_UNAVAILABLE, or `try` them all the same,
   * for checks that may be wrong themselves.
   */
  readonly whenAllDown: 'refuse' | 'try';
  /** When the server that a client sticks to is gone or down: `move` it to another, or `refuse` it. */
  readonly whenGone: 'move' | 'refuse';
}

/** A named group of servers, compiled and frozen. */
export interface UpstreamPlan extends PoolPlan {
  readonly servers: readonly PooledServerPlan[];
  /** Undefined: keyed by nothing. */
  readonly hash: HashSource | undefined;
  readonly sticky: StickyPlan | undefined;
  readonly check: CheckPlan | undefined;
  /** Undefined: names are left to each dial, but for servers with `srv`. */
  readonly resolve: ResolvePlan | undefined;
  /** What becomes of the tunnels of a server that active checks find down. */
  readonly onServerDown: 'keep' | 'close';
  readonly connectTimeoutMs: number;
  /** Idle keep-alive connections kept for plain HTTP, per server. */
  readonly maxIdleConnections: number;
  /** How long such a connection is kept idle. */
  readonly keepAliveTimeoutMs: number;
  /** Limit for response heads. */
  readonly maxHeaderBytes: number;
  /** The version of the PROXY header that each connection begins with; undefined: none. */
  readonly proxyProtocol?: ProxyVersion | undefined;
  /** Whether servers are spoken to in HTTP/2; `auto`: those behind TLS that agree. Absent: no. */
  readonly http2?: boolean | 'auto';
  readonly tls: UpstreamTls;
}

/** The TLS settings to dial one server with. */
export function tlsOf(tls: UpstreamTls, { tlsName }: PooledServerPlan): UpstreamTls {
  return tlsName === undefined || tls.serverName !== undefined ? tls : { ...tls, serverName: tlsName };
}
