import { randomBytes } from 'node:crypto';
import type { Deps } from '../base/deps.js';
import { formatDuration } from '../base/units.js';
import { writeFrame } from '../protocol/frames/writer.js';
import type { RelaySideName } from '../relay/types.js';
import type { PingPlan, WebSocketPlan } from '../route/plan.js';
import { sendClose } from './closing.js';
import type { LiveSession } from './registry.js';

/** How often all sessions are looked at: one timer for all. Silence is known no better than to a second. */
const SWEEP_MS = 1000;
/** How long a session may take to end by Close frames where its route sets no time. */
const CLOSE_TIMEOUT_MS = 5000;
/** For the sweeps on both sides. */
const SLACK_MS = 2 * SWEEP_MS;
const GOING_AWAY = 1001;
const PING = 9;

/** How long a session may live: `maxAge`, less a random part of its jitter; 0 = for ever. */
export function drawAge(
  { maxAgeMs, maxAgeJitter }: Pick<WebSocketPlan, 'maxAgeMs' | 'maxAgeJitter'>,
  random: number,
): number {
  if (maxAgeMs === 0) return 0;
  return Math.max(1, Math.round(maxAgeMs * (1 - maxAgeJitter * random)));
}

/** How long ending a session by Close frames may take; a relay that ends it by itself must wait for that. */
export function closingTimeMs({ closeTimeoutMs }: Pick<WebSocketPlan, 'closeTimeoutMs'>): number {
  return (closeTimeoutMs === 0 ? CLOSE_TIMEOUT_MS : closeTimeoutMs) + SLACK_MS;
}

export interface Watched {
  readonly session: LiveSession;
  readonly plan: WebSocketPlan;
  /** Whether its frames are those of RFC 6455, and read: then it can be pinged. */
  readonly hasPings: boolean;
  /** 0 = it may grow as old as it likes. */
  readonly ageMs: number;
}

/**
 * Keeps an eye on the sessions that want it: asks silent sides whether they are there, ends what is dead and what is too
 * old. One sweep for all, which passes over whoever has nothing due.
 */
export class Liveness {
  readonly #deps: Deps;
  readonly #watches = new Set<Watch>();
  #stopSweep: (() => void) | undefined;

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  /** Watches a session; the returned function ends that. */
  watch(watched: Watched): () => void {
    if (watched.ageMs === 0 && !(watched.hasPings && watched.plan.ping !== undefined)) return nothing;
    const watch = new Watch(watched, this.#deps);
    this.#watches.add(watch);
    this.#stopSweep ??= this.#deps.clock.every(SWEEP_MS, () => this.#sweep());
    return () => this.#forget(watch);
  }

  #sweep(): void {
    const nowMs = this.#deps.clock.now();
    for (const watch of this.#watches) if (watch.dueAtMs <= nowMs) watch.look(nowMs);
  }

  #forget(watch: Watch): void {
    this.#watches.delete(watch);
    if (this.#watches.size > 0) return;
    this.#stopSweep?.();
    this.#stopSweep = undefined;
  }
}

/** One session under watch. */
class Watch {
  dueAtMs: number;
  readonly #session: LiveSession;
  readonly #plan: WebSocketPlan;
  readonly #oldAtMs: number;
  readonly #sides: readonly SideWatch[];
  /** When a Close of ours has had its time. */
  #cutAtMs = Infinity;

  constructor({ session, plan, hasPings, ageMs }: Watched, { clock }: Deps) {
    const nowMs = clock.now();
    this.#session = session;
    this.#plan = plan;
    this.#oldAtMs = ageMs === 0 ? Infinity : nowMs + ageMs;
    const { ping } = plan;
    this.#sides = hasPings && ping !== undefined ? ping.sides.map((side) => new SideWatch(side, ping)) : [];
    this.dueAtMs = Math.min(this.#oldAtMs, this.#sides.length === 0 ? Infinity : nowMs + ping!.intervalMs);
  }

  look(nowMs: number): void {
    if (this.#cutAtMs <= nowMs) {
      this.#session.relay.cut();
      this.dueAtMs = Infinity;
      return;
    }
    this.dueAtMs = Math.min(this.#cutAtMs, this.#oldAtMs);
    if (this.#cutAtMs < Infinity) return;
    for (const side of this.#sides) {
      const dueAtMs = side.look(this.#session, nowMs);
      if (dueAtMs === 'lost') return this.#end(side.name, nowMs);
      this.dueAtMs = Math.min(this.dueAtMs, dueAtMs);
    }
    if (this.#oldAtMs <= nowMs) this.#retire(nowMs);
  }

  /** The other side is told, as far as it can be; what follows is an ordinary close. */
  #end(lost: RelaySideName, nowMs: number): void {
    const { timeoutMs } = this.#plan.ping!;
    const detail = `no answer to a ping within ${formatDuration(timeoutMs)}`;
    const why = { outcome: `${lost}-lost`, detail } as const;
    const other = lost === 'client' ? 'upstream' : 'client';
    const words = { code: GOING_AWAY, reason: `${lost} lost` };
    if (sendClose(this.#session, other, words, why)) {
      this.#waitForEnd(nowMs);
    } else {
      this.#session.ownEnd ??= why;
      this.#session.relay.cut();
    }
  }

  /** One that cannot be told is ended by the relay, a little later. */
  #retire(nowMs: number): void {
    const words = { code: GOING_AWAY, reason: 'maximum age reached' };
    const isTold = sendClose(this.#session, 'client', words, { outcome: 'limit', detail: 'maxAge reached' });
    if (isTold) this.#waitForEnd(nowMs);
    else this.dueAtMs = Infinity;
  }

  #waitForEnd(nowMs: number): void {
    this.#cutAtMs = nowMs + closingTimeMs(this.#plan);
    this.dueAtMs = this.#cutAtMs;
  }
}

/** A ping that has been sent, or will be at the next boundary. */
interface Question {
  atMs: number;
  /** What had come from the side that is asked. */
  readonly heardBytes: number;
  /** What had gone to it. */
  sentBytes: number;
  readonly sentMessages: number | undefined;
  /** Whether a boundary has passed for sure, and the ping with it. */
  isOut: boolean;
}

/** One side that is asked now and then. */
class SideWatch {
  readonly name: RelaySideName;
  readonly #plan: PingPlan;
  #question: Question | undefined;

  constructor(name: RelaySideName, plan: PingPlan) {
    this.name = name;
    this.#plan = plan;
  }

  /** Returns when to look again. */
  look({ relay }: LiveSession, nowMs: number): number | 'lost' {
    const { intervalMs, timeoutMs } = this.#plan;
    const isClient = this.name === 'client';
    const heard = isClient ? relay.fromClient : relay.fromUpstream;
    const sent = isClient ? relay.fromUpstream : relay.fromClient;
    if (this.#question !== undefined && heard.bytes !== this.#question.heardBytes) this.#question = undefined;
    if (this.#question !== undefined) {
      const question = this.#question;
      this.#wait(question, sent.bytes, sent.messages, nowMs);
      return nowMs - question.atMs >= timeoutMs ? 'lost' : nowMs;
    }
    if (heard.silentMs < intervalMs) return nowMs + intervalMs - heard.silentMs;
    // Four bytes that no other ping has, so that the pongs to the peers’ own pings are not taken for ours.
    const ping = writeFrame({
      opcode: PING,
      payload: randomBytes(4),
      mask: isClient ? undefined : randomBytes(4),
    });
    // Frames are not read any more, or the tunnel has ended.
    if (!relay.inject(this.name, 'ping', ping)) return Infinity;
    this.#question = {
      atMs: nowMs,
      heardBytes: heard.bytes,
      sentBytes: sent.bytes,
      sentMessages: sent.messages,
      isOut: false,
    };
    return nowMs;
  }

  /**
   * A ping has to wait for the end of the frame that is on its way to this side. As long as that frame moves, the side
   * takes it, and nothing can be said against its silence.
   */
  #wait(question: Question, sentBytes: number, sentMessages: number | undefined, nowMs: number): void {
    if (question.isOut || sentBytes === question.sentBytes) return;
    question.isOut = sentMessages !== question.sentMessages;
    question.sentBytes = sentBytes;
    question.atMs = nowMs;
  }
}

function nothing(): void {}
