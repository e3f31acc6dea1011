import type { KeptSession } from '../types.js';

/** Where sessions are kept. */
export interface SessionStore {
  readonly isUp: boolean;
  /** So many characters of ids and records go with one write, though always one session; absent: no matter. */
  readonly maxChars?: number;
  /**
   * Both at once, under a number that is greater than all before. Resolves with false where it was not taken, as this
   * node has been judged lost; rejects where nobody knows whether it was.
   */
  write(number: number, sessions: readonly KeptSession[], gone: readonly string[]): Promise<boolean>;
}

export interface KeptSessionsHandlers {
  /** A write was not taken: this node has been judged lost. */
  onRefused(): void;
  onTrouble(detail: string): void;
}

/** So many sessions are written at once. */
const AT_ONCE = 500;

interface Kept {
  record: () => string;
  /** The first write that carried it, in whatever the server has; undefined: it cannot know of it. */
  sentIn: number | undefined;
}

/**
 * The sessions of this node, and what of them the server has yet to hear. One write at a time: what changes meanwhile
 * goes with the next. Writes are numbered, so that of each session it is known whether the server has it.
 */
export class KeptSessions {
  readonly #store: SessionStore;
  readonly #handlers: KeptSessionsHandlers;
  readonly #kept = new Map<string, Kept>();
  /** Not written since it was kept. */
  readonly #changed = new Set<string>();
  /** Forgotten here, but not there. */
  readonly #gone = new Set<string>();
  /** Told of by another, and not yet forgotten here. */
  readonly #outcasts = new Set<string>();
  #lastNumber = 0;
  #flushing: Promise<void> | undefined;
  /** The last write may have been taken or not: nothing more is written until that is settled. */
  #isInDoubt = false;
  #isInTrouble = false;
  #isClosed = false;

  constructor(store: SessionStore, handlers: KeptSessionsHandlers) {
    this.#store = store;
    this.#handlers = handlers;
  }

  get size(): number {
    return this.#kept.size;
  }

  keep(id: string, record: () => string): void {
    if (this.#outcasts.has(id)) return;
    const kept = this.#kept.get(id);
    if (kept === undefined) this.#kept.set(id, { record, sentIn: undefined });
    else kept.record = record;
    this.#gone.delete(id);
    this.#changed.add(id);
    this.flush();
  }

  forget(id: string): void {
    if (this.#outcasts.delete(id)) return;
    const kept = this.#kept.get(id);
    if (kept === undefined) return;
    this.#kept.delete(id);
    this.#changed.delete(id);
    if (kept.sentIn === undefined) return;
    this.#gone.add(id);
    this.flush();
  }

  /** The server may have lost the last writes, or, with `isAll`, knows of nothing. */
  writeAgain(isAll: boolean): void {
    for (const [id, kept] of this.#kept) {
      if (isAll) kept.sentIn = undefined;
      this.#changed.add(id);
    }
    if (isAll) this.#gone.clear();
    this.flush();
  }

  /** As `writeAgain`; resolves with whether all that is kept has been written since. */
  async rewrite(isAll: boolean): Promise<boolean> {
    this.writeAgain(isAll);
    await this.#flushing;
    return this.#changed.size === 0 && !this.#isInDoubt && !this.#isClosed;
  }

  /** What has not been written, as far as it can be: now, or never without another word. */
  flush(): void {
    if (this.#flushing !== undefined || !this.#canWrite()) return;
    // All that changes in this turn goes with one write.
    this.#flushing = Promise.resolve().then(() => this.#flush());
  }

  /** @param last the last write that the server has taken. */
  settle(last: number): void {
    if (this.#isInDoubt && this.#flushing === undefined) {
      this.#neverSentAfter(last);
      this.#isInDoubt = false;
    }
    this.flush();
  }

  /**
   * To others this node has died with all that it had written up to `last`. They are kept no more; the rest is to be
   * written anew.
   * @returns their ids.
   */
  async castOut(last: number): Promise<readonly string[]> {
    this.#isInDoubt = true;
    await this.#flushing;
    this.#neverSentAfter(last);
    const ids = [...this.#kept].filter(([, { sentIn }]) => sentIn !== undefined).map(([id]) => id);
    for (const id of ids) {
      this.#kept.delete(id);
      this.#changed.delete(id);
      this.#outcasts.add(id);
    }
    this.#gone.clear();
    this.#isInDoubt = false;
    this.writeAgain(true);
    return ids;
  }

  /** Resolves when no write is under way, nor will be again. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#flushing;
  }

  #canWrite(): boolean {
    const isNeeded = this.#changed.size > 0 || this.#gone.size > 0;
    return isNeeded && this.#store.isUp && !this.#isInDoubt && !this.#isClosed;
  }

  async #flush(): Promise<void> {
    while (this.#canWrite()) await this.#writeSome();
    this.#flushing = undefined;
  }

  async #writeSome(): Promise<void> {
    const number = ++this.#lastNumber;
    const { maxChars = Infinity } = this.#store;
    const changed: string[] = [];
    const gone = firstOf(this.#gone, AT_ONCE);
    try {
      const sessions: KeptSession[] = [];
      let chars = 0;
      for (const id of this.#changed) {
        const kept = this.#kept.get(id)!;
        const record = kept.record();
        chars += id.length + record.length;
        if (sessions.length === AT_ONCE || (chars > maxChars && sessions.length > 0)) break;
        this.#changed.delete(id);
        changed.push(id);
        kept.sentIn ??= number;
        sessions.push({ id, record });
      }
      const isTaken = await this.#store.write(number, sessions, gone);
      this.#isInTrouble = false;
      if (isTaken) return;
      this.#handlers.onRefused();
    } catch (error) {
      if (this.#store.isUp && !this.#isInTrouble) {
        this.#isInTrouble = true;
        this.#handlers.onTrouble(`sessions are not kept for now: ${(error as Error).message}`);
      }
    }
    this.#isInDoubt = true;
    for (const id of changed) if (this.#kept.has(id)) this.#changed.add(id);
    for (const id of gone) this.#gone.add(id);
  }

  #neverSentAfter(last: number): void {
    for (const kept of this.#kept.values()) if ((kept.sentIn ?? 0) > last) kept.sentIn = undefined;
  }
}

/** Takes them out. */
function firstOf(set: Set<string>, most: number): string[] {
  const first: string[] = [];
  for (const each of set) {
    if (first.length === most) break;
    first.push(each);
    set.delete(each);
  }
  return first;
}
