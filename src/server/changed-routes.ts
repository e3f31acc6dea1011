import type { Deps } from '../base/deps.js';
import type { ChangedRoutesPolicy } from '../config/reload.js';
import type { Events } from '../observe/events.js';
import type { RoutePlan } from '../route/plan.js';
import { closeSession } from '../session/closing.js';
import { Drain, type DrainPlan } from '../session/drain.js';
import type { LiveSession, Registry } from '../session/registry.js';

/** As for a server that has gone down: clients of today come again after it. */
const ROUTE_CHANGED = { code: 1012, reason: 'route changed' };
const CLOSE_TIMEOUT_MS = 5000;

export interface LetGo {
  readonly policy: ChangedRoutesPolicy;
  readonly drain: DrainPlan;
}

/** Lets go of the sessions of routes that a reload has changed or removed, if that is the plan. */
export class ChangedRoutes {
  readonly #registry: Registry;
  readonly #deps: Deps;
  /** What becomes of sessions whose handshake was under way. */
  readonly #retired = new WeakMap<RoutePlan, (session: LiveSession) => void>();

  constructor(registry: Registry, deps: Deps, events: Events) {
    this.#registry = registry;
    this.#deps = deps;
    events.on('session.opened', ({ id }) => {
      const session = registry.get(id);
      if (session !== undefined) this.#retired.get(session.route)?.(session);
    });
  }

  /**
   * @param before the plans of the routes as they were
   * @param changed their keys
   * @returns how many sessions are let go of, or would be
   */
  follow(before: readonly RoutePlan[], changed: ReadonlySet<string>, { policy, drain }: LetGo): number {
    if (changed.size === 0) return 0;
    const sessions = [...this.#registry].filter(({ route }) => changed.has(route.key));
    if (policy === 'keep') return sessions.length;
    const letGo =
      policy === 'drain' && drain.timeoutMs > 0
        ? this.#drain(sessions, drain)
        : this.#close(sessions, policy === 'drain' ? 0 : CLOSE_TIMEOUT_MS);
    for (const route of before) if (changed.has(route.key)) this.#retired.set(route, letGo);
    return sessions.length;
  }

  #close(sessions: readonly LiveSession[], timeoutMs: number): (session: LiveSession) => void {
    const close = (session: LiveSession): void =>
      void closeSession(session, ROUTE_CHANGED, timeoutMs, this.#deps.clock);
    for (const session of sessions) close(session);
    return close;
  }

  /** Spread over a window; what is left at the end is cut. */
  #drain(sessions: readonly LiveSession[], plan: DrainPlan): (session: LiveSession) => void {
    const open = new Set(sessions.filter((session) => this.#registry.has(session)));
    const has = (session: LiveSession): boolean => this.#registry.has(session);
    const drain = new Drain(
      { size: open.size, has, [Symbol.iterator]: () => open.values() },
      this.#deps,
      plan,
    );
    this.#deps.clock.after(plan.timeoutMs, () => {
      drain.stop();
      for (const session of open) if (has(session)) session.relay.cut();
      open.clear();
    });
    return (session) => {
      open.add(session);
      drain.add(session);
    };
  }
}
