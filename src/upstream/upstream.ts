import type { Agent } from 'node:http';
import type { Clock } from '../base/deps.js';
import { Http1Pool } from '../net/http1-agent.js';
import { QuestionPool } from '../net/question-pool.js';
import { UpstreamSessions } from '../net/http2/upstream-sessions.js';
import type { Lease } from './lease.js';
import { LivingUpstream, type LivingUpstreamOptions } from './living-upstream.js';
import { type PooledServerPlan, tlsOf, type UpstreamPlan } from './plan.js';
import type { PoolServer } from './pool-server.js';

/** An upstream as sessions use it: each server with its connections that are not for one tunnel alone. */
export type Upstream = LivingUpstream<ServerConnections>;
export type Server = PoolServer<ServerConnections>;
export type ServerLease = Lease<ServerConnections>;

/** Opens an upstream; its checks and look-ups begin at once. */
export function openUpstream(
  plan: UpstreamPlan,
  options: Omit<LivingUpstreamOptions<ServerConnections>, 'open' | 'close'>,
): Upstream {
  return new LivingUpstream(plan, {
    ...options,
    open: (server, plan) => new ServerConnections(server, plan, options.deps.clock),
    close: (connections) => connections.close(),
  });
}

/** The connections to one server that are kept: those for plain HTTP, and those of HTTP/2, if it is spoken to so. */
export class ServerConnections {
  readonly #http1: Http1Pool;
  /** For short questions in HTTP/1.1; not where connections begin with a PROXY header. */
  readonly questions: QuestionPool;
  readonly http2: UpstreamSessions | undefined;

  constructor(server: PooledServerPlan, plan: UpstreamPlan, clock: Clock) {
    const { maxIdleConnections, keepAliveTimeoutMs, connectTimeoutMs, maxHeaderBytes, http2 } = plan;
    const { secure } = server;
    const tls = tlsOf(plan.tls, server);
    this.#http1 = new Http1Pool({ secure, tls, maxIdleConnections, keepAliveTimeoutMs });
    this.questions = new QuestionPool({ target: server, tls, maxIdleConnections, keepAliveTimeoutMs, clock });
    // `auto` is a matter of TLS.
    if (http2 === true || (http2 === 'auto' && secure)) {
      this.http2 = new UpstreamSessions({
        target: server,
        mode: http2 === true ? 'only' : 'auto',
        tls,
        connectTimeoutMs,
        keepAliveTimeoutMs,
        maxHeaderBytes,
        clock,
      });
    }
  }

  /** For plain HTTP; see Http1Pool. */
  get agent(): Agent {
    return this.#http1.agent;
  }

  get freshAgent(): Agent {
    return this.#http1.freshAgent;
  }

  /** What is idle ends; what is in use ends behind its last exchange or tunnel. */
  close(): void {
    this.#http1.close();
    this.questions.close();
    this.http2?.close();
  }
}
