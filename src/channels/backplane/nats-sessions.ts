import type { Deps } from '../../base/deps.js';
import type { BackplaneHandlers, KeptSession } from '../types.js';
import { KeptSessions } from './kept-sessions.js';
import { KEEP_ENTRIES_MS, type NatsLogs, type Survey } from './nats-logs.js';
import type { NatsLink } from './nats-link.js';

export interface NatsSessionsOptions {
  readonly link: NatsLink;
  readonly logs: NatsLogs;
  readonly deps: Deps;
  readonly node: string;
}

export interface NatsSessionsHandlers extends Pick<BackplaneHandlers, 'onOutcast' | 'onTrouble'> {
  /** The log is not as it was left: it is time for `check`. */
  onRefused(): void;
  onNewLife(): void;
}

/** The log of this life, as far as it is known. */
interface Log {
  readonly life: string;
  /** Of the last entry; 0: there is none. */
  seq: number;
  /** Of the last write. */
  number: number;
}

/** Sessions are written again so long after they were, well before their entries go. */
const REWRITE_AFTER_MS = KEEP_ENTRIES_MS / 3;
/** … or behind so many changes beyond twice the number of sessions. */
const REWRITE_AFTER_CHANGES = 2000;
/** A write takes so much at once: others read the last one now and then. */
const MAX_CHARS = 65_536;

/**
 * What this node keeps, in the log of its life. Once somebody has written there that this life is lost, nothing is taken
 * from this node any more: it casts out what it had kept, and goes on with the rest in a new life.
 */
export class NatsSessions {
  readonly #options: NatsSessionsOptions;
  readonly #handlers: NatsSessionsHandlers;
  readonly #kept: KeptSessions;
  #lifeNumber = 1;
  #log: Log;
  #isWriting = false;
  #reading: Promise<unknown> | undefined;
  #changes = 0;
  #rewrittenAtMs: number;
  #mustRewrite = false;
  #isRewriting = false;

  constructor(options: NatsSessionsOptions, handlers: NatsSessionsHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#log = this.#newLog();
    this.#rewrittenAtMs = options.deps.clock.now();
    const { link, logs } = options;
    const store = {
      get isUp() {
        return link.isUp && logs.isOpen;
      },
      maxChars: MAX_CHARS,
      write: (number: number, sessions: readonly KeptSession[], gone: readonly string[]) =>
        this.#write(number, sessions, gone),
    };
    this.#kept = new KeptSessions(store, handlers);
  }

  get life(): string {
    return this.#log.life;
  }

  keep(id: string, record: () => string): void {
    this.#kept.keep(id, record);
  }

  forget(id: string): void {
    this.#kept.forget(id);
  }

  /** Whether the log is as it was left, and what is to be done where not. */
  async check(): Promise<Survey> {
    // A write that is taken says as much.
    if (this.#isWriting) return await this.#options.logs.survey();
    const reading = this.#read();
    this.#reading = reading.catch(() => {}).finally(() => (this.#reading = undefined));
    const { survey, lostAt } = await reading;
    if (lostAt !== undefined) await this.#beginAnew(lostAt);
    else if (this.#isTimeToRewrite()) void this.#rewrite(false);
    return survey;
  }

  /** A node that says goodbye is not lost, unless it has been already. */
  async close(): Promise<void> {
    await this.#kept.close();
    const { logs } = this.#options;
    const { life, seq, number } = this.#log;
    if (seq === 0 || !logs.isOpen) return;
    const bye = await logs.append(life, { last: number, isDone: true }, seq);
    if (bye !== undefined) await logs.purge(life, bye + 1);
  }

  /** @returns `lostAt`: this life is lost, with the number of its last write that was taken. */
  async #read(): Promise<{ survey: Survey; lostAt?: number }> {
    const { logs } = this.#options;
    const log = this.#log;
    const survey = await logs.survey();
    if (!(await this.#isAsLeft(log, survey))) {
      const { seq, entry } = (await logs.last(log.life)) ?? { seq: 0, entry: { last: 0 } };
      if ('teller' in entry) return { survey, lostAt: entry.last };
      const hasForgotten = seq < log.seq;
      log.seq = seq;
      log.number = entry.last;
      this.#kept.settle(entry.last);
      if (hasForgotten) void this.#rewrite(true);
    } else {
      this.#kept.settle(log.number);
    }
    return { survey };
  }

  async #isAsLeft({ life, seq }: Log, { lives, lastSeq }: Survey): Promise<boolean> {
    if (seq === 0 || !lives.has(life)) return seq === 0 && !lives.has(life);
    return lastSeq >= seq && !(await this.#options.logs.hasMore(life, seq));
  }

  async #beginAnew(lostAt: number): Promise<void> {
    this.#lifeNumber++;
    this.#log = this.#newLog();
    this.#changes = 0;
    this.#mustRewrite = false;
    const ids = await this.#kept.castOut(lostAt);
    this.#handlers.onOutcast(ids);
    this.#handlers.onNewLife();
  }

  async #write(number: number, sessions: readonly KeptSession[], gone: readonly string[]): Promise<boolean> {
    const log = this.#log;
    await this.#reading;
    this.#isWriting = true;
    try {
      const fitting = await this.#fitting(sessions);
      const entry = { last: number, sessions: fitting, gone };
      const seq = await this.#options.logs.append(log.life, entry, log.seq);
      if (seq === undefined) return false;
      log.seq = seq;
      log.number = number;
      this.#changes += sessions.length + gone.length;
      return true;
    } finally {
      this.#isWriting = false;
    }
  }

  /** One that is too long for any entry came alone. */
  async #fitting(sessions: readonly KeptSession[]): Promise<readonly KeptSession[]> {
    const [session] = sessions;
    if (sessions.length !== 1 || session!.record.length < MAX_CHARS) return sessions;
    const bytes = Buffer.byteLength(JSON.stringify(session)) + MAX_CHARS;
    if (bytes <= (await this.#options.logs.maxBytes())) return sessions;
    this.#handlers.onTrouble(`session ${session!.id} is not kept: it is longer than what NATS takes at once`);
    return [];
  }

  #isTimeToRewrite(): boolean {
    if (this.#mustRewrite) return true;
    if (this.#log.seq === 0) return false;
    const ageMs = this.#options.deps.clock.now() - this.#rewrittenAtMs;
    return ageMs >= REWRITE_AFTER_MS || this.#changes >= REWRITE_AFTER_CHANGES + 2 * this.#kept.size;
  }

  /**
   * All sessions anew, and without what was written before. Never rejects.
   * @param isAll the server does not have what was written.
   */
  async #rewrite(isAll: boolean): Promise<void> {
    if (this.#isRewriting && !isAll) return;
    this.#isRewriting = true;
    const log = this.#log;
    const { seq } = log;
    this.#changes = 0;
    this.#rewrittenAtMs = this.#options.deps.clock.now();
    try {
      const isWhole = (await this.#kept.rewrite(isAll)) && log === this.#log;
      this.#mustRewrite = !isWhole && log === this.#log;
      if (isWhole && seq > 0) await this.#options.logs.purge(log.life, seq + 1);
    } catch {
      this.#mustRewrite = true;
    } finally {
      this.#isRewriting = false;
    }
  }

  #newLog(): Log {
    return { life: `${this.#options.node}.${this.#lifeNumber}`, seq: 0, number: 0 };
  }
}
