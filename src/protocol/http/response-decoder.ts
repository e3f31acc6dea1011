import { BodyEnd } from './body-end.js';
import { trimWhitespace } from './grammar.js';
import type { ResponseHead } from './head.js';
import { ResponseHeadReader } from './response-head.js';

/** Hears of an answer as its bytes are read. Chunks are views, valid only during the call. */
export interface ResponseSink {
  /** An interim answer, of which there may be several. */
  interim(head: ResponseHead): void;
  /** The final answer; or a switch: then all that follows is `data`, and there is no `end`. */
  head(head: ResponseHead, hasBody: boolean): void;
  data(bytes: Buffer): void;
  /** The answer is whole. */
  end(): void;
}

/**
 * Reads one answer of HTTP/1.1 from bytes cut anywhere: its heads, and its body out of the chunks (RFC 9112 §6). What
 * follows a whole answer is not read. `push` throws a HeadError on what is no answer.
 */
export class ResponseDecoder {
  /** A switch has been granted: everything is data. */
  isTunnel = false;
  /** The answer has been read to its end. */
  isWhole = false;
  readonly #method: string;
  readonly #maxHeadBytes: number;
  readonly #sink: ResponseSink;
  #reader: ResponseHeadReader | undefined;
  #body: BodyEnd | undefined;

  /** @param method of the request that is answered: HEAD has no body. */
  constructor(method: string, maxHeadBytes: number, sink: ResponseSink) {
    this.#method = method;
    this.#maxHeadBytes = maxHeadBytes;
    this.#sink = sink;
  }

  /** What stands behind a chunked body, as `[name, value, name, value, …]`. */
  get rawTrailers(): string[] {
    const lines = (this.#body?.trailers ?? '').split('\r').filter((line) => line.includes(':'));
    return lines.flatMap((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), trimWhitespace(line.slice(colon + 1))];
    });
  }

  push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0 && !this.isWhole) {
      if (this.isTunnel) {
        this.#sink.data(rest);
        return;
      }
      rest = this.#body === undefined ? this.#readHead(rest) : this.#readBody(rest, this.#body);
    }
  }

  /** The connection has ended in order. Returns whether the answer is whole, or was a switch. */
  finish(): boolean {
    if (this.#body?.untilClose === true) this.#end();
    return this.isWhole || this.isTunnel;
  }

  #readHead(bytes: Buffer): Buffer {
    this.#reader ??= new ResponseHeadReader({ maxBytes: this.#maxHeadBytes });
    const found = this.#reader.push(bytes);
    if (found === undefined) return NOTHING;
    this.#reader = undefined;
    const { head, rest } = found;
    if (head.status === 101) {
      this.isTunnel = true;
      this.#sink.head(head, true);
    } else if (head.status < 200) {
      this.#sink.interim(head);
    } else {
      this.#body = BodyEnd.of(head, this.#method);
      this.#sink.head(head, !this.#body.done);
      if (this.#body.done) this.#end();
    }
    return rest;
  }

  #readBody(bytes: Buffer, body: BodyEnd): Buffer {
    const taken = body.push(bytes, (start, end) => this.#sink.data(bytes.subarray(start, end)));
    if (body.done) this.#end();
    return bytes.subarray(taken);
  }

  #end(): void {
    if (this.isWhole) return;
    this.isWhole = true;
    this.#sink.end();
  }
}

const NOTHING = Buffer.alloc(0);
