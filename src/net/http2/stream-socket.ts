import { constants, type ServerHttp2Stream } from 'node:http2';
import { Duplex } from 'node:stream';
import { isFieldValue, isToken } from '../../protocol/http/grammar.js';
import type { ResponseHead } from '../../protocol/http/head.js';
import { HeaderList } from '../../protocol/http/header-list.js';
import { ResponseDecoder } from '../../protocol/http/response-decoder.js';
import { passableTrailers } from '../../protocol/http/trailers.js';
import type { BodyKind } from '../../protocol/http2/request.js';
import { http2Fields, http2Head } from '../../protocol/http2/response.js';
import { cancelStream } from './cancel-stream.js';

/** What either direction may hold before its sender has to wait. */
const HIGH_WATER_BYTES = 64 * 1024;

const { NGHTTP2_NO_ERROR } = constants;

export interface StreamRequest {
  /** Its head in HTTP/1.1, as latin-1 text. */
  readonly head: string;
  readonly method: string;
  readonly body: BodyKind;
  /** The largest head of an answer. */
  readonly maxHeadBytes: number;
}

/**
 * One stream of HTTP/2 as if it were a connection of HTTP/1.1 with one request on it: what is read of it is that
 * request; what is written to it is an answer, which leaves as HTTP/2. After a switch to WebSocket (RFC 8441) it is just
 * the bytes. So everything behind the listener knows only one kind of client.
 *
 * ```
 *   stream ──HEADERS, DATA──▶ head, body (in chunks)   ──▶ whoever reads requests
 *   stream ◀─HEADERS, DATA──  decoder ◀── head, body   ◀── whoever answers
 * ```
 * END_STREAM is an end and RST_STREAM a loss, either way; a loss of ours leaves as CANCEL (RFC 8441 §5).
 */
export class StreamSocket extends Duplex {
  readonly #stream: ServerHttp2Stream;
  readonly #body: BodyKind;
  readonly #decoder: ResponseDecoder;
  /** What the last write has brought for the client. */
  #unsent: Buffer[] = [];
  #isRequestWhole = false;
  #isAnswered = false;
  #requestTrailers: readonly string[] = [];
  /** The stream will ask for trailers when the answer’s body is out, and ends behind them. */
  #owesTrailers = false;

  constructor(stream: ServerHttp2Stream, { head, method, body, maxHeadBytes }: StreamRequest) {
    super({ readableHighWaterMark: HIGH_WATER_BYTES, writableHighWaterMark: HIGH_WATER_BYTES });
    this.#stream = stream;
    this.#body = body;
    this.#decoder = new ResponseDecoder(method, maxHeadBytes, {
      interim: (interim) => this.#sendInterim(interim),
      head: (answer, hasBody) => this.#sendHead(answer, hasBody),
      data: (bytes) => this.#unsent.push(bytes),
      end: () => {},
    });
    this.push(Buffer.from(head, 'latin1'));
    this.#listen();
  }

  #listen(): void {
    const stream = this.#stream;
    // What fails is told by 'close'.
    stream.on('error', () => {});
    stream.on('data', (chunk: Buffer) => {
      if (!this.#pushBody(chunk)) stream.pause();
    });
    stream.on('trailers', (_fields, _flags, ...[raw]: (readonly string[])[]) => {
      this.#requestTrailers = raw ?? [];
    });
    stream.on('end', () => this.#onStreamEnd());
    stream.on('wantTrailers', () => this.#sendTrailers());
    stream.on('close', () => this.#onStreamClose());
    // It is read when somebody reads this.
    stream.pause();
  }

  // ---- the request ----

  override _read(): void {
    if (!this.#stream.destroyed) this.#stream.resume();
  }

  #pushBody(chunk: Buffer): boolean {
    if (this.#body !== 'chunked') return this.push(chunk);
    this.push(`${chunk.length.toString(16)}\r\n`, 'latin1');
    this.push(chunk);
    return this.push(CRLF);
  }

  /** Node reports this for a stream that was reset, too. */
  #onStreamEnd(): void {
    const stream = this.#stream;
    if (stream.aborted) return this.#lose();
    // Closed before our own end was out: by a reset, or that is about to be told.
    if (stream.closed && !stream.writableFinished) {
      setImmediate(() => (stream.writableFinished ? this.#endRequest() : this.#lose()));
    } else {
      this.#endRequest();
    }
  }

  #endRequest(): void {
    if (this.destroyed) return;
    this.#isRequestWhole = true;
    if (this.#body === 'chunked') this.push(`0\r\n${trailerLines(this.#requestTrailers)}\r\n`, 'latin1');
    this.#endReading();
  }

  /** An HTTP/1.1 client that ended its connection behind a request would be taken for one that has gone. */
  #endReading(): void {
    const isTunnel = this.#body === 'tunnel';
    // A WebSocket that was refused has nothing more to say.
    const isRefused = isTunnel && this.#isAnswered && !this.#decoder.isTunnel;
    if (isRefused || (this.#isRequestWhole && (isTunnel || this.#isAnswered))) this.push(null);
  }

  // ---- the answer ----

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.#stream.destroyed || this.#stream.closed) return done();
    try {
      this.#decoder.push(chunk);
      this.#sendData(done);
    } catch (thrown) {
      done(thrown as Error);
    }
  }

  #sendData(done: () => void): void {
    const parts = this.#unsent;
    this.#unsent = [];
    let hasRoom = true;
    for (const part of parts) hasRoom = this.#stream.write(part);
    if (hasRoom) return done();
    const go = (): void => {
      this.#stream.off('drain', go);
      this.#stream.off('close', go);
      done();
    };
    this.#stream.on('drain', go);
    this.#stream.on('close', go);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#isAnswered = this.#decoder.finish();
    if (!this.#isAnswered) {
      cancelStream(this.#stream);
      return done();
    }
    this.#endReading();
    if (this.#stream.destroyed || this.#stream.writableEnded) return done();
    this.#stream.end(() => done());
  }

  #sendInterim({ status, headers }: ResponseHead): void {
    this.#stream.additionalHeaders({ ...http2Fields(headers), ':status': status });
  }

  #sendHead(head: ResponseHead, hasBody: boolean): void {
    // It would be taken for a switch (RFC 8441 §5): whoever answers so has forgotten whom.
    if (this.#body === 'tunnel' && head.status !== 101 && head.status < 300) {
      throw new RangeError(`a WebSocket over HTTP/2 cannot be refused with ${head.status}`);
    }
    this.#owesTrailers = hasBody && head.status !== 101;
    this.#stream.respond(http2Head(head), {
      endStream: !hasBody,
      // The upstream’s own Date, or none.
      sendDate: false,
      waitForTrailers: this.#owesTrailers,
    } as object);
  }

  #sendTrailers(): void {
    const trailers = HeaderList.fromRaw(passableTrailers(this.#decoder.rawTrailers).flat());
    this.#stream.sendTrailers(http2Fields(trailers));
    this.#owesTrailers = false;
    if (this.destroyed) this.#closeInOrder();
  }

  // ---- the end ----

  #onStreamClose(): void {
    // What is left to be read of a whole exchange is still read.
    if (!(this.writableFinished && this.#isRequestWhole)) this.#lose();
  }

  #lose(): void {
    // Of a plain request nobody asks why.
    this.destroy(this.#decoder.isTunnel ? streamReset() : undefined);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    // What has ended both ways closes by itself, as soon as its last frame is out.
    const hasEnded = this.writableFinished && this.#isRequestWhole;
    if (this.#isAnswered && !this.#decoder.isTunnel) this.#closeInOrder();
    else if (!hasEnded && !this.#stream.closed) cancelStream(this.#stream);
    // A stream that nobody reads never closes.
    this.#stream.resume();
    done(error);
  }

  /** The client has its whole answer: what it has not sent yet is not wanted any more (RFC 9113 §8.1). */
  #closeInOrder(): void {
    if (!this.#isRequestWhole && !this.#owesTrailers && !this.#stream.closed)
      this.#stream.close(NGHTTP2_NO_ERROR);
  }
}

/** As a socket would say it. */
function streamReset(): Error {
  return Object.assign(new Error('the stream was reset'), { code: 'ECONNRESET' });
}

const CRLF = Buffer.from('\r\n');

function trailerLines(raw: readonly string[]): string {
  return passableTrailers(raw)
    .filter(([name, value]) => isToken(name) && isFieldValue(value))
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
}
