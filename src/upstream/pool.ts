/**
 * The servers of one upstream while they come and go: who may be used, who is next, who waits.
 *
 * A session takes a lease, dials, tells how it went, and gives the lease back when its tunnel has ended:
 *
 *     let lease = pool.take(want) ?? (await pool.wait(want, signal));   // throws: 503
 *     for (;;) {
 *       try {
 *         answered = await this.#try(lease.server);                     // dial, offer, verify
 *         lease.succeeded();
 *         break;
 *       } catch (thrown) {
 *         lease.failed(thrown);
 *         const next = mayTryAnother(thrown) ? pool.another(lease) : undefined;
 *         lease.release();
 *         if (next === undefined) throw thrown;
 *         lease = next;
 *       }
 *     }
 *     tunnel.ended.then(() => lease.release());
 *
 * `want` says what the client brings: a key for consistent hashing, the server that it sticks to. Most bring nothing:
 * `take()` then makes the lease and nothing else, no timer, no promise.
 */
import type { Deps } from '../base/deps.js';
import { ProxyError } from '../base/errors.js';
import { type Balance, makeBalancer } from './balance/balancer.js';
import type { Balancer } from './balance/types.js';
import { ServerHealth } from './health/server-health.js';
import { Lease, type LeaseKeeper, type Want } from './lease.js';
import type { PooledServerPlan, PoolPlan } from './plan.js';
import { PoolServer } from './pool-server.js';
import { noneUsable, queueFull, queueTimeout, serverGone, upstreamClosed } from './pool-errors.js';
import { RetryBudget } from './retry-budget.js';
import { WaitingLine, type Waiter } from './waiting-line.js';

export interface PoolOptions<T> {
  readonly deps: Deps;
  /** Makes what is kept with each server. */
  readonly open: (plan: PooledServerPlan) => T;
  /** Ends it, once the server has left and its last lease is back. */
  readonly close?: (own: T) => void;
  /** A server’s `health.status` has changed. */
  readonly onChange?: (server: PoolServer<T>) => void;
  /** A server has been taken from the list; it may still have leases. */
  readonly onLeave?: (server: PoolServer<T>) => void;
}

const ANY: Want = Object.freeze({});
const NONE: readonly never[] = Object.freeze([]);

export class Pool<T = unknown> {
  readonly #options: PoolOptions<T>;
  readonly #keeper: LeaseKeeper<T>;
  readonly #line: WaitingLine<T>;
  /** By id, those that are leaving too. */
  readonly #servers = new Map<string, PoolServer<T>>();
  #plan: PoolPlan;
  #balance: Balance;
  #balancer: Balancer;
  #budget: RetryBudget | undefined;
  /** Those that may be used now and have room; undefined when something has changed. */
  #open: PoolServer<T>[] | undefined;
  #isClosed = false;

  constructor(plan: PoolPlan, servers: readonly PooledServerPlan[], options: PoolOptions<T>) {
    this.#options = options;
    this.#plan = plan;
    this.#balance = plan.balance;
    this.#balancer = makeBalancer(plan.balance, options.deps.random);
    this.#budget = plan.retryBudget && new RetryBudget(plan.retryBudget, options.deps.clock);
    this.#line = new WaitingLine(options.deps.clock);
    this.#keeper = {
      returned: (lease) => this.#takeBack(lease.server),
      succeeded: (server) => server.health.succeeded(),
      failed: (server, error) => this.#noteFailure(server, error),
    };
    for (const server of merged(servers)) this.#add(server);
  }

  /** The servers in the list, and those that still have leases. */
  get servers(): Iterable<PoolServer<T>> {
    return this.#servers.values();
  }

  /** How many wait for room. */
  get waiting(): number {
    return this.#line.size;
  }

  /**
   * The server for a request; undefined when all that may serve it are full, so that it has to `wait`: only what is
   * given a lease, or waits, counts as a request.
   *
   * @throws ProxyError `UPSTREAM_UNAVAILABLE` when there is none, `UPSTREAM_SERVER_GONE` when the client sticks to one
   *   that cannot be used and may not be moved.
   */
  take(want: Want = ANY): Lease<T> | undefined {
    const lease = this.#find(want);
    if (lease !== undefined) this.#budget?.countRequest();
    return lease;
  }

  /**
   * Waits for room after `take` found none; should there be some by now, the waiter has it at once.
   *
   * @returns leaves the line; to be called when the client has gone. Does nothing once the waiter has been called.
   */
  enqueue(want: Want, waiter: Waiter<T>): () => void {
    const { id, queue } = this.#plan;
    this.#budget?.countRequest();
    const found = this.#findOrError(want);
    if (found instanceof Error) waiter.refused(found);
    else if (found !== undefined) waiter.granted(found);
    else if (this.#line.size >= queue.size) waiter.refused(queueFull(id, queue.size));
    else return this.#line.join(want, waiter, queue.timeoutMs, () => queueTimeout(id, queue.timeoutMs));
    return () => {};
  }

  /**
   * As `enqueue`, with a promise. A signal that comes too late lets the lease through: whoever gets one releases it.
   *
   * @throws ProxyError `UPSTREAM_FULL`, `UPSTREAM_QUEUE_TIMEOUT`, what `take` throws, or the signal’s reason.
   */
  wait(want: Want, signal: AbortSignal): Promise<Lease<T>> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const abandon = (): void => {
        leave();
        reject(signal.reason as Error);
      };
      const settled = (): void => signal.removeEventListener('abort', abandon);
      signal.addEventListener('abort', abandon);
      const leave = this.enqueue(want, {
        granted(lease) {
          settled();
          resolve(lease);
        },
        refused(error) {
          settled();
          reject(error);
        },
      });
    });
  }

  /**
   * Another server for a request whose server has failed; the failed lease is released. Undefined when there is no
   * other with room, when `retries` or the budget are used up, or when the client may not be moved.
   */
  another(lease: Lease<T>): Lease<T> | undefined {
    lease.release();
    const { want } = lease;
    const tried = [...lease.tried, lease.server];
    const isBound = want.server === lease.server.id && this.#plan.whenGone === 'refuse';
    if (isBound || tried.length > this.#plan.retries) return undefined;
    const others = this.#usableNow().filter((server) => !tried.includes(server));
    if (others.length === 0 || this.#budget?.takeRetry() === false) return undefined;
    return this.#grant(this.#balancer.pick(others, want.key)!, want, tried);
  }

  /**
   * Another list of servers, and other settings. What stays keeps its leases, health and slow start; what comes starts
   * slowly; what goes gets no new leases and is closed after its last one, or comes back as it was.
   */
  update(plan: PoolPlan, servers: readonly PooledServerPlan[]): void {
    this.#setPlan(plan);
    const listed = new Map(merged(servers).map((server) => [server.id, server]));
    for (const server of [...this.#servers.values()]) {
      if (!listed.has(server.id) && !server.isLeaving) this.#remove(server);
    }
    for (const server of listed.values()) {
      const known = this.#servers.get(server.id);
      if (known === undefined) this.#add(server).startSlowly(plan.slowStartMs);
      else this.#keep(known, server);
    }
    this.#changed();
  }

  /** Makes anew what is kept with each server, and ends the old; leases, health and slow starts are kept. */
  reopen(): void {
    const { open, close } = this.#options;
    for (const server of this.#servers.values()) {
      const before = server.own;
      server.own = open(server.plan);
      close?.(before);
    }
  }

  /** The result of an active check: undefined, or what was wrong. Unknown ids are passed over. */
  checked(id: string, failure: string | undefined, counts: { rise: number; fall: number }): void {
    this.#servers.get(id)?.health.checked(failure, counts);
  }

  /** Active checks were switched off. */
  forgetChecks(): void {
    for (const server of this.#servers.values()) server.health.forgetChecks();
  }

  /** Takes every server from the list and refuses those who wait. Live leases go on until they are released. */
  close(): void {
    this.#isClosed = true;
    for (const server of [...this.#servers.values()]) if (!server.isLeaving) this.#remove(server);
    this.#changed();
  }

  #find(want: Want): Lease<T> | undefined {
    if (want.server !== undefined) {
      const named = this.#servers.get(want.server);
      const canServe = named !== undefined && !named.isLeaving && this.#mayKeepClient(named);
      if (canServe) return named.hasRoom ? this.#grant(named, want, NONE) : undefined;
      if (this.#plan.whenGone === 'refuse') throw serverGone(this.#plan.id, named);
    }
    const open = this.#usableNow();
    const server = open.length === 1 ? open[0] : this.#balancer.pick(open, want.key);
    if (server !== undefined) return this.#grant(server, want, NONE);
    if (this.#usable().length > 0) return undefined;
    throw this.#isClosed ? upstreamClosed(this.#plan.id) : noneUsable(this.#plan.id, this.#listed());
  }

  /** An ejected server is only suspected: it is left if its clients may be moved, and asked if nobody else knows them. */
  #mayKeepClient({ health: { status } }: PoolServer<T>): boolean {
    return status === 'up' || (status === 'ejected' && this.#plan.whenGone === 'refuse');
  }

  #grant(server: PoolServer<T>, want: Want, tried: readonly PoolServer<T>[]): Lease<T> {
    server.load++;
    if (!server.hasRoom) this.#open = undefined;
    return new Lease(this.#keeper, server, want, tried);
  }

  #takeBack(server: PoolServer<T>): void {
    const wasFull = !server.hasRoom;
    server.load--;
    if (server.isLeaving) this.#closeIfLeft(server);
    else if (wasFull) this.#changed();
  }

  #noteFailure({ health }: PoolServer<T>, error: unknown): void {
    const { ejection } = this.#plan;
    const isItsFault = error instanceof ProxyError && error.side === 'upstream';
    if (isItsFault && ejection !== undefined) health.failed(error.message, ejection);
  }

  /** The servers to choose from: those in use that have room. */
  #usableNow(): PoolServer<T>[] {
    return (this.#open ??= this.#usable().filter((server) => server.hasRoom));
  }

  /** The best there are: those that are up; else the ejected, which are only suspected; else, by choice, all. */
  #usable(): PoolServer<T>[] {
    const chosen = this.#listed().filter(({ weight }) => weight > 0);
    for (const status of ['up', 'ejected'] as const) {
      const found = chosen.filter(({ health }) => health.status === status);
      if (found.length > 0) return found;
    }
    return this.#plan.whenAllDown === 'try' ? chosen : [];
  }

  #listed(): PoolServer<T>[] {
    return [...this.#servers.values()].filter(({ isLeaving }) => !isLeaving);
  }

  #setPlan(plan: PoolPlan): void {
    const { clock, random } = this.#options.deps;
    this.#plan = plan;
    if (plan.balance !== this.#balance) this.#balancer = makeBalancer(plan.balance, random);
    this.#balance = plan.balance;
    if (plan.retryBudget === undefined) this.#budget = undefined;
    else if (this.#budget === undefined) this.#budget = new RetryBudget(plan.retryBudget, clock);
    else this.#budget.plan = plan.retryBudget;
    if (plan.ejection !== undefined) return;
    for (const { health } of this.#servers.values()) health.endEjection();
  }

  #add(plan: PooledServerPlan): PoolServer<T> {
    const { deps, open } = this.#options;
    const health = new ServerHealth({
      clock: deps.clock,
      onChange: () => this.#healthChanged(server),
      mayEject: () => this.#mayEject(),
    });
    const server = new PoolServer(plan, open(plan), health, deps.clock);
    this.#servers.set(plan.id, server);
    return server;
  }

  #keep(server: PoolServer<T>, plan: PooledServerPlan): void {
    server.plan = plan;
    if (!server.isLeaving) return;
    server.isLeaving = false;
    server.startSlowly(this.#plan.slowStartMs);
  }

  #remove(server: PoolServer<T>): void {
    server.isLeaving = true;
    // No timer outlives the list.
    server.health.endEjection();
    this.#options.onLeave?.(server);
    this.#closeIfLeft(server);
  }

  #closeIfLeft(server: PoolServer<T>): void {
    if (!server.isLeaving || server.load > 0) return;
    this.#servers.delete(server.id);
    this.#options.close?.(server.own);
  }

  #mayEject(): boolean {
    const listed = this.#listed();
    const ejected = listed.filter(({ health }) => health.isEjected).length;
    return ejected + 1 <= listed.length * (this.#plan.ejection?.maxShare ?? 0);
  }

  #healthChanged(server: PoolServer<T>): void {
    if (server.isLeaving) return;
    if (server.health.status === 'up') server.startSlowly(this.#plan.slowStartMs);
    this.#options.onChange?.(server);
    this.#changed();
  }

  /** Somebody may be served who could not be, or can be no more. */
  #changed(): void {
    this.#open = undefined;
    if (this.#line.size === 0) return;
    this.#line.serve((want) => this.#findOrError(want));
  }

  #findOrError(want: Want): Lease<T> | ProxyError | undefined {
    try {
      return this.#find(want);
    } catch (thrown) {
      return ProxyError.from(thrown);
    }
  }
}

/** A server that is listed twice is one with the weights of both. */
function merged(servers: readonly PooledServerPlan[]): PooledServerPlan[] {
  const byId = new Map<string, PooledServerPlan>();
  for (const server of servers) {
    const first = byId.get(server.id);
    byId.set(server.id, first ? { ...first, weight: first.weight + server.weight } : server);
  }
  return [...byId.values()];
}
