import type { Clock } from '../base/deps.js';
import type { ProxyError } from '../base/errors.js';
import { pathOf } from '../net/request-head.js';
import type { ClientPeer } from '../net/types.js';
import type { AccessRecord } from '../observe/record.js';
import type { RequestHead } from '../protocol/http/head.js';

/** The access record of one exchange while it is being written. */
export class Logbook {
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #entry: Omit<AccessRecord, 'durationMs'>;

  constructor(head: RequestHead | undefined, peer: ClientPeer, clock: Clock) {
    this.#clock = clock;
    this.#startedAt = clock.now();
    const host = head?.headers.get('host');
    this.#entry = {
      time: clock.date().toISOString(),
      client: clientAddress(head, peer),
      method: head?.method ?? '-',
      ...(host === undefined ? {} : { host }),
      path: head === undefined ? '-' : pathOf(head.target),
      status: 0,
      via: 'h1',
      bytesFromClient: 0,
      bytesFromUpstream: 0,
    };
  }

  /** Milliseconds since the request head was read. */
  elapsedMs(): number {
    return Math.round((this.#clock.now() - this.#startedAt) * 1000) / 1000;
  }

  /** Notes facts as they become known; undefined ones are left out. */
  note(facts: { [K in keyof AccessRecord]?: AccessRecord[K] | undefined }): this {
    for (const [key, value] of Object.entries(facts)) {
      if (value !== undefined) Object.assign(this.#entry, { [key]: value });
    }
    return this;
  }

  fail(error: ProxyError): this {
    return this.note({ status: error.status, outcome: `failed(${error.code})`, detail: error.message });
  }

  close(): AccessRecord {
    return { ...this.#entry, durationMs: this.elapsedMs() };
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
