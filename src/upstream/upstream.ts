import type { Agent } from 'node:http';
import { Http1Pool } from '../net/http1-agent.js';
import type { ServerPlan, UpstreamPlan } from './plan.js';

/** One server of an upstream, with its connections for plain HTTP. */
export interface Server {
  readonly plan: ServerPlan;
  /** Pools idle connections; never used for upgrades. */
  readonly agent: Agent;
  /** A new connection for each request, none kept: for a second try after a pooled one turned out to be dead. */
  readonly freshAgent: Agent;
}

/** The living side of an upstream: its plan, its servers, whose turn it is. */
export class Upstream {
  readonly plan: UpstreamPlan;
  readonly #servers: readonly Server[];
  readonly #pools: readonly Http1Pool[];
  #next = 0;

  constructor(plan: UpstreamPlan) {
    this.plan = plan;
    this.#pools = plan.servers.map(({ secure }) => new Http1Pool({ ...plan, secure }));
    this.#servers = plan.servers.map((server, i) => {
      const { agent, freshAgent } = this.#pools[i]!;
      return { plan: server, agent, freshAgent };
    });
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

  /** Ends the idle pooled connections; those in use end with their exchange. */
  close(): void {
    for (const pool of this.#pools) pool.close();
  }
}
