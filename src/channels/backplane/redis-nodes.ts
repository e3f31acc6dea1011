import type { Deps } from '../../base/deps.js';
import type { BackplaneHandlers, KeptSession } from '../types.js';
import { KeptSessions } from './kept-sessions.js';
import type { RedisLink } from './redis-link.js';
import { beatScript, doneScript, keepScript, leaveScript } from './redis-node-scripts.js';
import { RedisTelling } from './redis-telling.js';

export interface RedisNodesOptions {
  readonly link: RedisLink;
  readonly node: string;
  readonly deps: Deps;
  /** What its keys begin with. */
  readonly prefix: string;
  readonly beatMs: number;
  /** Silent for so long, a node is lost. */
  readonly lostAfterMs: number;
}

export type NodesHandlers = Pick<BackplaneHandlers, 'onNodeLost' | 'onOutcast' | 'onTrouble'>;

/** Sessions of a node are kept so long behind its last sign of life, or nobody can tell of them. */
const KEEP_SESSIONS_MS = 3_600_000;
/** So long it is known that a node was judged lost, should it come back. */
const REMEMBER_LOST_MS = 24 * KEEP_SESSIONS_MS;

/**
 * Which nodes live, and what to tell of those that die. Each gives a sign of life now and then; one that finds another
 * silent takes the telling of it upon itself, by a lease that lasts as long as it lives itself, so that each session is
 * told of once. Only where a node dies, or is cut off, between telling and Redis hearing of it, some are told twice.
 * A node that was judged lost and is heard again goes on in a new life.
 */
export class RedisNodes {
  readonly #options: RedisNodesOptions;
  readonly #handlers: NodesHandlers;
  readonly #kept: KeptSessions;
  /** By the lives of the lost. */
  readonly #telling = new Map<string, RedisTelling>();
  #living: readonly string[] = [];
  #lifeNumber = 1;
  #upSinceMs = 0;
  #heardAtMs = 0;
  /** In this life. */
  #hasBeaten = false;
  /** Since the link was lost, nothing has been written again. */
  #mustWriteAgain = false;
  #beating: Promise<void> | undefined;
  /** The last sign of life did not get through, and that was told. */
  #isInTrouble = false;
  #isClosed = false;
  #cancel: (() => void) | undefined;

  constructor(options: RedisNodesOptions, handlers: NodesHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    const { link } = options;
    const store = {
      get isUp() {
        return link.isUp;
      },
      write: (number: number, sessions: readonly KeptSession[], gone: readonly string[]) =>
        this.#write(number, sessions, gone),
    };
    this.#kept = new KeptSessions(store, {
      onRefused: () => void this.#tryBeat(),
      onTrouble: (detail) => handlers.onTrouble(detail),
    });
  }

  /** The others, as of the last sign of life. */
  get living(): readonly string[] {
    return this.#living;
  }

  async open(): Promise<void> {
    const { deps, beatMs } = this.#options;
    this.#upSinceMs = this.#heardAtMs = deps.clock.now();
    await this.#beat();
    this.#cancel = deps.clock.every(beatMs, () => void this.#tryBeat());
  }

  /** After the link was lost: the server may have forgotten the last writes. */
  onLinkUp(): void {
    this.#upSinceMs = this.#options.deps.clock.now();
    this.#mustWriteAgain = true;
    void this.#tryBeat();
  }

  keep(id: string, record: () => string): void {
    this.#kept.keep(id, record);
  }

  forget(id: string): void {
    this.#kept.forget(id);
  }

  /** A node that says goodbye is not lost; what it still has to tell of others is left to those that stay. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    const { link } = this.#options;
    if (!link.isUp) return;
    await Promise.all([this.#kept.close(), ...[...this.#telling.values()].map((each) => each.close())]);
    const [alive, , ...own] = this.#ownKeys();
    await link.run(leaveScript, [alive!, ...own], [this.#life]);
  }

  /** Never rejects. */
  async #tryBeat(): Promise<void> {
    if (!this.#options.link.isUp || this.#isClosed) return;
    try {
      await (this.#beating ??= this.#beat().finally(() => (this.#beating = undefined)));
      this.#isInTrouble = false;
    } catch (error) {
      if (this.#options.link.isUp && !this.#isInTrouble) {
        this.#isInTrouble = true;
        this.#handlers.onTrouble(`no sign of life to Redis: ${(error as Error).message}`);
      }
    }
  }

  async #beat(): Promise<void> {
    const { link, lostAfterMs, beatMs, deps } = this.#options;
    const maxPauseMs = Math.max(lostAfterMs / 2, 2 * beatMs);
    // Behind a link that was down, or a server that was slow, others are silent that will be heard in a moment.
    const mayJudge = deps.clock.now() - this.#upSinceMs >= lostAfterMs;
    const times = [lostAfterMs, mayJudge ? maxPauseMs : 0, KEEP_SESSIONS_MS, REMEMBER_LOST_MS].map(String);
    const args = [this.#life, ...times, this.#key(''), ...this.#telling.keys()];
    const reply = await link.run(beatScript, this.#ownKeys(), args);
    const [isLost, known, lastWrite, living, mine] = reply as [number, number, string, string[], string[]];
    if (isLost === 1) {
      await this.#beginAnew(Number(lastWrite));
      return;
    }
    const now = deps.clock.now();
    if (now - this.#heardAtMs >= maxPauseMs) this.#upSinceMs = now;
    this.#heardAtMs = now;
    this.#living = living.map(nodeOfLife);
    const isForgotten = known === 0 && this.#hasBeaten;
    if (isForgotten || this.#mustWriteAgain) this.#kept.writeAgain(isForgotten);
    this.#hasBeaten = true;
    this.#mustWriteAgain = false;
    this.#kept.settle(Number(lastWrite));
    for (const lost of mine) void this.#tell(lost);
    for (const [lost, telling] of this.#telling) if (telling.isDone) void this.#finish(lost, telling);
  }

  /** To the others it has died; it does not wait for its next turn to tell them that it lives. */
  async #beginAnew(lastWrite: number): Promise<void> {
    this.#lifeNumber++;
    this.#hasBeaten = false;
    const ids = await this.#kept.castOut(lastWrite);
    this.#upSinceMs = this.#heardAtMs = this.#options.deps.clock.now();
    this.#handlers.onOutcast(ids);
    if (!this.#isClosed) await this.#beat();
  }

  async #tell(lost: string): Promise<void> {
    if (this.#telling.has(lost) || this.#isClosed) return;
    const telling = new RedisTelling({
      link: this.#options.link,
      key: this.#sessionsKey(lost),
      node: nodeOfLife(lost),
      onNodeLost: (node, sessions, told) => this.#handlers.onNodeLost(node, sessions, told),
    });
    this.#telling.set(lost, telling);
    try {
      await telling.run();
      await this.#finish(lost, telling);
    } catch {
      // It stays this node’s to tell of, and comes again with a sign of life.
      this.#telling.delete(lost);
    }
  }

  /** Without a link, it is done when there is one. */
  async #finish(lost: string, telling: RedisTelling): Promise<void> {
    const { link } = this.#options;
    if (!telling.isDone || this.#isClosed || !(await telling.settle())) return;
    try {
      await link.run(doneScript, [this.#key('leases'), this.#sessionsKey(lost)], [lost, this.#life]);
      this.#telling.delete(lost);
    } catch {
      // With the next sign of life it is tried again.
    }
  }

  async #write(number: number, sessions: readonly KeptSession[], gone: readonly string[]): Promise<boolean> {
    const fields = sessions.flatMap(({ id, record }) => [id, record]);
    const args = [number, KEEP_SESSIONS_MS, sessions.length].map(String);
    const keys = [this.#sessionsKey(this.#life), this.#key(`lost:${this.#life}`)];
    return (await this.#options.link.run(keepScript, keys, [...args, ...fields, ...gone])) === 1;
  }

  get #life(): string {
    return `${this.#options.node}.${this.#lifeNumber}`;
  }

  /** All in one slot of a cluster. */
  #key(name: string): string {
    return `${this.#options.prefix}:{nodes}:${name}`;
  }

  #sessionsKey(life: string): string {
    return this.#key(`sessions:${life}`);
  }

  #ownKeys(): readonly string[] {
    const own = [this.#sessionsKey(this.#life), this.#key(`lost:${this.#life}`)];
    return [this.#key('alive'), this.#key('leases'), ...own];
  }
}

function nodeOfLife(life: string): string {
  return life.slice(0, life.lastIndexOf('.'));
}
