import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { ServerPlan, UpstreamPlan } from './plan.js';

/** One server of an upstream, with its pool of keep-alive connections for plain HTTP. */
export interface Server {
  readonly plan: ServerPlan;
  /** Pools idle connections; never used for upgrades. */
  readonly agent: HttpAgent;
}

/** The living side of an upstream: its plan, its servers, whose turn it is. */
export class Upstream {
  readonly plan: UpstreamPlan;
  readonly #servers: readonly Server[];
  #next = 0;

  constructor(plan: UpstreamPlan) {
    this.plan = plan;
    this.#servers = plan.servers.map((server) => ({ plan: server, agent: makeAgent(plan, server) }));
  }

  /**
   * The servers to try for one request, in order: round-robin, each at most once, no more than `retries` beyond the
   * first.
   */
  candidates(): Server[] {
    const count = this.#servers.length;
    const first = this.#next;
    this.#next = count === 0 ? 0 : (this.#next + 1) % count;
    const wanted = Math.min(count, 1 + this.plan.retries);
    return Array.from({ length: wanted }, (_, i) => this.#servers[(first + i) % count]!);
  }

  /** Ends the idle pooled connections. */
  close(): void {
    for (const server of this.#servers) server.agent.destroy();
  }
}

function makeAgent(plan: UpstreamPlan, server: ServerPlan): HttpAgent {
  const options = {
    keepAlive: plan.maxIdleConnections > 0,
    maxFreeSockets: Math.max(1, plan.maxIdleConnections),
    // The agent's own timeout is for idle sockets only as long as requests set theirs; see net/exchange timeouts.
    timeout: plan.keepAliveTimeoutMs,
    scheduling: 'lifo' as const,
  };
  if (!server.secure) return new HttpAgent(options);
  return new HttpsAgent({
    ...options,
    rejectUnauthorized: plan.tls.verify,
    ca: plan.tls.ca,
    servername: plan.tls.serverName,
  });
}
