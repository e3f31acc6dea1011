import type { Balance } from './balance/balancer.js';
import type { HashSource } from './balance/hash-key.js';
import type { CheckPlan } from './health/check-plan.js';
import type { EjectionPlan } from './health/ejection.js';
import type { ServerPlan, UpstreamTls } from './plan.js';
import type { ResolvePlan } from './resolve/plan.js';
import type { RetryBudgetPlan } from './retry-budget.js';
import type { StickyPlan } from './sticky.js';

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
  /** Further servers tried after a failure. */
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

/** All of an upstream’s operations, compiled. */
export interface OperationsPlan extends PoolPlan {
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
  readonly tls: UpstreamTls;
}

/** The TLS settings to dial one server with. */
export function tlsOf(tls: UpstreamTls, { tlsName }: PooledServerPlan): UpstreamTls {
  return tlsName === undefined || tls.serverName !== undefined ? tls : { ...tls, serverName: tlsName };
}
