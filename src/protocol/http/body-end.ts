import { ChunkedEnd } from './chunked-end.js';
import { trimWhitespace } from './grammar.js';
import type { ResponseHead } from './head.js';
import { quote } from './quote.js';
import { HeadError } from './response-head.js';

/** How much of a chunked body may be something else than data. */
export interface BodyEndLimits {
  /** A chunk-size line with its extensions. Default 4096. */
  readonly maxChunkLineBytes?: number;
  /** All trailers together, with the blank line. Default 16384. */
  readonly maxTrailerBytes?: number;
}

/**
 * Tells where the body of an HTTP/1.x response ends while its raw bytes are passed on unchanged (RFC 9112 §6.3).
 * A body whose end two readers could see in two places is refused: `of` and `push` throw a HeadError.
 */
export class BodyEnd {
  /** True when only the end of the connection ends the body; `done` then never becomes true. */
  readonly untilClose: boolean;
  /**
   * The value of `Content-Length`, if there is one. A head that gives the same length several times must leave with
   * it once (RFC 9112 §6.3, rule 5).
   */
  readonly contentLength: number | undefined;
  #bytesLeft: number;
  readonly #chunked: ChunkedEnd | undefined;

  private constructor(bytesLeft: number, contentLength: number | undefined, chunked?: ChunkedEnd) {
    this.#bytesLeft = bytesLeft;
    this.#chunked = chunked;
    this.contentLength = contentLength;
    this.untilClose = bytesLeft === Infinity && chunked === undefined;
  }

  /** @param requestMethod the method that this head answers. */
  static of(head: ResponseHead, requestMethod: string, limits: BodyEndLimits = {}): BodyEnd {
    const chunked = isChunked(head);
    const contentLength = readContentLength(head);
    if (chunked && contentLength !== undefined) {
      throw malformed('response has both Transfer-Encoding and Content-Length (RFC 9112 §6.3)');
    }
    if (requestMethod === 'HEAD' || head.status < 200 || head.status === 204 || head.status === 304) {
      return new BodyEnd(0, contentLength);
    }
    if (chunked) {
      const { maxChunkLineBytes = 4096, maxTrailerBytes = 16_384 } = limits;
      return new BodyEnd(Infinity, undefined, new ChunkedEnd(maxChunkLineBytes, maxTrailerBytes));
    }
    return new BodyEnd(contentLength ?? Infinity, contentLength);
  }

  get done(): boolean {
    return this.#chunked?.done ?? this.#bytesLeft === 0;
  }

  /** The lines behind a chunked body, if `push` was asked for its data: latin-1 text, each line ended by a CR. */
  get trailers(): string {
    return this.#chunked?.trailers ?? '';
  }

  /**
   * How many bytes at the start of this chunk belong to the body; what follows them does not.
   *
   * @param onData is told where in the chunk data stand, without the framing of chunks: `[start, end)`.
   */
  push(chunk: Uint8Array, onData?: (start: number, end: number) => void): number {
    if (this.#chunked !== undefined) return this.#chunked.push(chunk, onData);
    const taken = Math.min(chunk.length, this.#bytesLeft);
    this.#bytesLeft -= taken;
    if (taken > 0) onData?.(0, taken);
    return taken;
  }
}

function isChunked(head: ResponseHead): boolean {
  const values = head.headers.all('transfer-encoding');
  if (values.length === 0) return false;
  if (head.httpVersion === '1.0') throw malformed('HTTP/1.0 response with Transfer-Encoding (RFC 9112 §6.1)');
  if (values.length > 1 || trimWhitespace(values[0]!).toLowerCase() !== 'chunked') {
    throw malformed(`Transfer-Encoding is not exactly "chunked" but ${quote(values.join(', '))}`);
  }
  return true;
}

function readContentLength(head: ResponseHead): number | undefined {
  const lengths = head.headers.all('content-length').flatMap((value) => value.split(',').map(trimWhitespace));
  const first = lengths[0];
  if (first === undefined) return undefined;
  for (const length of lengths) {
    if (!/^\d+$/.test(length) || !Number.isSafeInteger(Number(length))) {
      throw malformed(`Content-Length is not a number of bytes: ${quote(length)}`);
    }
    if (length !== first) throw malformed(`several Content-Length that differ: ${quote(lengths.join(', '))}`);
  }
  return Number(first);
}

function malformed(message: string): HeadError {
  return new HeadError('malformed', message);
}
