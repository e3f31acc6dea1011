import type { Deps } from '../../base/deps.js';
import type { BackplaneHandlers } from '../types.js';
import type { NatsLogs, Survey } from './nats-logs.js';
import { NatsTelling } from './nats-telling.js';

export interface NatsLostLivesOptions {
  readonly logs: NatsLogs;
  readonly deps: Deps;
  /** This one. */
  readonly node: string;
  /** Silent for so long, a node is lost. */
  readonly lostAfterMs: number;
  readonly onNodeLost: BackplaneHandlers['onNodeLost'];
}

/** Those that are heard, this one among them. */
export interface Living {
  readonly lives: ReadonlySet<string>;
  readonly nodes: ReadonlySet<string>;
}

/**
 * The lives that have ended without a goodbye, until all is told of them. Whose turn it is stands in their logs: the
 * first to write there that it tells of one does so, and, should it not live itself, the next.
 */
export class NatsLostLives {
  readonly #options: NatsLostLivesOptions;
  /** Not told of to the end, as far as is known. */
  readonly #lost = new Set<string>();
  readonly #telling = new Map<string, NatsTelling>();
  /** Nothing is left to tell of them. */
  readonly #settled = new Set<string>();
  /** They have a log and are not heard, from when on. */
  readonly #silentSinceMs = new Map<string, number>();
  #isClosed = false;

  constructor(options: NatsLostLivesOptions) {
    this.#options = options;
  }

  add(life: string): void {
    if (!this.#settled.has(life)) this.#lost.add(life);
  }

  /** It is heard again. */
  remove(life: string): void {
    if (!this.#telling.has(life)) this.#lost.delete(life);
  }

  /** With every sign of life of this node that may judge others. */
  async tend(survey: Survey, living: Living): Promise<void> {
    this.#findSilent(survey, living);
    for (const telling of this.#telling.values()) if (telling.isDone) await telling.settle();
    for (const [life, { outcome }] of this.#telling) if (outcome !== undefined) this.#end(life, outcome);
    for (const life of this.#lost) {
      if (this.#isClosed) return;
      if (!this.#telling.has(life)) await this.#consider(life, living);
    }
  }

  /** What is not told of by now is left to those that stay. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#telling.values()].map((each) => each.close()));
  }

  /** Of those that died before this node came, nothing but their logs is known. */
  #findSilent({ lives }: Survey, living: Living): void {
    const now = this.#options.deps.clock.now();
    for (const known of [this.#silentSinceMs, this.#settled]) {
      for (const life of known.keys()) if (!lives.has(life) || living.lives.has(life)) known.delete(life);
    }
    for (const life of lives) {
      if (living.lives.has(life) || this.#settled.has(life)) continue;
      const sinceMs = this.#silentSinceMs.get(life) ?? now;
      this.#silentSinceMs.set(life, sinceMs);
      if (now - sinceMs >= this.#options.lostAfterMs) this.#lost.add(life);
    }
  }

  async #consider(life: string, living: Living): Promise<void> {
    const { logs, node } = this.#options;
    const { seq, entry } = (await logs.last(life)) ?? { seq: 0, entry: { last: 0 } };
    const { last, teller, isDone } = entry;
    if (isDone) {
      this.#settle(life);
    } else if (teller === node) {
      // The word that this was taken was lost, or what is to be told could not be read.
      void this.#tell(life, seq, last);
    } else if (teller === undefined || !living.nodes.has(teller)) {
      const taken = await logs.append(life, { last, teller: node }, seq);
      if (taken !== undefined) void this.#tell(life, taken, last);
    }
  }

  /** Never rejects. */
  async #tell(life: string, seq: number, last: number): Promise<void> {
    if (this.#isClosed || this.#telling.has(life)) return;
    const { logs, node: teller, onNodeLost } = this.#options;
    const telling = new NatsTelling({ logs, life, node: nodeOfLife(life), teller, seq, last, onNodeLost });
    this.#telling.set(life, telling);
    try {
      await telling.run();
      await telling.settle();
      if (telling.outcome !== undefined) this.#end(life, telling.outcome);
    } catch {
      // It stays this node’s to tell of, and comes again with a sign of life.
      this.#telling.delete(life);
    }
  }

  #end(life: string, outcome: NatsTelling['outcome']): void {
    const telling = this.#telling.get(life);
    // Another tells of it by now; it is not begun again here while it still goes on.
    if (outcome === 'taken' && telling?.isDone !== true) return;
    this.#telling.delete(life);
    if (outcome === 'noted') this.#settle(life);
  }

  #settle(life: string): void {
    this.#lost.delete(life);
    this.#settled.add(life);
  }
}

export function nodeOfLife(life: string): string {
  return life.slice(0, life.lastIndexOf('.'));
}
