/**
 * One upstream with all of its operations: the pool, who sticks to whom, checks, names. It outlives reloads: `update`
 * takes another plan and keeps everything that is still true. What is not configured is not there: an upstream of plain
 * addresses without checks has no timer at all.
 *
 *     const upstream = new LivingUpstream(plan, { deps, open, close, onChange });
 *     const want = upstream.wantOf(head, clientAddress);
 *     const lease = upstream.pool.take(want) ?? (await upstream.pool.wait(want, signal));  // see pool.ts
 *     const cookie = upstream.cookieFor(want, lease.server.id, peer.secure);      // Set-Cookie for the answer, if it needs one
 */
import { isIP } from 'node:net';
import type { RequestHead } from '../protocol/http/head.js';
import { hashKey } from './balance/hash-key.js';
import { Checker, type Probe } from './health/checker.js';
import { makeProbe } from './health/probes.js';
import type { Want } from './lease.js';
import type { PooledServerPlan, UpstreamPlan } from './plan.js';
import { Pool, type PoolOptions } from './pool.js';
import type { Names } from './resolve/names.js';
import { ServerList } from './resolve/server-list.js';
import { Sticky } from './sticky.js';

export interface LivingUpstreamOptions<T> extends Omit<PoolOptions<T>, 'open'> {
  /** Makes what is kept with each server. */
  readonly open: (server: PooledServerPlan, plan: UpstreamPlan) => T;
  /** A name could not be resolved; its last addresses stay. One line. */
  readonly onNameFailure?: (detail: string) => void;
  /** Default: the system’s. */
  readonly names?: Names;
  /** Default: what the plan’s `check` says. */
  readonly probe?: Probe;
}

const ANY: Want = Object.freeze({});

export class LivingUpstream<T = unknown> {
  readonly pool: Pool<T>;
  readonly #options: LivingUpstreamOptions<T>;
  readonly #list: ServerList;
  #plan: UpstreamPlan;
  #isPlainlyDialled: boolean;
  #sticky: Sticky | undefined;
  #checker: Checker | undefined;

  constructor(plan: UpstreamPlan, options: LivingUpstreamOptions<T>) {
    const { deps, names, onNameFailure, open } = options;
    this.#options = options;
    this.#plan = plan;
    this.#list = new ServerList(plan.servers, plan.resolve, {
      deps,
      onChange: () => this.#serversChanged(),
      ...(names && { names }),
      ...(onNameFailure && { onFailure: onNameFailure }),
    });
    const servers = this.#list.current;
    this.#isPlainlyDialled = areDialledPlainly(this.#plan, servers);
    this.pool = new Pool(plan, servers, { ...options, open: (server) => open(server, this.#plan) });
    this.#sticky = plan.sticky && new Sticky(plan.sticky, plan.id);
    this.#startChecks();
  }

  get plan(): UpstreamPlan {
    return this.#plan;
  }

  /** Whether TCP is all that it takes to reach each of its servers: no name, no unix socket, no TLS, no PROXY header, no HTTP/2. */
  get isPlainlyDialled(): boolean {
    return this.#isPlainlyDialled;
  }

  /** Lines for the operator at the start. */
  get warnings(): readonly string[] {
    const warning = this.#sticky?.warning;
    return warning === undefined ? [] : [warning];
  }

  /** What a request asks of the pool. */
  wantOf(head: RequestHead, clientAddress: string): Want {
    const { balance, hash } = this.#plan;
    const key = balance === 'hash' && hash !== undefined ? hashKey(hash, head, clientAddress) : undefined;
    const server = this.#sticky?.read(head.headers, this.#serverIds());
    return key === undefined && server === undefined ? ANY : { key, server };
  }

  /** The value of `Set-Cookie` for a client whose cookie does not lead to the server (its id) that it was given. */
  cookieFor({ server }: Want, given: string, isSecure: boolean): string | undefined {
    return server === given ? undefined : this.#sticky?.setCookie(given, isSecure);
  }

  /** Goes on with another plan; leases, health, names and slow starts of what stays are kept. */
  update(plan: UpstreamPlan): void {
    const before = this.#plan;
    this.#plan = plan;
    if (!isSame(plan.sticky, before.sticky)) this.#sticky = plan.sticky && new Sticky(plan.sticky, plan.id);
    this.#list.update(plan.servers, plan.resolve);
    if (!isSame(checksOf(plan), checksOf(before))) {
      this.#checker?.close();
      this.#checker = undefined;
      if (plan.check === undefined) this.pool.forgetChecks();
      this.#startChecks();
    }
    this.#serversChanged();
    if (!isSame(connectionsOf(plan), connectionsOf(before))) this.pool.reopen();
  }

  /** No new leases, no more checks and look-ups; live leases go on until they are released. */
  close(): void {
    this.#checker?.close();
    this.#list.close();
    this.pool.close();
  }

  #serversChanged(): void {
    const servers = this.#list.current;
    this.#isPlainlyDialled = areDialledPlainly(this.#plan, servers);
    this.pool.update(this.#plan, servers);
    this.#checker?.watch(servers);
    this.#sticky?.prune(this.#serverIds());
  }

  #startChecks(): void {
    const { check, tls, proxyProtocol, http2 } = this.#plan;
    if (check === undefined) return;
    const { deps, probe = makeProbe(check, { deps, tls, proxyProtocol, http2 }) } = this.#options;
    const report = (id: string, failure: string | undefined): void => this.pool.checked(id, failure, check);
    this.#checker = new Checker({ plan: check, deps, probe, report });
    this.#checker.watch(this.#list.current);
  }

  *#serverIds(): Generator<string> {
    for (const { id } of this.pool.servers) yield id;
  }
}

function areDialledPlainly(
  { proxyProtocol, http2 }: UpstreamPlan,
  servers: readonly PooledServerPlan[],
): boolean {
  // `auto` is a matter of TLS.
  return proxyProtocol === undefined && http2 !== true && servers.every(isPlainAddress);
}

function isPlainAddress({ address, secure }: PooledServerPlan): boolean {
  return !secure && 'host' in address && isIP(address.host) !== 0;
}

/** What a checker is made of. */
function checksOf({ check, tls, proxyProtocol }: UpstreamPlan): unknown {
  return { check, tls, proxyProtocol };
}

/** What connections are kept by. */
function connectionsOf(plan: UpstreamPlan): unknown {
  const { tls, maxIdleConnections, keepAliveTimeoutMs, http2, connectTimeoutMs, maxHeaderBytes } = plan;
  const forHttp2 = http2 && { http2, connectTimeoutMs, maxHeaderBytes };
  return { tls, maxIdleConnections, keepAliveTimeoutMs, forHttp2 };
}

/** Plans are plain data. */
function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
