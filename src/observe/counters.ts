import type { Events } from './events.js';
import type { AccessRecord, Outcome } from './record.js';

/** Counts by name; names that never occurred are absent. */
export type Counts = Readonly<Record<string, number>>;

/** Sessions of one route, or of all. */
export interface SessionCounts {
  /** Ever opened, open ones included. */
  readonly opened: number;
  /** Ended ones, by outcome. */
  readonly outcomes: Counts;
  /** Messages that were lost to slow clients, of ended ones. */
  readonly messagesDropped: number;
}

interface RouteCounts {
  opened: number;
  readonly outcomes: Tally;
  messagesDropped: number;
}

export interface BackplaneCounts {
  readonly isUp: boolean;
  /** How often the link was lost. */
  readonly linksLost: number;
  /** How often messages of other nodes may have been missed, and how many, as far as that is known. */
  readonly gaps: number;
  readonly messagesMissed: number;
  /** Lost nodes that were told of here, and their sessions. */
  readonly nodesLost: number;
  readonly sessionsTold: number;
  /** Sessions of this node that others have told of, because it was out of touch. */
  readonly sessionsOutcast: number;
}

/**
 * What has happened since the start, counted from the events of a proxy. Names are route ids, outcomes, error codes and
 * status classes: none comes from a client, so there are never more of them than the configuration and the error table
 * have.
 */
export class Counters {
  /** Handshakes refused, or failed before the switch, by error code. */
  readonly refusedHandshakes = new Tally();
  /** Finished plain requests, by status class: `2xx`. */
  readonly requestStatuses = new Tally();
  /** Those of them that failed, by error code. */
  readonly failedRequests = new Tally();
  /** Of what this node has heard of others; `isUp` as of the last change. */
  readonly backplane: { -readonly [K in keyof BackplaneCounts]: BackplaneCounts[K] } = {
    isUp: true,
    linksLost: 0,
    gaps: 0,
    messagesMissed: 0,
    nodesLost: 0,
    sessionsTold: 0,
    sessionsOutcast: 0,
  };
  readonly #routes = new Map<string, RouteCounts>();
  #answeredHandshakes = 0;
  #failedTls = 0;

  /** Counts from now on. */
  constructor(events: Pick<Events, 'on'>) {
    events.on('session.opened', ({ route }) => void this.#route(route).opened++);
    events.on('session.closed', ({ outcome, messagesDropped = 0 }, { route }) => {
      const counts = this.#route(route);
      counts.outcomes.add(outcome ?? 'failed(INTERNAL)');
      counts.messagesDropped += messagesDropped;
    });
    events.on('request.finished', (record) => this.#countRequest(record));
    events.on('tls.failed', () => void this.#failedTls++);
    const { backplane } = this;
    events.on('backplane.link', (state) => {
      if (state === 'down') backplane.linksLost++;
      backplane.isUp = state === 'up';
    });
    events.on('backplane.gap', (_, missed = 0) => {
      backplane.gaps++;
      backplane.messagesMissed += missed;
    });
    events.on('node.lost', (_, sessions) => {
      backplane.nodesLost++;
      backplane.sessionsTold += sessions;
    });
    events.on('node.outcast', (sessions) => void (backplane.sessionsOutcast += sessions));
  }

  /** Handshakes that the server answered with plain HTTP instead of a switch. */
  get answeredHandshakes(): number {
    return this.#answeredHandshakes;
  }

  /** Connections that came to nothing in their TLS handshake. Their reasons are clients’ doing, so they have no names. */
  get failedTls(): number {
    return this.#failedTls;
  }

  sessionsOf(route: string): SessionCounts {
    const { opened, outcomes, messagesDropped } = this.#routes.get(route) ?? nothingYet();
    return { opened, outcomes: outcomes.counts, messagesDropped };
  }

  /** Of all routes, those included that are gone. */
  get sessions(): SessionCounts {
    let opened = 0;
    let messagesDropped = 0;
    const outcomes = new Tally();
    for (const route of this.#routes.values()) {
      opened += route.opened;
      messagesDropped += route.messagesDropped;
      for (const [outcome, count] of Object.entries(route.outcomes.counts)) outcomes.add(outcome, count);
    }
    return { opened, outcomes: outcomes.counts, messagesDropped };
  }

  #countRequest(record: AccessRecord): void {
    const code = errorCodeOf(record.outcome);
    // A handshake that could not be read has no generation, but its error says what it was to be.
    const isHandshake = record.generation !== undefined || code?.startsWith('HANDSHAKE_') === true;
    if (isHandshake) {
      if (code === undefined) this.#answeredHandshakes++;
      else this.refusedHandshakes.add(code);
      return;
    }
    this.requestStatuses.add(`${Math.trunc(record.status / 100)}xx`);
    if (code !== undefined) this.failedRequests.add(code);
  }

  #route(id: string): RouteCounts {
    let route = this.#routes.get(id);
    if (route === undefined) this.#routes.set(id, (route = nothingYet()));
    return route;
  }
}

function nothingYet(): RouteCounts {
  return { opened: 0, outcomes: new Tally(), messagesDropped: 0 };
}

/** Counts by name. */
export class Tally {
  readonly #counts = new Map<string, number>();

  add(name: string, count = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
  }

  get counts(): Counts {
    return Object.fromEntries(this.#counts);
  }
}

function errorCodeOf(outcome: Outcome | undefined): string | undefined {
  return /^failed\((.*)\)$/.exec(outcome ?? '')?.[1];
}
