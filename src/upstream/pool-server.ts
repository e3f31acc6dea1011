import type { Clock } from '../base/deps.js';
import { hashText } from './balance/consistent-hash.js';
import type { Balanced } from './balance/types.js';
import type { ServerHealth } from './health/server-health.js';
import type { PooledServerPlan } from './plan.js';

/** The share that a slow start begins with. Below it a server among few others would see next to nobody. */
const FIRST_SHARE = 0.1;

/** One server of a pool, for as long as it has a place in the list or a live lease. */
export class PoolServer<T = unknown> implements Balanced {
  readonly id: string;
  readonly seed: number;
  readonly health: ServerHealth;
  /** What the pool’s owner keeps with each server: its idle HTTP connections. */
  own: T;
  plan: PooledServerPlan;
  load = 0;
  turn = 0;
  /** Taken from the list: gets no new leases, and goes with the last one. */
  isLeaving = false;
  readonly #clock: Clock;
  #slowStart: { readonly beganMs: number; readonly durationMs: number } | undefined;

  constructor(plan: PooledServerPlan, own: T, health: ServerHealth, clock: Clock) {
    this.id = plan.id;
    this.seed = hashText(plan.id);
    this.plan = plan;
    this.own = own;
    this.health = health;
    this.#clock = clock;
  }

  get weight(): number {
    return this.plan.weight;
  }

  get hasRoom(): boolean {
    return this.plan.maxConnections === 0 || this.load < this.plan.maxConnections;
  }

  get share(): number {
    if (this.#slowStart === undefined) return 1;
    const { beganMs, durationMs } = this.#slowStart;
    const share = (this.#clock.now() - beganMs) / durationMs;
    if (share < 1) return Math.max(FIRST_SHARE, share);
    this.#slowStart = undefined;
    return 1;
  }

  startSlowly(durationMs: number): void {
    this.#slowStart = durationMs === 0 ? undefined : { beganMs: this.#clock.now(), durationMs };
  }
}
