import type { SessionInfo } from '../observe/record.js';
import type { Relay } from '../relay/types.js';

/** A session that is being relayed. */
export interface LiveSession {
  readonly info: SessionInfo;
  readonly relay: Relay;
  /** Grows with every session: the order in which they were opened. */
  readonly number: number;
  /** Set by who sends its client a Close of ours: then it is we who closed it. */
  closing: boolean;
}

/**
 * The open sessions. Node keeps no list of upgraded sockets (`closeAllConnections` does not touch them), so the proxy
 * must. Handshakes under way count too, so that a stop can wait for them.
 */
export class Registry implements Iterable<LiveSession> {
  readonly #sessions = new Map<string, LiveSession>();
  readonly #handshakes = new Set<() => void>();
  #idle: (() => void)[] = [];
  #opened = 0;

  get size(): number {
    return this.#sessions.size;
  }

  get(id: string): LiveSession | undefined {
    return this.#sessions.get(id);
  }

  /** Oldest first. */
  [Symbol.iterator](): Iterator<LiveSession> {
    return this.#sessions.values();
  }

  /** Registers a session; the returned function takes it out again, and says whether it was we who closed it. */
  add({ info, relay }: Pick<LiveSession, 'info' | 'relay'>): () => boolean {
    const session: LiveSession = { info, relay, number: ++this.#opened, closing: false };
    this.#sessions.set(info.id, session);
    return () => {
      this.#sessions.delete(info.id);
      this.#settle();
      return session.closing;
    };
  }

  /** Registers a handshake under way, with what gives it up; the returned function takes it out again. */
  addHandshake(abort: () => void): () => void {
    this.#handshakes.add(abort);
    return () => {
      this.#handshakes.delete(abort);
      this.#settle();
    };
  }

  /** Resolves when nothing is open and no handshake is under way. */
  empty(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle.push(resolve);
      this.#settle();
    });
  }

  /** Ends everything at once. */
  cut(): void {
    for (const abort of [...this.#handshakes]) abort();
    for (const { relay } of [...this.#sessions.values()]) relay.cut();
  }

  #settle(): void {
    if (this.#sessions.size > 0 || this.#handshakes.size > 0) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }
}
