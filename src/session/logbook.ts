import type { Clock } from '../base/deps.js';
import type { ProxyError } from '../base/errors.js';
import { pathOf } from '../net/request-head.js';
import type { ClientPeer } from '../net/types.js';
import type { AccessRecord } from '../observe/record.js';
import type { RequestHead } from '../protocol/http/head.js';

/** What is known of an exchange when its head has been read; the rest is noted as it becomes known. */
type Facts = { [K in keyof Required<AccessRecord>]: AccessRecord[K] | undefined };

/** The access record of one exchange while it is being written. */
export class Logbook {
  readonly #clock: Clock;
  readonly #startedAt: number;
  // Every field is there from the start, so that a record never changes its shape.
  readonly #facts: Facts;

  constructor(head: RequestHead | undefined, peer: ClientPeer, clock: Clock) {
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.#facts = {
      time: clock.date().toISOString(),
      client: clientAddress(head, peer),
      method: head?.method ?? '-',
      host: owned(head?.headers.get('host')),
      path: head === undefined ? '-' : owned(pathOf(head.target)),
      status: 0,
      via: peer.via,
      generation: undefined,
      upstreamGeneration: undefined,
      subprotocol: undefined,
      route: undefined,
      upstream: undefined,
      server: undefined,
      durationMs: 0,
      handshakeMs: undefined,
      bytesFromClient: 0,
      bytesFromUpstream: 0,
      messagesFromClient: undefined,
      messagesFromUpstream: undefined,
      messagesDropped: undefined,
      closeCodeFromClient: undefined,
      closeCodeFromUpstream: undefined,
      closeReasonFromClient: undefined,
      closeReasonFromUpstream: undefined,
      closedBy: undefined,
      outcome: undefined,
      detail: undefined,
    };
  }

  /** The client's address, behind the proxies we trust. */
  get client(): string {
    return this.#facts.client!;
  }

  get host(): string {
    return this.#facts.host ?? '';
  }

  get via(): 'h1' | 'h2' {
    return this.#facts.via!;
  }

  get path(): string {
    return this.#facts.path!;
  }

  /** Milliseconds since the request head was read. */
  elapsedMs(): number {
    return Math.round((this.#clock.now() - this.#startedAt) * 1000) / 1000;
  }

  /** Notes facts as they become known; undefined ones change nothing. */
  note(facts: Partial<Facts>): this {
    for (const key in facts) {
      const value = facts[key as keyof Facts];
      if (value !== undefined) (this.#facts as Record<string, unknown>)[key] = value;
    }
    return this;
  }

  fail(error: ProxyError): this {
    return this.note({ status: error.status, outcome: `failed(${error.code})`, detail: error.message });
  }

  /** The finished record. */
  close(): AccessRecord {
    this.#facts.durationMs = this.elapsedMs();
    return this.#facts as AccessRecord;
  }
}

/**
 * The same text in memory of its own. What was cut out of a request head holds on to the whole of it otherwise, for as
 * long as the session lives.
 */
function owned<T extends string | undefined>(text: T): T {
  return (text === undefined ? text : Buffer.from(text, 'latin1').toString('latin1')) as T;
}

/** The client behind the proxies we trust: the last address in `X-Forwarded-For` that is not one of them. */
export function clientAddress(head: RequestHead | undefined, peer: ClientPeer): string {
  if (!peer.trusted || head === undefined) return peer.address;
  const hops = head.headers.elements('x-forwarded-for');
  let client = peer.address;
  while (hops.length > 0 && peer.isTrusted(client)) client = hops.pop()!;
  return client;
}
