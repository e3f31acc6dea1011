import type { BackplaneHandlers } from '../types.js';
import type { LogEntry, NatsLogs } from './nats-logs.js';

export interface NatsTellingOptions {
  readonly logs: NatsLogs;
  readonly life: string;
  /** The lost one, and who tells of it. */
  readonly node: string;
  readonly teller: string;
  /** The number of the entry by which it is this node’s to tell of. */
  readonly seq: number;
  /** Of the last write of the lost node. */
  readonly last: number;
  readonly onNodeLost: BackplaneHandlers['onNodeLost'];
}

/** So many are noted at once. */
const AT_ONCE = 500;

/**
 * The sessions of one lost life, while this node tells of them. Each that has been told is noted in the log, so that
 * another node that has to go on tells only of the rest. What cannot be noted now is noted later.
 */
export class NatsTelling {
  readonly #options: NatsTellingOptions;
  readonly #told = new Set<string>();
  #seq: number;
  /** The last note may have been taken or not. */
  #isInDoubt = false;
  #noting: Promise<void> | undefined;
  #isClosed = false;
  /** All has been told. What `onNodeLost` left out is for another, once this node has gone. */
  isDone = false;
  /** Nothing is left to do here: all is noted, or another node tells of it by now. */
  outcome: 'noted' | 'taken' | undefined;

  constructor(options: NatsTellingOptions) {
    this.#options = options;
    this.#seq = options.seq;
  }

  /** Rejects where the sessions cannot be read: nothing has been told. */
  async run(): Promise<void> {
    const { logs, life, seq, node, onNodeLost } = this.#options;
    const sessions = await logs.read(life, seq);
    if (this.#isClosed) return;
    const untold = new Set(sessions.map(({ id }) => id));
    await onNodeLost(node, sessions, (id) => {
      untold.delete(id);
      this.#told.add(id);
      void this.settle();
    });
    this.isDone = untold.size === 0;
  }

  /** Resolves when all that was told is noted, or cannot be now. Never rejects. What is told in one turn goes together. */
  settle(): Promise<void> {
    return (this.#noting ??= Promise.resolve().then(() => this.#note()));
  }

  /** What is told from now on is not noted. */
  async close(): Promise<void> {
    await this.settle();
    this.#isClosed = true;
  }

  async #note(): Promise<void> {
    try {
      if (this.#isInDoubt) await this.#catchUp();
      while (this.#told.size > 0 && this.#goesOn()) {
        const gone = [...this.#told].slice(0, AT_ONCE);
        if (await this.#append({ gone })) for (const id of gone) this.#told.delete(id);
      }
      if (this.isDone && this.#goesOn()) await this.#end();
    } catch {
      // With the next sign of life it is tried again.
      this.#isInDoubt = true;
    } finally {
      this.#noting = undefined;
    }
  }

  async #end(): Promise<void> {
    if (!(await this.#append({ isDone: true }))) return;
    this.outcome = 'noted';
    // The last entry stays: by it the lost one learns what has become of it.
    await this.#options.logs.purge(this.#options.life, this.#seq);
  }

  async #catchUp(): Promise<void> {
    const last = await this.#options.logs.last(this.#options.life);
    if (last?.entry.teller !== this.#options.teller) this.outcome = 'taken';
    else this.#seq = last.seq;
    this.#isInDoubt = false;
  }

  async #append(entry: Partial<LogEntry>): Promise<boolean> {
    const { logs, life, teller, last } = this.#options;
    const seq = await logs.append(life, { last, teller, ...entry }, this.#seq);
    if (seq === undefined) this.outcome = 'taken';
    else this.#seq = seq;
    return seq !== undefined;
  }

  #goesOn(): boolean {
    return this.outcome === undefined && !this.#isClosed;
  }
}
