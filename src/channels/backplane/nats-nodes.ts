import type { Deps } from '../../base/deps.js';
import type { NatsLink } from './nats-link.js';

export interface NatsNodesOptions {
  readonly link: NatsLink;
  readonly node: string;
  readonly deps: Deps;
  readonly subject: string;
  readonly beatMs: number;
  readonly lostAfterMs: number;
}

/**
 * Which nodes live: each says so now and then. NATS keeps nothing, so what a lost one kept is lost with it; that it is
 * lost is told by the first of the others by name.
 */
export class NatsNodes {
  readonly #options: NatsNodesOptions;
  readonly #onNodeLost: (node: string) => void;
  readonly #lastBeatMs = new Map<string, number>();
  #upSinceMs = 0;
  #judgedAtMs = 0;
  #cancel: (() => void) | undefined;
  #isClosed = false;

  constructor(options: NatsNodesOptions, onNodeLost: (node: string) => void) {
    this.#options = options;
    this.#onNodeLost = onNodeLost;
  }

  get living(): readonly string[] {
    return [...this.#lastBeatMs.keys()].sort();
  }

  async open(): Promise<void> {
    const { link, subject, deps, beatMs } = this.#options;
    this.#upSinceMs = deps.clock.now();
    link.subscribe(subject, (text) => this.#onBeat(text));
    await this.#say('here');
    this.#cancel = deps.clock.every(beatMs, () => this.#beat());
  }

  onLinkUp(): void {
    this.#upSinceMs = this.#options.deps.clock.now();
    this.#beat();
  }

  /** A node that says goodbye is not lost. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    if (this.#options.link.isUp) await this.#say('bye');
  }

  async #say(word: 'here' | 'bye'): Promise<void> {
    await this.#options.link.publish(this.#options.subject, `${word} ${this.#options.node}`);
  }

  #beat(): void {
    if (!this.#options.link.isUp) return;
    // Without a link the next one says it.
    this.#say('here').catch(() => {});
    this.#judge();
  }

  /** One that is new is answered at once, so that it knows of this one before it looks for anybody. */
  #onBeat(text: string): void {
    const [word, node] = text.split(' ') as [string, string];
    // Who has said goodbye says nothing more: it would be missed for it.
    if (node === this.#options.node || this.#isClosed) return;
    const isNew = !this.#lastBeatMs.has(node);
    if (word === 'bye') this.#lastBeatMs.delete(node);
    else this.#lastBeatMs.set(node, this.#options.deps.clock.now());
    if (isNew && word === 'here') this.#say('here').catch(() => {});
  }

  /** Behind a link that was down, others are silent that will be heard in a moment. */
  #judge(): void {
    const { deps, lostAfterMs, node: own } = this.#options;
    const now = deps.clock.now();
    // So are they for a process that was busy itself.
    if (now - this.#judgedAtMs >= lostAfterMs / 2) this.#upSinceMs = now;
    this.#judgedAtMs = now;
    if (now - this.#upSinceMs < lostAfterMs) return;
    const lost = [...this.#lastBeatMs].filter(([, atMs]) => now - atMs >= lostAfterMs).map(([node]) => node);
    for (const node of lost) this.#lastBeatMs.delete(node);
    const isFirst = this.living.every((node) => own < node);
    if (isFirst) for (const node of lost) this.#onNodeLost(node);
  }
}
