import type { SessionInfo } from '../observe/record.js';
import type { Relay } from '../relay/types.js';
import type { RoutePlan } from '../route/plan.js';

/** How a session has ended when it was we who ended it. */
export interface OwnEnd {
  readonly outcome: 'drained' | 'limit' | 'client-lost' | 'upstream-lost';
  readonly detail?: string;
}

/** A session that is being relayed. */
export interface LiveSession {
  readonly info: SessionInfo;
  readonly relay: Relay;
  /** As it was when the session began. */
  readonly route: RoutePlan;
  /** Grows with every session: the order in which they were opened. */
  readonly number: number;
  /** Set by who ends it, in order or not: it counts unless the peers were first. */
  ownEnd: OwnEnd | undefined;
}

/**
 * The open sessions. Node keeps no list of upgraded sockets (`closeAllConnections` does not touch them), so the proxy
 * must. Handshakes under way count too, so that a stop can wait for them.
 */
export class Registry implements Iterable<LiveSession> {
  readonly #sessions = new Map<string, LiveSession>();
  readonly #handshakes = new Set<() => void>();
  readonly #requests = new Set<() => void>();
  readonly #holds = new Set<() => void>();
  #idle: (() => void)[] = [];
  #opened = 0;

  get size(): number {
    return this.#sessions.size;
  }

  get(id: string): LiveSession | undefined {
    return this.#sessions.get(id);
  }

  /** Whether it is open still. */
  has(session: LiveSession): boolean {
    return this.#sessions.get(session.info.id) === session;
  }

  /** Oldest first. */
  [Symbol.iterator](): Iterator<LiveSession> {
    return this.#sessions.values();
  }

  /** Registers a session, until it is removed. */
  add({ info, relay, route }: Pick<LiveSession, 'info' | 'relay' | 'route'>): LiveSession {
    const session: LiveSession = { info, relay, route, number: ++this.#opened, ownEnd: undefined };
    this.#sessions.set(info.id, session);
    return session;
  }

  /** Takes a session out again: it has ended. */
  remove({ info }: LiveSession): void {
    this.#sessions.delete(info.id);
    this.#settle();
  }

  /** Registers a handshake under way, with what gives it up; the returned function takes it out again. */
  addHandshake(abort: () => void): () => void {
    this.#handshakes.add(abort);
    return () => {
      this.#handshakes.delete(abort);
      this.#settle();
    };
  }

  /**
   * Registers a plain request under way, with what gives it up; the returned function takes it out again. A stop waits
   * for it at its listener.
   */
  addRequest(abort: () => void): () => void {
    this.#requests.add(abort);
    return () => void this.#requests.delete(abort);
  }

  /**
   * Registers a response that is held, with what ends it in order; the returned function takes it out again. It is a
   * request under way too.
   */
  addHold(end: () => void): () => void {
    this.#holds.add(end);
    return () => void this.#holds.delete(end);
  }

  /** What ends each response that is held now; safe to call when it has ended by itself. */
  get holds(): readonly (() => void)[] {
    return [...this.#holds];
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
    for (const abort of [...this.#handshakes, ...this.#requests]) abort();
    for (const { relay } of [...this.#sessions.values()]) relay.cut();
  }

  #settle(): void {
    if (this.#sessions.size > 0 || this.#handshakes.size > 0) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }
}
