import type { ClientHttp2Stream } from 'node:http2';
import { Readable } from 'node:stream';
import type { PlainAnswer } from '../../protocol/http2/from-server.js';
import type { Answer } from '../exchange.js';

const HIGH_WATER_BYTES = 64 * 1024;

/** A server’s answer on a stream. `Http2Request` puts in what comes, and the end. */
export class UpstreamAnswer extends Readable implements Answer {
  readonly statusCode: number;
  readonly statusMessage: string;
  readonly rawHeaders: readonly string[];
  rawTrailers: readonly string[] = [];
  readonly #stream: ClientHttp2Stream;

  constructor(stream: ClientHttp2Stream, head: PlainAnswer) {
    super({ highWaterMark: HIGH_WATER_BYTES });
    this.statusCode = head.status;
    this.statusMessage = head.reason;
    this.rawHeaders = head.rawHeaders;
    this.#stream = stream;
  }

  override _read(): void {
    if (!this.#stream.destroyed) this.#stream.resume();
  }
}
