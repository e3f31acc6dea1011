import type { AccessRecord, OpenSession, SessionInfo } from '../../observe/record.js';
import type { GatewayExchange } from './gateway-backend.js';
import type { EventStream } from './sse.js';

/** The path of the feed itself, which is left out, lest it report on its own reading. */
export const FEED_PATH = '/demo/events';

/** Finished sessions and requests that are kept for pages opened later, of each kind. */
const KEPT_RECORDS = 60;
/** What went over HTTP for the gateway's chat, kept likewise. */
const KEPT_EXCHANGES = 20;
/** Events leave in batches of so long, not one by one. */
const BATCH_INTERVAL_MS = 100;
/** A batch has no more events than this; the oldest give way and are counted in `left`. */
const MAX_BATCH_EVENTS = 200;

/** How often pages hear what the open sessions have carried. */
const COUNTS_INTERVAL_MS = 1000;

/** What a page is told. */
type FeedEvent =
  | { type: 'opened'; session: SessionInfo }
  | { type: 'closed'; id: string; record: AccessRecord }
  | { type: 'request'; id: string; record: AccessRecord };

/** Tells pages what the proxy saw: first a snapshot, then batches of events as they happen. */
export class EventFeed {
  readonly #open = new Map<string, SessionInfo>();
  readonly #closed: FeedEvent[] = [];
  readonly #requests: FeedEvent[] = [];
  readonly #exchanges: GatewayExchange[] = [];
  readonly #readers = new Set<EventStream>();
  readonly #totals = { sessions: 0, requests: 0 };
  #batch: FeedEvent[] = [];
  #left = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #sessions: () => readonly OpenSession[];
  readonly #counting: NodeJS.Timeout;
  #lastCounts = '';

  /** @param sessions the open sessions of the proxy. */
  constructor(sessions: () => readonly OpenSession[]) {
    this.#sessions = sessions;
    this.#counting = setInterval(() => this.#tellCounts(), COUNTS_INTERVAL_MS).unref();
  }

  stop(): void {
    clearInterval(this.#counting);
    clearTimeout(this.#timer);
  }

  sessionOpened(session: SessionInfo): void {
    this.#open.set(session.id, session);
    this.#totals.sessions++;
    this.#tell({ type: 'opened', session });
  }

  sessionClosed(record: AccessRecord, session: SessionInfo): void {
    this.#open.delete(session.id);
    const event: FeedEvent = { type: 'closed', id: session.id, record };
    keep(this.#closed, event);
    this.#tell(event);
  }

  requestFinished(record: AccessRecord): void {
    if (record.path === FEED_PATH) return;
    const event: FeedEvent = { type: 'request', id: `r${++this.#totals.requests}`, record };
    keep(this.#requests, event);
    this.#tell(event);
  }

  /** What Tidegate and the backend of the gateway's chat have said to each other. */
  exchanged(exchange: GatewayExchange): void {
    keep(this.#exchanges, exchange, KEPT_EXCHANGES);
    for (const reader of this.#readers) reader.send('exchange', exchange);
  }

  /** Sends the snapshot, and what happens from then on, until the reader goes. */
  read(stream: EventStream): void {
    this.#flush();
    stream.send('snapshot', {
      open: [...this.#open.values()],
      events: [...this.#closed, ...this.#requests],
      exchanges: this.#exchanges,
      totals: this.#totals,
    });
    this.#readers.add(stream);
    void stream.closed.then(() => this.#readers.delete(stream));
  }

  /** What the open sessions have carried, if it has changed. */
  #tellCounts(): void {
    if (this.#readers.size === 0) return;
    const counts = this.#sessions();
    const text = JSON.stringify(counts);
    if (text === this.#lastCounts) return;
    this.#lastCounts = text;
    for (const reader of this.#readers) reader.send('counts', counts);
  }

  #tell(event: FeedEvent): void {
    if (this.#readers.size === 0) return;
    this.#batch.push(event);
    if (this.#batch.length > MAX_BATCH_EVENTS) {
      this.#batch.shift();
      this.#left++;
    }
    this.#timer ??= setTimeout(() => this.#flush(), BATCH_INTERVAL_MS).unref();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#batch.length === 0) return;
    const batch = { events: this.#batch, left: this.#left, totals: this.#totals };
    this.#batch = [];
    this.#left = 0;
    for (const reader of this.#readers) reader.send('batch', batch);
  }
}

function keep<T>(list: T[], item: T, max = KEPT_RECORDS): void {
  list.push(item);
  if (list.length > max) list.shift();
}
