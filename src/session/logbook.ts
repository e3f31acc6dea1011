import type { Clock } from '../base/deps.js';
import type { ProxyError } from '../base/errors.js';
import { pathOf } from '../net/request-head.js';
import type { ClientPeer } from '../net/types.js';
import type { AccessRecord } from '../observe/record.js';
import type { RequestHead } from '../protocol/http/head.js';

/** What is known of an exchange when its head has been read; the rest is noted as it becomes known. */
type Facts = { [K in Exclude<keyof AccessRecord, 'time' | 'durationMs'>]: AccessRecord[K] | undefined };

/** The access record of one exchange while it is being written. */
export class Logbook {
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #date: Date;
  // Every field is there from the start, so that a record never changes its shape.
  readonly #facts: Facts;

  constructor(head: RequestHead | undefined, peer: ClientPeer, clock: Clock) {
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.#date = clock.date();
    this.#facts = {
      client: clientAddress(head, peer),
      method: head?.method ?? '-',
      host: head?.headers.get('host'),
      path: head === undefined ? '-' : pathOf(head.target),
      status: 0,
      via: 'h1',
      generation: undefined,
      subprotocol: undefined,
      route: undefined,
      upstream: undefined,
      server: undefined,
      handshakeMs: undefined,
      bytesFromClient: 0,
      bytesFromUpstream: 0,
      messagesFromClient: undefined,
      messagesFromUpstream: undefined,
      closeCodeFromClient: undefined,
      closeCodeFromUpstream: undefined,
      closedBy: undefined,
      outcome: undefined,
      detail: undefined,
    };
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

  /** The record, without the fields that do not apply. */
  close(): AccessRecord {
    const record: Record<string, unknown> = { time: this.#date.toISOString() };
    const facts: Record<string, unknown> = this.#facts;
    for (const key in facts) {
      if (facts[key] !== undefined) record[key] = facts[key];
    }
    record['durationMs'] = this.elapsedMs();
    return record as unknown as AccessRecord;
  }
}

/** The client behind the proxies we trust: the last address in `X-Forwarded-For` that is not one of them. */
function clientAddress(head: RequestHead | undefined, peer: ClientPeer): string {
  if (!peer.trusted || head === undefined) return peer.address;
  const hops = head.headers.elements('x-forwarded-for');
  let client = peer.address;
  while (hops.length > 0 && peer.isTrusted(client)) client = hops.pop()!;
  return client;
}
