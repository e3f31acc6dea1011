import type { Deps } from '../base/deps.js';
import type { Events } from '../observe/events.js';
import { closeSession } from '../session/closing.js';
import type { Registry } from '../session/registry.js';
import type { UpstreamPlan } from '../upstream/plan.js';
import { openUpstream, type Server, type Upstream } from '../upstream/upstream.js';

/**
 * What a client is told whose server has gone down: service restart (RFC 6455’s registry, 1012). Clients of today come
 * again after it, as they do not after every code; “going away” (1001) is kept for when the proxy itself goes.
 */
const SERVER_DOWN = { code: 1012, reason: 'server down' };
const CLOSE_TIMEOUT_MS = 5000;

/** The upstreams of a proxy, by id, and what takes over another list of them. */
export interface OpenUpstreams {
  readonly byId: ReadonlyMap<string, Upstream>;
  /** What stays goes on with its new plan; what goes serves its leases to their end. */
  update(plans: readonly UpstreamPlan[]): void;
}

/** The upstreams of a proxy, which tell what becomes of their servers, and let go of tunnels if that is the plan. */
export function openUpstreams(
  plans: readonly UpstreamPlan[],
  deps: Deps,
  events: Events,
  registry: Registry,
): OpenUpstreams {
  const open = (plan: UpstreamPlan): Upstream => {
    const onChange = (server: Server): void => {
      const { status: state, reason } = server.health;
      events.emit('server.changed', { upstream: plan.id, server: server.id, state, reason });
      if (state === 'down' && upstream.plan.onServerDown === 'close') closeTunnels(plan.id, server.id);
    };
    const onNameFailure = (detail: string): void => events.emit('server.unresolved', plan.id, detail);
    const upstream: Upstream = openUpstream(plan, { deps, onChange, onNameFailure });
    return upstream;
  };
  const closeTunnels = (upstream: string, server: string): void => {
    for (const session of [...registry]) {
      if (session.info.upstream !== upstream || session.info.server !== server) continue;
      void closeSession(session, SERVER_DOWN, CLOSE_TIMEOUT_MS, deps.clock);
    }
  };
  const byId = new Map(plans.map((plan) => [plan.id, open(plan)]));
  return {
    byId,
    update(next) {
      const before = new Map(byId);
      // In the order of the configuration.
      byId.clear();
      for (const plan of next) {
        const known = before.get(plan.id);
        known?.update(plan);
        byId.set(plan.id, known ?? open(plan));
        before.delete(plan.id);
      }
      for (const gone of before.values()) gone.close();
    },
  };
}
