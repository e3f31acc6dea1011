import type { Deps } from '../base/deps.js';
import type { LetGoPolicy } from '../config/reload.js';
import type { Events } from '../observe/events.js';
import type { SessionInfo } from '../observe/record.js';
import type { RoutePlan } from '../route/plan.js';
import { closeSession } from '../session/closing.js';
import { Drain, type DrainPlan } from '../session/drain.js';
import type { LiveSession, Registry } from '../session/registry.js';
import type { UpstreamPlan } from '../upstream/plan.js';

/** As for a server that has gone down: clients of today come again after it (1012). */
const SERVICE_RESTART = 1012;
const CLOSE_TIMEOUT_MS = 5000;

export interface LetGo {
  readonly policy: LetGoPolicy;
  readonly drain: DrainPlan;
}

type Retire = (session: LiveSession) => void;

/** Lets go of the sessions of routes and servers that a reload has changed or removed, if that is the plan. */
export class LettingGo {
  readonly #registry: Registry;
  readonly #deps: Deps;
  /** Whether there is anything to look up for a new session, which for most there never is. */
  #hasRetired = false;
  /** What becomes of sessions whose handshake was under way. */
  readonly #retiredRoutes = new WeakMap<RoutePlan, Retire>();
  #retiredServers: ReadonlyMap<string, Retire> = new Map();

  constructor(registry: Registry, deps: Deps, events: Events) {
    this.#registry = registry;
    this.#deps = deps;
    events.on('session.opened', ({ id }) => {
      const session = this.#hasRetired ? registry.get(id) : undefined;
      if (session === undefined) return;
      const retire =
        this.#retiredRoutes.get(session.route) ?? this.#retiredServers.get(serverOf(session.info));
      retire?.(session);
    });
  }

  /**
   * @param before the plans of the routes as they were
   * @param changed their keys
   */
  followRoutes(before: readonly RoutePlan[], changed: ReadonlySet<string>, letGo: LetGo): void {
    if (changed.size === 0) return;
    const retire = this.#retire(({ route }) => changed.has(route.key), 'route changed', letGo);
    if (retire === undefined) return;
    for (const route of before) if (changed.has(route.key)) this.#retiredRoutes.set(route, retire);
  }

  /** The servers of an upstream that is gone are gone as well. */
  followServers(before: readonly UpstreamPlan[], after: readonly UpstreamPlan[], letGo: LetGo): void {
    const left = new Set(after.flatMap(serversOf));
    const gone = new Set(before.flatMap(serversOf).filter((server) => !left.has(server)));
    const earlier = [...this.#retiredServers].filter(([server]) => !left.has(server));
    const retire =
      gone.size === 0
        ? undefined
        : this.#retire(({ info }) => gone.has(serverOf(info)), 'server removed', letGo);
    const now = retire === undefined ? [] : [...gone].map((server) => [server, retire] as const);
    this.#retiredServers = new Map([...earlier, ...now]);
  }

  /** Lets go of the open sessions that are meant. Returns what lets go of one more; undefined: they are kept. */
  #retire(
    isMeant: (session: LiveSession) => boolean,
    reason: string,
    { policy, drain }: LetGo,
  ): Retire | undefined {
    if (policy === 'keep') return undefined;
    this.#hasRetired = true;
    const sessions = [...this.#registry].filter(isMeant);
    return policy === 'drain' && drain.timeoutMs > 0
      ? this.#drain(sessions, drain)
      : this.#close(sessions, reason, policy === 'drain' ? 0 : CLOSE_TIMEOUT_MS);
  }

  #close(sessions: readonly LiveSession[], reason: string, timeoutMs: number): Retire {
    const words = { code: SERVICE_RESTART, reason };
    const close = (session: LiveSession): void =>
      void closeSession(session, words, timeoutMs, this.#deps.clock);
    for (const session of sessions) close(session);
    return close;
  }

  /** Spread over a window; what is left at the end is cut. */
  #drain(sessions: readonly LiveSession[], plan: DrainPlan): Retire {
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

function serversOf({ id, servers }: UpstreamPlan): string[] {
  return servers.map((server) => serverOf({ upstream: id, server: server.id }));
}

/** An address that a name stands for is the server that was named. */
function serverOf({ upstream, server }: Pick<SessionInfo, 'upstream' | 'server'>): string {
  return `${upstream} ${server.replace(/#.*$/, '')}`;
}
