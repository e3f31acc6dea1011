import type { Deps } from '../../base/deps.js';
import type { BackplaneHandlers, KeptSession } from '../types.js';
import type { RedisLink } from './redis-link.js';
import { beatScript } from './redis-scripts.js';

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

/** Sessions of a node are kept so long behind its last sign of life, or nobody can tell of them. */
const KEEP_SESSIONS_MS = 3_600_000;
/** While lost sessions are told of, a node that dies of it is replaced by another after so long. */
const LEASE_MS = 30_000;

/**
 * Which nodes live, and what to tell of those that die. Each gives a sign of life now and then; one that finds another
 * silent takes the telling of it upon itself, by a lease, so that it is told once.
 */
export class RedisNodes {
  readonly #options: RedisNodesOptions;
  readonly #handlers: Pick<BackplaneHandlers, 'onNodeLost' | 'onTrouble'>;
  readonly #kept = new Map<string, () => string>();
  readonly #telling = new Set<string>();
  #living: readonly string[] = [];
  #upSinceMs = 0;
  #hasBeaten = false;
  /** The last sign of life did not get through, and that was told. */
  #isInTrouble = false;
  #cancel: (() => void) | undefined;

  constructor(options: RedisNodesOptions, handlers: Pick<BackplaneHandlers, 'onNodeLost' | 'onTrouble'>) {
    this.#options = options;
    this.#handlers = handlers;
  }

  /** The others, as of the last sign of life. */
  get living(): readonly string[] {
    return this.#living;
  }

  async open(): Promise<void> {
    const { deps, beatMs } = this.#options;
    this.#upSinceMs = deps.clock.now();
    await this.#beat();
    this.#cancel = deps.clock.every(beatMs, () => void this.#tryBeat());
  }

  /** After the link was lost: the server may have forgotten everything. */
  onLinkUp(): void {
    this.#upSinceMs = this.#options.deps.clock.now();
    this.#writeAll();
    void this.#tryBeat();
  }

  keep(id: string, record: () => string): void {
    this.#kept.set(id, record);
    this.#write(['HSET', this.#sessionsKey(), id, record()]);
  }

  forget(id: string): void {
    if (this.#kept.delete(id)) this.#write(['HDEL', this.#sessionsKey(), id]);
  }

  /** A node that says goodbye is not lost. */
  async close(): Promise<void> {
    this.#cancel?.();
    const { link, node } = this.#options;
    if (!link.isUp) return;
    await link.command(this.#key('alive'), ['ZREM', this.#key('alive'), node]);
    await link.command(this.#sessionsKey(), ['DEL', this.#sessionsKey()]);
  }

  async #tryBeat(): Promise<void> {
    if (!this.#options.link.isUp) return;
    try {
      await this.#beat();
      this.#isInTrouble = false;
    } catch (error) {
      if (this.#options.link.isUp && !this.#isInTrouble) {
        this.#isInTrouble = true;
        this.#handlers.onTrouble(`no sign of life to Redis: ${(error as Error).message}`);
      }
    }
  }

  async #beat(): Promise<void> {
    const { link, node, deps, lostAfterMs } = this.#options;
    // Behind a link that was down, others are silent that will be heard in a moment.
    const mayJudge = deps.clock.now() - this.#upSinceMs >= lostAfterMs;
    const reply = await link.run(
      beatScript,
      [this.#key('alive'), this.#key('leases'), this.#sessionsKey()],
      [node, lostAfterMs, mayJudge ? 1 : 0, KEEP_SESSIONS_MS, LEASE_MS, ...this.#telling].map(String),
    );
    const [known, living, mine] = reply as [number, string[], string[]];
    this.#living = living;
    if (known === 0 && this.#hasBeaten) this.#writeAll();
    this.#hasBeaten = true;
    await Promise.all(mine.filter((lost) => !this.#telling.has(lost)).map((lost) => this.#tell(lost)));
  }

  async #tell(lost: string): Promise<void> {
    this.#telling.add(lost);
    try {
      const { link } = this.#options;
      const key = this.#sessionsKey(lost);
      const fields = (await link.command(key, ['HGETALL', key])) as string[];
      const sessions: KeptSession[] = [];
      for (let i = 0; i + 1 < fields.length; i += 2)
        sessions.push({ id: fields[i]!, record: fields[i + 1]! });
      await this.#handlers.onNodeLost(lost, sessions, () => {});
      await link.command(key, ['DEL', key]);
      await link.command(this.#key('leases'), ['ZREM', this.#key('leases'), lost]);
    } finally {
      this.#telling.delete(lost);
    }
  }

  #writeAll(): void {
    const all = [...this.#kept].flatMap(([id, record]) => [id, record()]);
    const key = this.#sessionsKey();
    for (let i = 0; i < all.length; i += FIELDS_AT_ONCE) {
      this.#write(['HSET', key, ...all.slice(i, i + FIELDS_AT_ONCE)]);
    }
  }

  /** Without a link it is written when there is one. */
  #write(command: readonly string[]): void {
    const { link } = this.#options;
    if (!link.isUp) return;
    link.command(command[1]!, command).catch((error: unknown) => {
      if (link.isUp) this.#handlers.onTrouble(`a session is not kept in Redis: ${(error as Error).message}`);
    });
  }

  /** All in one slot of a cluster. */
  #key(name: string): string {
    return `${this.#options.prefix}:{nodes}:${name}`;
  }

  #sessionsKey(node = this.#options.node): string {
    return this.#key(`sessions:${node}`);
  }
}

/** Names and values in turn: an even number. */
const FIELDS_AT_ONCE = 1000;
