import type { ClientHttp2Stream } from 'node:http2';
import { Writable } from 'node:stream';
import { HeaderList } from '../../protocol/http/header-list.js';
import { http2Fields } from '../../protocol/http2/response.js';
import type { RequestBody } from '../exchange.js';

/** What may wait for the server before its sender has to. */
const HIGH_WATER_BYTES = 64 * 1024;
/** How much of a body is kept until something has been heard of the server. */
const KEPT_BYTES = 64 * 1024;

type Done = () => void;

/**
 * The body of a request on its way to a server. Until something has been heard of that, its beginning is kept: a server
 * that refuses a stream unseen is asked again on another, which is sent the same.
 */
export class UpstreamRequestBody extends Writable implements RequestBody {
  #stream: ClientHttp2Stream | undefined;
  /** All that was written so far; undefined when that is too much, or not needed any more. */
  #kept: Buffer[] | undefined = [];
  #keptBytes = 0;
  /** Of a write that the server has not taken yet. */
  #written: Done | undefined;
  #hasEnded = false;
  #ended: Done | undefined;
  #trailers: Array<[name: string, value: string]> = [];

  constructor() {
    // It may have to be sent again when all of it is out.
    super({ highWaterMark: HIGH_WATER_BYTES, autoDestroy: false });
  }

  /** Sends what is kept, and all that follows. Whoever calls it listens for the stream’s failures. */
  sendOn(stream: ClientHttp2Stream): void {
    this.#stream = stream;
    stream.on('wantTrailers', () => this.#sendTrailers(stream));
    let hasRoom = true;
    for (const chunk of this.#kept ?? []) hasRoom = stream.write(chunk);
    this.#goOn(stream, hasRoom);
    if (this.#hasEnded) this.#end(stream);
  }

  /** The stream has come to nothing. Whether another could be sent all of the body. */
  withdraw(): boolean {
    this.#stream = undefined;
    return this.#kept !== undefined;
  }

  /** The server has heard: it is not asked again. */
  forget(): void {
    this.#kept = undefined;
  }

  addTrailers(trailers: Array<[name: string, value: string]>): void {
    this.#trailers = trailers;
  }

  override _write(chunk: Buffer, _encoding: string, done: Done): void {
    if (chunk.length === 0) return done();
    const stream = this.#stream;
    this.#keep(chunk, stream !== undefined);
    this.#written = done;
    // Else it goes with what is kept.
    if (stream !== undefined && isOpen(stream)) this.#goOn(stream, stream.write(chunk));
  }

  override _final(done: Done): void {
    this.#hasEnded = true;
    this.#ended = done;
    if (this.#stream !== undefined) this.#end(this.#stream);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#kept = undefined;
    done(error);
  }

  #keep(chunk: Buffer, isSent: boolean): void {
    this.#keptBytes += chunk.length;
    if (isSent && this.#keptBytes > KEPT_BYTES) this.#kept = undefined;
    this.#kept?.push(chunk);
  }

  #goOn(stream: ClientHttp2Stream, hasRoom: boolean): void {
    if (hasRoom) this.#taken();
    else
      stream.once('drain', () => {
        if (stream === this.#stream) this.#taken();
      });
  }

  #taken(): void {
    const done = this.#written;
    this.#written = undefined;
    done?.();
  }

  #end(stream: ClientHttp2Stream): void {
    if (!isOpen(stream)) return;
    stream.end(() => {
      // It is called for a stream that was reset, too.
      if (stream !== this.#stream || !stream.writableFinished) return;
      this.#ended?.();
      this.#ended = undefined;
    });
  }

  #sendTrailers(stream: ClientHttp2Stream): void {
    stream.sendTrailers(http2Fields(HeaderList.fromRaw(this.#trailers.flat())));
  }
}

/** What is written to another is lost, and 'close' tells of it. */
function isOpen(stream: ClientHttp2Stream): boolean {
  return !stream.closed && !stream.destroyed;
}
