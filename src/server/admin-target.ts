import { readFileSync } from 'node:fs';
import type {
  AdminTarget,
  CloseOrder,
  CloseResult,
  Connection,
  ConnectionFilter,
  ConnectionPage,
  DrainOrder,
  DrainProgress,
  Paging,
  ReloadResult,
  ServerStatus,
  Status,
} from '../admin/target.js';
import type { Clock } from '../base/deps.js';
import { type BackplaneCounts, Counters, type SessionCounts } from '../observe/counters.js';
import type { Events } from '../observe/events.js';
import { closeSession } from '../session/closing.js';
import { countsOf } from '../session/counts.js';
import type { LiveSession, Registry } from '../session/registry.js';
import type { Server, Upstream } from '../upstream/upstream.js';
import type { Plan } from './compile.js';
import type { Draining, StopOptions } from './stopping.js';

/** What the admin API sees of a proxy. */
export interface Administered {
  readonly plan: Plan;
  readonly engine: string;
  readonly missingEngine: string | undefined;
  readonly listeners: Status['listeners'];
  readonly activeRequests: number;
  readonly stopping: boolean;
  readonly draining: Draining | undefined;
  /** As `stop`, which tells by an event when it has begun. */
  beginStop(options: StopOptions): void;
}

/** The wiring between the admin API and a proxy: everything that it reads, and what it may do. */
export class ProxyTarget implements AdminTarget {
  readonly #proxy: Administered;
  readonly #registry: Registry;
  readonly #upstreams: ReadonlyMap<string, Upstream>;
  readonly #clock: Clock;
  readonly #counters: Counters;
  readonly #startedAt: Date;
  readonly #startedAtMs: number;
  /** Undefined: it cannot. */
  readonly reload: (() => Promise<ReloadResult>) | undefined;

  constructor(
    proxy: Administered,
    registry: Registry,
    upstreams: ReadonlyMap<string, Upstream>,
    events: Events,
    clock: Clock,
    reload?: () => Promise<ReloadResult>,
  ) {
    this.reload = reload;
    this.#proxy = proxy;
    this.#registry = registry;
    this.#upstreams = upstreams;
    this.#clock = clock;
    this.#counters = new Counters(events);
    this.#startedAt = clock.date();
    this.#startedAtMs = clock.now();
  }

  status(): Status {
    const { plan, engine, missingEngine, listeners, activeRequests, stopping, draining } = this.#proxy;
    const open = countOpen(this.#registry);
    const { refusedHandshakes, answeredHandshakes, requestStatuses, failedRequests } = this.#counters;
    return {
      version: packageVersion,
      state: stopping ? 'draining' : 'running',
      ...(draining && { drain: this.#progress() }),
      time: this.#startedAt.toISOString(),
      uptimeMs: Math.round(this.#clock.now() - this.#startedAtMs),
      pid: process.pid,
      engine: { name: engine, ...(missingEngine === undefined ? {} : { missing: missingEngine }) },
      listeners,
      routes: plan.routes.map(({ id, upstream }) => ({
        route: id,
        upstream,
        sessions: sessionsOf(open.get(key('route', id)), this.#counters.sessionsOf(id)),
      })),
      upstreams: Array.from(this.#upstreams, ([id, { pool }]) => ({
        upstream: id,
        waiting: pool.waiting,
        servers: Array.from(pool.servers, (server) =>
          describeServer(server, open.get(key('server', id, server.id))?.count ?? 0),
        ),
      })),
      sessions: sessionsOf(open.get(key()), this.#counters.sessions),
      ...(plan.backplane && { backplane: describeBackplane(this.#counters.backplane) }),
      tls: { failed: this.#counters.failedTls },
      handshakes: { refused: refusedHandshakes.counts, answeredAsHttp: answeredHandshakes },
      requests: {
        active: activeRequests,
        statuses: requestStatuses.counts,
        failed: failedRequests.counts,
      },
    };
  }

  connections(filter: ConnectionFilter, { limit, after }: Paging): ConnectionPage {
    const page: LiveSession[] = [];
    let total = 0;
    let more = false;
    for (const session of this.#registry) {
      if (!fits(session, filter)) continue;
      total++;
      if (session.number <= after) continue;
      if (page.length < limit) page.push(session);
      else more = true;
    }
    return {
      connections: page.map((session) => this.#describe(session)),
      total,
      ...(more ? { next: page.at(-1)!.number } : {}),
    };
  }

  connection(id: string): Connection | undefined {
    const session = this.#registry.get(id);
    return session && this.#describe(session);
  }

  async drain({ timeoutMs, spreadMs, code, reason }: DrainOrder): Promise<DrainProgress> {
    const order = { timeoutMs, spreadMs, code, reason };
    const known = Object.entries(order).filter(([, value]) => value !== undefined);
    this.#proxy.beginStop(Object.fromEntries(known));
    return this.#progress();
  }

  async close(id: string, order: CloseOrder): Promise<CloseResult | undefined> {
    const session = this.#registry.get(id);
    if (session === undefined) return undefined;
    const end = await closeSession(session, order, order.timeoutMs, this.#clock);
    return { id, ended: end };
  }

  #progress(): DrainProgress {
    const { stopping, activeRequests, draining } = this.#proxy;
    return {
      state: stopping ? 'draining' : 'running',
      sessions: {
        open: this.#registry.size,
        ...(draining && { told: draining.told, waiting: draining.waiting, untold: draining.untold }),
      },
      requests: { active: activeRequests },
      ...(draining && { deadline: draining.deadline.toISOString() }),
    };
  }

  #describe({ info, relay }: LiveSession): Connection {
    const { openedAt, ...facts } = info;
    return {
      id: facts.id,
      time: openedAt.toISOString(),
      client: facts.client,
      host: facts.host,
      path: facts.path,
      via: facts.via,
      generation: facts.generation,
      upstreamGeneration: facts.upstreamGeneration,
      subprotocol: facts.subprotocol,
      route: facts.route,
      upstream: facts.upstream,
      server: facts.server,
      durationMs: Math.max(0, this.#clock.date().getTime() - openedAt.getTime()),
      ...countsOf(relay),
    };
  }
}

function describeBackplane({ isUp, ...counts }: BackplaneCounts): NonNullable<Status['backplane']> {
  return { state: isUp ? 'up' : 'down', ...counts };
}

function describeServer(server: Server, openSessions: number): ServerStatus {
  const { id, health, isLeaving, load, weight, share } = server;
  return {
    server: id,
    state: isLeaving ? 'leaving' : health.status,
    since: health.since.toISOString(),
    reason: isLeaving ? 'it is not on the list any more' : health.reason,
    active: load,
    weight,
    share: Math.round(share * 100) / 100,
    sessions: { open: openSessions },
  };
}

function fits({ info }: LiveSession, { route, client, upstream }: ConnectionFilter): boolean {
  return (
    (route === undefined || info.route === route) &&
    (client === undefined || info.client === client) &&
    (upstream === undefined || info.upstream === upstream)
  );
}

interface Open {
  count: number;
  messagesDropped: number;
}

/** How many sessions are open and what they have lost: in all, by route and by server. */
function countOpen(registry: Registry): ReadonlyMap<string, Open> {
  const counts = new Map<string, Open>();
  for (const { info, relay } of registry) {
    for (const name of [key(), key('route', info.route), key('server', info.upstream, info.server)]) {
      const open = counts.get(name);
      const { dropped = 0 } = relay;
      if (open === undefined) counts.set(name, { count: 1, messagesDropped: dropped });
      else {
        open.count++;
        open.messagesDropped += dropped;
      }
    }
  }
  return counts;
}

function key(...parts: readonly string[]): string {
  return parts.join('\n');
}

function sessionsOf(
  open: Open = { count: 0, messagesDropped: 0 },
  { opened, outcomes, messagesDropped }: SessionCounts,
): Status['sessions'] {
  return {
    open: open.count,
    total: opened,
    outcomes,
    messagesDropped: open.messagesDropped + messagesDropped,
  };
}

const packageVersion = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version;
