import type { Deps } from '../base/deps.js';
import { type CloseWords, sendClose } from './closing.js';
import type { LiveSession } from './registry.js';

/** How all sessions are let go of. */
export interface DrainPlan extends CloseWords {
  /** Then what is left is cut; 0 = at once. */
  readonly timeoutMs: number;
  /** Over which time the Close frames go out. */
  readonly spreadMs: number;
}

/** Those that are to be let go of, as far as they are open still. */
export interface OpenSessions extends Iterable<LiveSession> {
  readonly size: number;
  has(session: LiveSession): boolean;
}

export interface DrainCounts {
  /** Sent a Close, and not ended yet. */
  readonly told: number;
  /** Their turn is to come. */
  readonly waiting: number;
  /** Without a Close frame, or with frames that are not read: they may end by themselves, or are cut. */
  readonly untold: number;
}

/** How often those are closed whose turn has come. */
const TICK_MS = 20;
/** A few sessions need no long window. */
const MS_PER_SESSION = 100;
/** What is left of the time for the last to answer. */
const LAST_ANSWER_MS = 1000;

/**
 * Sends every session its Close, spread over a window: each has a slot of its own and a random place in it, so that
 * reconnecting clients come evenly, in an order that has nothing to do with when they first came.
 */
export class Drain {
  readonly #registry: OpenSessions;
  readonly #deps: Deps;
  readonly #words: CloseWords;
  readonly #windowEndsMs: number;
  /** The last is the next. */
  #queue: { readonly session: LiveSession; readonly atMs: number }[] = [];
  readonly #untold = new Set<LiveSession>();
  #stopTicking: (() => void) | undefined;

  /** Begins at once. */
  constructor(registry: OpenSessions, deps: Deps, { timeoutMs, spreadMs, code, reason }: DrainPlan) {
    this.#registry = registry;
    this.#deps = deps;
    this.#words = { code, reason };
    const startMs = deps.clock.now();
    const sessions = shuffled([...registry], () => deps.random.float());
    const windowMs = Math.min(
      spreadMs,
      Math.max(0, timeoutMs - LAST_ANSWER_MS),
      sessions.length * MS_PER_SESSION,
    );
    this.#windowEndsMs = startMs + windowMs;
    this.#queue = sessions
      .map((session, slot) => ({
        session,
        atMs: startMs + ((slot + deps.random.float()) / sessions.length) * windowMs,
      }))
      .toReversed();
    this.#closeDue();
  }

  /** One that has opened since: its handshake was under way. */
  add(session: LiveSession): void {
    const nowMs = this.#deps.clock.now();
    const leftMs = Math.max(0, this.#windowEndsMs - nowMs);
    const atMs = nowMs + this.#deps.random.float() * leftMs;
    const before = this.#queue.findIndex((other) => other.atMs <= atMs);
    this.#queue.splice(before === -1 ? this.#queue.length : before, 0, { session, atMs });
    this.#closeDue();
  }

  /** Closes no more. */
  stop(): void {
    this.#queue = [];
    this.#stopTicking?.();
    this.#stopTicking = undefined;
  }

  get counts(): DrainCounts {
    let told = 0;
    let untold = 0;
    for (const session of this.#registry) {
      if (this.#untold.has(session)) untold++;
      else if (session.ownEnd !== undefined) told++;
    }
    return { told, untold, waiting: Math.max(0, this.#registry.size - told - untold) };
  }

  #closeDue(): void {
    const nowMs = this.#deps.clock.now();
    for (let next = this.#queue.at(-1); next !== undefined && next.atMs <= nowMs; next = this.#queue.at(-1)) {
      this.#queue.pop();
      this.#close(next.session);
    }
    if (this.#queue.length === 0) this.stop();
    else this.#stopTicking ??= this.#deps.clock.every(TICK_MS, () => this.#closeDue());
  }

  #close(session: LiveSession): void {
    if (!this.#registry.has(session)) return;
    const isTold = sendClose(session, 'client', this.#words, { outcome: 'drained' });
    if (!isTold) this.#untold.add(session);
  }
}

/** In random order (Fisher and Yates). */
function shuffled<T>(items: T[], random: () => number): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
  return items;
}
