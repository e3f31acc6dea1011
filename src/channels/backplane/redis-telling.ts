import type { BackplaneHandlers, KeptSession } from '../types.js';
import type { RedisLink } from './redis-link.js';

export interface RedisTellingOptions {
  readonly link: RedisLink;
  /** Of the hash with the sessions of the lost node. */
  readonly key: string;
  readonly node: string;
  readonly onNodeLost: BackplaneHandlers['onNodeLost'];
}

/** Fields read or removed at once. */
const AT_ONCE = 500;

/**
 * The sessions of one lost node, while this one tells of them. Each that has been told leaves Redis, so that another node
 * that has to go on tells only of the rest. What cannot be removed as there is no link is removed later.
 */
export class RedisTelling {
  readonly #options: RedisTellingOptions;
  readonly #told = new Set<string>();
  #removing: Promise<void> | undefined;
  #isClosed = false;
  /** All has been told. What `onNodeLost` left out is for another, once this node has gone. */
  isDone = false;

  constructor(options: RedisTellingOptions) {
    this.#options = options;
  }

  /** Rejects where the sessions cannot be read: nothing has been told. */
  async run(): Promise<void> {
    const { node, onNodeLost } = this.#options;
    const sessions = await this.#read();
    if (this.#isClosed) return;
    const untold = new Set(sessions.map(({ id }) => id));
    await onNodeLost(node, sessions, (id) => {
      untold.delete(id);
      this.#told.add(id);
      void this.#removeSoon();
    });
    this.isDone = untold.size === 0;
  }

  /** Resolves when all that was told is gone from Redis, or cannot go now; with whether it is. Never rejects. */
  async settle(): Promise<boolean> {
    await this.#removeSoon();
    return this.#told.size === 0;
  }

  /** What is told from now on is not written. */
  async close(): Promise<void> {
    await this.settle();
    this.#isClosed = true;
  }

  /** Nobody writes there any more: what is found twice is the same. All at once in memory, as `onNodeLost` takes it. */
  async #read(): Promise<KeptSession[]> {
    const { link, key } = this.#options;
    const found = new Map<string, string>();
    let cursor = '0';
    do {
      const reply = await link.command(key, ['HSCAN', key, cursor, 'COUNT', `${AT_ONCE}`]);
      const [next, fields] = reply as [string, string[]];
      for (let i = 0; i + 1 < fields.length; i += 2) found.set(fields[i]!, fields[i + 1]!);
      cursor = next;
    } while (cursor !== '0');
    return [...found].map(([id, record]) => ({ id, record }));
  }

  /** What is told in one turn goes with one command. */
  #removeSoon(): Promise<void> {
    return (this.#removing ??= Promise.resolve().then(() => this.#remove()));
  }

  async #remove(): Promise<void> {
    const { link, key } = this.#options;
    try {
      while (this.#told.size > 0 && link.isUp && !this.#isClosed) {
        const ids = [...this.#told].slice(0, AT_ONCE);
        await link.command(key, ['HDEL', key, ...ids]);
        for (const id of ids) this.#told.delete(id);
      }
    } catch {
      // With the next sign of life it is tried again.
    } finally {
      this.#removing = undefined;
    }
  }
}
