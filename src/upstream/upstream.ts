import { Http1Pool } from '../net/http1-agent.js';
import type { Lease } from './lease.js';
import { LivingUpstream, type LivingUpstreamOptions } from './living-upstream.js';
import { tlsOf, type UpstreamPlan } from './plan.js';
import type { PoolServer } from './pool-server.js';

/** An upstream as sessions use it: each server with its connections for plain HTTP. Tunnels never use those. */
export type Upstream = LivingUpstream<Http1Pool>;
export type Server = PoolServer<Http1Pool>;
export type ServerLease = Lease<Http1Pool>;

/** Opens an upstream; its checks and look-ups begin at once. */
export function openUpstream(
  plan: UpstreamPlan,
  options: Omit<LivingUpstreamOptions<Http1Pool>, 'open' | 'close'>,
): Upstream {
  return new LivingUpstream(plan, {
    ...options,
    open: (server, { tls, maxIdleConnections, keepAliveTimeoutMs }) =>
      new Http1Pool({
        secure: server.secure,
        tls: tlsOf(tls, server),
        maxIdleConnections,
        keepAliveTimeoutMs,
      }),
    close: (connections) => connections.close(),
  });
}
