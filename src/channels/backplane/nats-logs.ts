import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import { missingPackage } from '../../base/missing-package.js';
import type { KeptSession } from '../types.js';
import type { NatsLink } from './nats-link.js';

/** What is written to the log of a life, which says what is kept of it: each entry adds to those before. */
export interface LogEntry {
  /** The number of the last write of the node itself, whoever writes this. */
  readonly last: number;
  readonly sessions?: readonly KeptSession[];
  /** Ids of those that are no more, or have been told of. */
  readonly gone?: readonly string[];
  /** The node that tells of it: this life is lost. */
  readonly teller?: string;
  /** Nothing is left to tell. */
  readonly isDone?: true;
}

export interface Logged {
  readonly seq: number;
  readonly entry: LogEntry;
}

/** All logs at a glance. */
export interface Survey {
  readonly lives: ReadonlySet<string>;
  /** The last number that the server has given to an entry. */
  readonly lastSeq: number;
}

export interface NatsLogsOptions {
  readonly link: NatsLink;
  /** What all names on the server begin with. */
  readonly prefix: string;
  /** How long the server has to answer. */
  readonly timeoutMs: number;
}

/** An entry stays so long, whatever comes; who lives writes its sessions again before. */
export const KEEP_ENTRIES_MS = 24 * 3_600_000;

const PACKAGE = '@nats-io/jetstream';
const READ_AT_ONCE = 1000;
/** Codes of errors of JetStream. */
const NO_STREAM = 10059;
const WRONG_LAST_SEQUENCE = 10071;

/**
 * A log for each life of each node, in one stream of JetStream. Who writes names the entry that it takes for the last,
 * and is refused where that is another: so whoever takes over a life keeps all others from writing to it.
 */
export class NatsLogs {
  readonly #options: NatsLogsOptions;
  readonly #stream: string;
  #manager: JetStreamManager | undefined;
  #client: JetStreamClient | undefined;
  #problem = 'JetStream has not been asked for yet';

  constructor(options: NatsLogsOptions) {
    this.#options = options;
    this.#stream = `${options.prefix.replaceAll('.', '_')}_kept`;
  }

  get isOpen(): boolean {
    return this.#client !== undefined;
  }

  /** Why it is not open, in one line. */
  get problem(): string {
    return this.#problem;
  }

  /** Never rejects: it is open then, or has a problem. */
  async open(): Promise<void> {
    const missing = missingPackage(PACKAGE);
    if (missing !== undefined) {
      this.#problem = `that ${missing}`;
      return;
    }
    const { link, timeoutMs: timeout } = this.#options;
    try {
      const { jetstreamManager } = await import('@nats-io/jetstream');
      this.#manager = await link.use((connection) => jetstreamManager(connection, { timeout }));
      await this.#ensureStream();
      this.#client = this.#manager.jetstream();
    } catch (error) {
      const { name, message } = error as Error;
      const isOff = name === 'JetStreamNotEnabled';
      this.#problem = isOff
        ? `NATS at ${link.where} has no JetStream, which \`nats-server -js\` turns on`
        : `JetStream of NATS at ${link.where}: ${message}`;
    }
  }

  /** @returns its number; undefined: refused, as the last entry is not the one of number `after` (0: there is none). */
  async append(life: string, entry: LogEntry, after: number): Promise<number | undefined> {
    const expect = { lastSubjectSequence: after };
    const text = JSON.stringify(entry);
    const subject = this.#subject(life);
    try {
      return (await this.#options.link.use(() => this.#client!.publish(subject, text, { expect }))).seq;
    } catch (error) {
      if (codeOf(error) === WRONG_LAST_SEQUENCE) return undefined;
      throw error;
    }
  }

  /** How long an entry may be. */
  async maxBytes(): Promise<number> {
    return await this.#options.link.use(async (connection) => connection.info?.max_payload ?? Infinity);
  }

  async last(life: string): Promise<Logged | undefined> {
    return await this.#message({ last_by_subj: this.#subject(life) });
  }

  async hasMore(life: string, after: number): Promise<boolean> {
    return (await this.#message({ seq: after + 1, next_by_subj: this.#subject(life) })) !== undefined;
  }

  async survey(): Promise<Survey> {
    const all = this.#subject('>');
    try {
      const { state } = await this.#ask((manager) =>
        manager.streams.info(this.#stream, { subjects_filter: all }),
      );
      const lives = Object.keys(state.subjects ?? {}).map((subject) => subject.slice(all.length - 1));
      return { lives: new Set(lives), lastSeq: state.last_seq };
    } catch (error) {
      if (codeOf(error) !== NO_STREAM) throw error;
      await this.#ensureStream();
      return { lives: new Set(), lastSeq: 0 };
    }
  }

  /** What is kept of a life, up to the entry of that number, all at once. Rejects where it is not all there. */
  async read(life: string, upTo: number): Promise<KeptSession[]> {
    return await this.#options.link.use(() => this.#read(life, upTo));
  }

  /** Without its entries below the number. */
  async purge(life: string, below: number): Promise<void> {
    await this.#ask((manager) =>
      manager.streams.purge(this.#stream, { filter: this.#subject(life), seq: below }),
    );
  }

  async #read(life: string, upTo: number): Promise<KeptSession[]> {
    const kept = new Map<string, KeptSession>();
    const consumer = await this.#client!.consumers.get(this.#stream, {
      filter_subjects: this.#subject(life),
    });
    try {
      for (let at = 0; at < upTo;) {
        const before = at;
        const expires = Math.max(this.#options.timeoutMs, 1000);
        for await (const message of await consumer.fetch({ max_messages: READ_AT_ONCE, expires })) {
          at = message.seq;
          const { sessions = [], gone = [] } = message.json<LogEntry>();
          for (const session of sessions) kept.set(session.id, session);
          for (const id of gone) kept.delete(id);
          if (at >= upTo) break;
        }
        if (at === before) throw new Error(`JetStream did not give the end of the log of ${life}`);
      }
    } finally {
      // The server ends it by itself, if need be.
      consumer.delete().catch(() => {});
    }
    return [...kept.values()];
  }

  async #message(query: { last_by_subj: string } | { seq: number; next_by_subj: string }) {
    const message = await this.#ask((manager) => manager.streams.getMessage(this.#stream, query));
    return message === null ? undefined : { seq: message.seq, entry: message.json<LogEntry>() };
  }

  /** One that is there stays as it is: it may have been made to live on several servers. */
  async #ensureStream(): Promise<void> {
    try {
      await this.#ask((manager) => manager.streams.info(this.#stream));
    } catch (error) {
      if (codeOf(error) !== NO_STREAM) throw error;
      const config = {
        name: this.#stream,
        subjects: [this.#subject('>')],
        max_age: KEEP_ENTRIES_MS * 1_000_000,
        description: 'Tidegate: sessions of its nodes, for when one is lost',
      };
      await this.#ask((manager) => manager.streams.add(config));
    }
  }

  #ask<T>(task: (manager: JetStreamManager) => Promise<T>): Promise<T> {
    return this.#options.link.use(() => task(this.#manager!));
  }

  #subject(life: string): string {
    return `${this.#options.prefix}.kept.${life}`;
  }
}

function codeOf(error: unknown): unknown {
  return (error as { readonly code?: unknown }).code;
}
