import type { ServerResponse } from 'node:http';
import type { HoldSink } from '../gateway/hold-sink.js';
import type { ClientResponse } from '../protocol/grip/hold.js';

/** The response of Node to one client, as holds use it. */
export class ResponseSink implements HoldSink {
  onDrain: () => void = nothing;
  readonly #res: ServerResponse;
  readonly #passHead: (response: ClientResponse) => void;
  readonly #count: (bytes: number) => void;
  readonly #drained = (): void => this.onDrain();

  /** @param passHead writes the head. */
  constructor(
    res: ServerResponse,
    passHead: (response: ClientResponse) => void,
    count: (bytes: number) => void,
  ) {
    this.#res = res;
    this.#passHead = passHead;
    this.#count = count;
    res.on('error', nothing);
    res.on('drain', this.#drained);
  }

  get bufferedBytes(): number {
    return this.#res.writableLength;
  }

  get isBlocked(): boolean {
    return this.#res.writableNeedDrain;
  }

  respond(response: ClientResponse): void {
    const { status, headers, body = NOTHING } = response;
    const isEmpty = status === 204 || status === 304 || this.#res.req.method === 'HEAD';
    if (isEmpty) headers.delete('content-length');
    else headers.set('Content-Length', String(body.length));
    headers.delete('trailer');
    this.#passHead(response);
    if (!isEmpty) this.#count(body.length);
    this.#res.end(isEmpty ? undefined : body);
  }

  begin(response: ClientResponse): boolean {
    const { status, headers } = response;
    // More comes behind what the backend has measured.
    for (const name of OF_A_WHOLE_BODY) headers.delete(name);
    this.#passHead(response);
    return status !== 204 && status !== 304 && this.#res.req.method !== 'HEAD';
  }

  write(content: Buffer): void {
    this.#count(content.length);
    this.#res.write(content);
  }

  end(): void {
    this.#res.end();
  }

  letGo(): void {
    this.#res.off('drain', this.#drained);
  }
}

const NOTHING = Buffer.alloc(0);
const OF_A_WHOLE_BODY = [
  'content-length',
  'content-md5',
  'content-digest',
  'digest',
  'repr-digest',
  'trailer',
  'accept-ranges',
];

function nothing(): void {}
