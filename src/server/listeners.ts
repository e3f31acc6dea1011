import type { Deps } from '../base/deps.js';
import { type Listener, openListener } from '../net/listener.js';
import type { NativeDoor } from '../net/native-door.js';
import type { ListenerPlan } from '../net/plan.js';
import type { ClientHandlers } from '../net/types.js';
import type { Events } from '../observe/events.js';
import { Logbook } from '../session/logbook.js';
import { AcmeCertificates } from './acme-certificates.js';

/** Listeners that are open and wait for the moment that everything else is ready for them. */
export interface Prepared {
  /** From now on it is they who listen: those that stay have their new options, those that are gone are closed. */
  take(): void;
  /** Closes again what was opened. */
  giveUp(): void;
}

/** A listener that could not be opened; `cause` is Node’s error. */
export class ListenFailure extends Error {
  override readonly name = 'ListenFailure';
  /** Its place in the list. */
  readonly index: number;

  constructor(index: number, cause: unknown) {
    super('a listener could not be opened', { cause });
    this.index = index;
  }
}

/** The listeners of a proxy, which may come, change and go. */
export class Listeners implements Iterable<Listener> {
  readonly #handlers: ClientHandlers;
  readonly #openDoor: () => NativeDoor | undefined;
  readonly #acme: AcmeCertificates;
  #open: { readonly plan: ListenerPlan; readonly listener: Listener }[] = [];
  /** Closed, but not empty yet. */
  readonly #leaving = new Map<Listener, Promise<void>>();

  constructor(handlers: ClientHandlers, openDoor: () => NativeDoor | undefined, deps: Deps, events: Events) {
    this.#openDoor = openDoor;
    this.#acme = new AcmeCertificates(deps, events, () => this.#renew());
    this.#handlers = withChallenges(handlers, this.#acme, deps, events);
  }

  [Symbol.iterator](): Iterator<Listener> {
    return this.#open.map(({ listener }) => listener).values();
  }

  /**
   * Opens what is not open yet. Clients are accepted there at once, and served after `take`.
   *
   * @throws ListenFailure when one cannot be opened; the others are closed again.
   */
  async prepare(plans: readonly ListenerPlan[]): Promise<Prepared> {
    const door = plans.length === 0 ? undefined : this.#openDoor();
    const waiting = new WaitingClients(this.#handlers);
    const settled = await Promise.allSettled(
      plans.map(async (plan) => {
        const known = this.#open.find(({ plan: other }) => isSameAddress(plan, other));
        if (known !== undefined) return { plan, listener: known.listener };
        const complete = this.#acme.complete(plan);
        return { plan, listener: await openListener(complete, waiting.handlers, door) };
      }),
    );
    const next = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const isOpen = new Set<Listener>(this);
    const giveUp = (): void => {
      waiting.refuse();
      for (const { listener } of next) if (!isOpen.has(listener)) shut(listener);
    };
    const failed = settled.findIndex((each) => each.status === 'rejected');
    if (failed !== -1) {
      giveUp();
      throw new ListenFailure(failed, (settled[failed] as PromiseRejectedResult).reason);
    }
    return {
      giveUp,
      take: () => {
        const stays = new Set(next.map(({ listener }) => listener));
        const gone = [...this].filter((listener) => !stays.has(listener));
        this.#open = next;
        this.#renew();
        for (const listener of gone) this.#let(listener);
        waiting.serve();
        this.#acme.follow(plans);
      },
    };
  }

  /** Takes no more connections; resolves when every HTTP connection has ended, those of former listeners too. */
  async close(): Promise<void> {
    for (const listener of this) this.#let(listener);
    await Promise.all([...this.#leaving.values(), this.#acme.close()]);
  }

  /** Cuts what HTTP connections are left. */
  cut(): void {
    for (const listener of this.#leaving.keys()) listener.cut();
  }

  /** Brings what they do up to date: with their plans, and with the certificates that are there. */
  #renew(): void {
    for (const { plan, listener } of this.#open) listener.update(this.#acme.complete(plan));
  }

  #let(listener: Listener): void {
    if (this.#leaving.has(listener)) return;
    const closed = listener.close().then(() => void this.#leaving.delete(listener));
    this.#leaving.set(listener, closed);
  }
}

/** Answers, before all others, the authorities that look for a challenge (HTTP-01). */
function withChallenges(
  handlers: ClientHandlers,
  { challenges }: AcmeCertificates,
  { clock }: Deps,
  events: Events,
): ClientHandlers {
  return {
    ...handlers,
    challenges,
    onRequest: (head, req, res, peer) => {
      if (!challenges.awaitsHttp || !challenges.answer(head.method, head.target, res)) {
        handlers.onRequest(head, req, res, peer);
        return;
      }
      events.emit('request.finished', new Logbook(head, peer, clock).note({ status: 200 }).close());
    },
  };
}

/** Any free port is the same as long as its place in the list is. */
function isSameAddress(a: ListenerPlan, b: ListenerPlan): boolean {
  const isSamePath = a.unix?.socketPath === b.unix?.socketPath;
  return a.id === b.id && a.host === b.host && a.port === b.port && isSamePath;
}

function shut(listener: Listener): void {
  listener.close().catch(() => {});
  listener.cut();
}

/** Holds back what comes in at listeners that are open too early. */
class WaitingClients {
  readonly handlers: ClientHandlers;
  #waiting: { readonly handle: () => void; readonly refuse: () => void }[] | undefined = [];

  constructor(handlers: ClientHandlers) {
    const later =
      <T extends unknown[]>(handle: (...args: T) => void, refuse: (...args: T) => void) =>
      (...args: T): void => {
        if (this.#waiting === undefined) handle(...args);
        else this.#waiting.push({ handle: () => handle(...args), refuse: () => refuse(...args) });
      };
    this.handlers = {
      ...handlers,
      takesWebSockets: () => handlers.takesWebSockets(),
      onRequest: later(
        (head, req, res, peer) => handlers.onRequest(head, req, res, peer),
        (_head, req) => req.socket.destroy(),
      ),
      onUpgrade: later(
        (arrival) => handlers.onUpgrade(arrival),
        ({ socket }) => socket.on('error', () => {}).destroy(),
      ),
      // Its bytes cannot wait, and it comes again as one of the others.
      onVisit: (...args) => this.#waiting === undefined && handlers.onVisit(...args),
      onRefused: (...args) => handlers.onRefused(...args),
      onTlsFailed: (...args) => handlers.onTlsFailed(...args),
      onExhausted: (...args) => handlers.onExhausted(...args),
    };
  }

  serve(): void {
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const { handle } of waiting) handle();
  }

  refuse(): void {
    for (const { refuse } of this.#waiting ?? []) refuse();
    this.#waiting = [];
  }
}
