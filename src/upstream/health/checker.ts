import type { Deps } from '../../base/deps.js';
import { ProxyError } from '../../base/errors.js';
import type { PooledServerPlan } from '../plan.js';
import type { CheckPlan } from './check-plan.js';

/** Looks at one server: resolves when it is well, rejects with what is wrong, at the latest when the signal says so. */
export type Probe = (server: PooledServerPlan, signal: AbortSignal) => Promise<void>;

export interface CheckerOptions {
  readonly plan: CheckPlan;
  readonly deps: Deps;
  readonly probe: Probe;
  /** The result of one check: undefined, or one line. */
  readonly report: (serverId: string, failure: string | undefined) => void;
}

/** Part of the interval by which checks are moved, so that many servers and many proxies do not check in step. */
const JITTER = 0.1;

/** Checks servers actively: each at once, then again and again until it is on the list no more. */
export class Checker {
  readonly #options: CheckerOptions;
  readonly #watched = new Map<string, Watch>();

  constructor(options: CheckerOptions) {
    this.#options = options;
  }

  /** The servers to check from now on. Those that stay keep their rhythm. */
  watch(servers: Iterable<PooledServerPlan>): void {
    const listed = new Map([...servers].map((server) => [server.id, server]));
    for (const [id, watch] of [...this.#watched]) {
      if (listed.has(id)) continue;
      watch.stop();
      this.#watched.delete(id);
    }
    for (const [id, server] of listed) {
      const known = this.#watched.get(id);
      if (known === undefined) this.#watched.set(id, new Watch(server, this.#options));
      else known.server = server;
    }
  }

  /** Stops; what is under way is given up and not reported. */
  close(): void {
    this.watch([]);
  }
}

/** The checks of one server, one at a time. */
class Watch {
  server: PooledServerPlan;
  readonly #options: CheckerOptions;
  readonly #over = new AbortController();
  #cancelTimer: () => void = () => {};

  constructor(server: PooledServerPlan, options: CheckerOptions) {
    this.server = server;
    this.#options = options;
    void this.#run();
  }

  stop(): void {
    this.#cancelTimer();
    this.#over.abort(new Error('it is checked no more'));
  }

  async #run(): Promise<void> {
    const { plan, deps, report } = this.#options;
    const found = await this.#check();
    if (this.#over.signal.aborted) return;
    const jitter = 1 + JITTER * (2 * deps.random.float() - 1);
    this.#cancelTimer = deps.clock.after(plan.intervalMs * jitter, () => void this.#run());
    if (found !== undefined) report(this.server.id, found.failure);
  }

  /** What a check has found; undefined when it could not be made for a want of our own, which is no news of the server. */
  async #check(): Promise<{ readonly failure: string | undefined } | undefined> {
    const { plan, deps, probe } = this.#options;
    const late = new AbortController();
    this.#cancelTimer = deps.clock.after(plan.timeoutMs, () => {
      late.abort(new Error(`no answer within ${plan.timeoutMs} ms`));
    });
    const signal = AbortSignal.any([late.signal, this.#over.signal]);
    try {
      await probe(this.server, signal);
      return { failure: undefined };
    } catch (thrown) {
      const why: unknown = signal.aborted ? signal.reason : thrown;
      if (why instanceof ProxyError && why.code === 'PROXY_EXHAUSTED') return undefined;
      return { failure: why instanceof Error ? why.message : String(why) };
    } finally {
      this.#cancelTimer();
    }
  }
}
