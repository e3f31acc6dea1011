import type { Deps } from '../../base/deps.js';
import type { BackplaneHandlers } from '../types.js';
import type { NatsLink } from './nats-link.js';
import { NatsLogs } from './nats-logs.js';
import { NatsLostLives, nodeOfLife } from './nats-lost-lives.js';
import { NatsSessions } from './nats-sessions.js';

export interface NatsNodesOptions {
  readonly link: NatsLink;
  readonly node: string;
  readonly deps: Deps;
  /** What all names on the server begin with. */
  readonly prefix: string;
  /** How long JetStream has to answer. */
  readonly askTimeoutMs: number;
  readonly beatMs: number;
  readonly lostAfterMs: number;
}

export type NodesHandlers = Pick<BackplaneHandlers, 'onNodeLost' | 'onOutcast' | 'onTrouble'>;

/**
 * Which nodes live, and what to tell of those that die: each says now and then that it lives. With JetStream, what a
 * node kept is in a log; without, that one is lost is told by the first of the others by name, and no more. A node that
 * was judged lost and is heard again goes on in a new life.
 */
export class NatsNodes {
  readonly #options: NatsNodesOptions;
  readonly #handlers: NodesHandlers;
  readonly #logs: NatsLogs;
  readonly #sessions: NatsSessions;
  readonly #lost: NatsLostLives;
  /** By their lives. */
  readonly #lastBeatMs = new Map<string, number>();
  #upSinceMs = 0;
  #judgedAtMs = 0;
  #hasToldOfKeeping = false;
  #tending: Promise<void> | undefined;
  /** The logs could not be looked at, and that was told. */
  #isInTrouble = false;
  #cancel: (() => void) | undefined;
  #isClosed = false;

  constructor(options: NatsNodesOptions, handlers: NodesHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    const { link, deps, node, prefix, askTimeoutMs: timeoutMs, lostAfterMs } = options;
    const logs = (this.#logs = new NatsLogs({ link, prefix, timeoutMs }));
    this.#sessions = new NatsSessions(
      { link, logs, deps, node },
      {
        onRefused: () => void this.#tend(),
        onNewLife: () => this.#onNewLife(),
        onOutcast: (ids) => handlers.onOutcast(ids),
        onTrouble: (detail) => handlers.onTrouble(detail),
      },
    );
    this.#lost = new NatsLostLives({
      logs,
      deps,
      node,
      lostAfterMs,
      onNodeLost: (lost, sessions, told) => handlers.onNodeLost(lost, sessions, told),
    });
  }

  get living(): readonly string[] {
    return [...new Set([...this.#lastBeatMs.keys()].map(nodeOfLife))].sort();
  }

  async open(): Promise<void> {
    const { link, deps, beatMs } = this.#options;
    this.#upSinceMs = deps.clock.now();
    link.subscribe(this.#subject, (text) => this.#onBeat(text));
    await this.#logs.open();
    await this.#say('here');
    this.#cancel = deps.clock.every(beatMs, () => this.#beat());
  }

  onLinkUp(): void {
    this.#upSinceMs = this.#options.deps.clock.now();
    this.#beat();
  }

  /** Where nothing can be kept, that is told once. */
  keep(id: string, record: () => string): void {
    this.#sessions.keep(id, record);
    if (this.#logs.isOpen || this.#hasToldOfKeeping) return;
    this.#hasToldOfKeeping = true;
    const what = 'should a node be lost, the end of its sessions is not told to their backends';
    this.#handlers.onTrouble(`${what}: ${this.#logs.problem}`);
  }

  forget(id: string): void {
    this.#sessions.forget(id);
  }

  /** A node that says goodbye is not lost; what it still has to tell of others is left to those that stay. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    if (!this.#options.link.isUp) return;
    try {
      await this.#tending;
      await this.#lost.close();
      await this.#sessions.close();
    } finally {
      await this.#say('bye');
    }
  }

  async #say(word: 'here' | 'bye'): Promise<void> {
    await this.#options.link.publish(this.#subject, `${word} ${this.#sessions.life}`);
  }

  #beat(): void {
    if (!this.#options.link.isUp) return;
    // Without a link the next one says it.
    this.#say('here').catch(() => {});
    this.#judge();
    void this.#tend();
  }

  /** One that is new is answered at once, so that it knows of this one before it looks for anybody. */
  #onBeat(text: string): void {
    const [word, life] = text.split(' ') as [string, string];
    const node = nodeOfLife(life);
    // Who has said goodbye says nothing more: it would be missed for it.
    if (node === this.#options.node || this.#isClosed) return;
    const isNew = !this.#lastBeatMs.has(life);
    if (isNew)
      for (const old of this.#lastBeatMs.keys()) if (nodeOfLife(old) === node) this.#lastBeatMs.delete(old);
    this.#lost.remove(life);
    if (word === 'bye') this.#lastBeatMs.delete(life);
    else this.#lastBeatMs.set(life, this.#options.deps.clock.now());
    if (isNew && word === 'here') this.#say('here').catch(() => {});
  }

  #judge(): void {
    const { deps, lostAfterMs, node: own } = this.#options;
    const now = deps.clock.now();
    // For a process that was busy itself, others are silent that will be heard in a moment.
    if (now - this.#judgedAtMs >= lostAfterMs / 2) this.#upSinceMs = now;
    this.#judgedAtMs = now;
    if (!this.#mayJudge) return;
    const lost = [...this.#lastBeatMs].filter(([, atMs]) => now - atMs >= lostAfterMs).map(([life]) => life);
    for (const life of lost) this.#lastBeatMs.delete(life);
    if (this.#logs.isOpen) {
      for (const life of lost) this.#lost.add(life);
    } else if (this.living.every((node) => own < node)) {
      for (const life of lost) void this.#handlers.onNodeLost(nodeOfLife(life), [], () => {});
    }
  }

  /** So are they behind a link that was down. */
  get #mayJudge(): boolean {
    return this.#options.deps.clock.now() - this.#upSinceMs >= this.#options.lostAfterMs;
  }

  /** Never rejects. */
  #tend(): Promise<void> {
    return (this.#tending ??= this.#tendLogs().finally(() => (this.#tending = undefined)));
  }

  async #tendLogs(): Promise<void> {
    try {
      if (!this.#logs.isOpen) await this.#logs.open();
      if (!this.#logs.isOpen || this.#isClosed) return;
      const survey = await this.#sessions.check();
      const lives = new Set([...this.#lastBeatMs.keys(), this.#sessions.life]);
      if (this.#mayJudge && !this.#isClosed) {
        await this.#lost.tend(survey, { lives, nodes: new Set(this.living) });
      }
      this.#isInTrouble = false;
    } catch (error) {
      if (!this.#options.link.isUp || this.#isInTrouble) return;
      this.#isInTrouble = true;
      this.#handlers.onTrouble(`sessions of lost nodes are not seen to for now: ${(error as Error).message}`);
    }
  }

  /** To the others it had died; it does not wait for its next turn to tell them that it lives. */
  #onNewLife(): void {
    this.#upSinceMs = this.#options.deps.clock.now();
    if (!this.#isClosed) this.#say('here').catch(() => {});
  }

  get #subject(): string {
    return `${this.#options.prefix}.nodes`;
  }
}
