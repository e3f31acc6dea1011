import { type ClientHttp2Stream, constants } from 'node:http2';
import { Duplex } from 'node:stream';
import { isFieldValue, isToken } from '../../protocol/http/grammar.js';
import type { RequestHead } from '../../protocol/http/head.js';
import { passableTrailers } from '../../protocol/http/trailers.js';
import { type ServerAnswer, serverAnswer } from '../../protocol/http2/from-server.js';
import { readOwnHead, requestFields } from '../../protocol/http2/to-server.js';
import { cancelStream } from './cancel-stream.js';
import { onEndStream } from './on-end-stream.js';
import type { UpstreamSession } from './upstream-session.js';

/** What either direction may hold before its sender has to wait. */
const HIGH_WATER_BYTES = 64 * 1024;
const END_OF_HEAD = '\r\n\r\n';

const { NGHTTP2_FLAG_END_STREAM } = constants;

/**
 * A stream to a server as if it were a connection of HTTP/1.1 with the handshake of one WebSocket on it: what is
 * written to it leaves as an extended CONNECT (RFC 8441), what is read of it is the answer, and after a switch both are
 * just the bytes. So a session knows only one kind of server. `StreamSocket` is the same towards clients.
 *
 * ```
 *   session ──head, bytes──▶ HEADERS, DATA ──▶ server
 *   session ◀─head, bytes──  HEADERS, DATA ◀── server
 * ```
 * END_STREAM is an end and RST_STREAM a loss, either way; a loss of ours leaves as CANCEL (RFC 8441 §5).
 */
export class UpstreamSocket extends Duplex {
  #session: UpstreamSession;
  readonly #again: () => Promise<UpstreamSession | undefined>;
  /** Of the request, as far as it has been written. */
  #headText = '';
  #request: RequestHead | undefined;
  #stream: ClientHttp2Stream | undefined;
  #answer: ServerAnswer | undefined;
  /** Something has been heard of the server, if only an interim answer. */
  #hasHeard = false;
  #hasTried = false;
  #hasStreamEnded = false;
  #isAnswerWhole = false;
  #answerTrailers: readonly string[] = [];

  /**
   * @param session with a place reserved for this.
   * @param again reserves a place on another, for a request that the first has not seen.
   */
  constructor(session: UpstreamSession, again: () => Promise<UpstreamSession | undefined>) {
    super({ readableHighWaterMark: HIGH_WATER_BYTES, writableHighWaterMark: HIGH_WATER_BYTES });
    this.#session = session;
    this.#again = again;
  }

  // ---- the request ----

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.#request === undefined) {
      this.#headText += chunk.toString('latin1');
      const end = this.#headText.indexOf(END_OF_HEAD);
      if (end === -1) return done();
      const rest = Buffer.from(this.#headText.slice(end + END_OF_HEAD.length), 'latin1');
      this.#request = readOwnHead(this.#headText.slice(0, end));
      this.#headText = '';
      this.#ask(this.#request);
      if (rest.length === 0) return done();
      this.#send(rest, done);
    } else {
      this.#send(chunk, done);
    }
  }

  #ask(request: RequestHead): void {
    let stream;
    try {
      stream = this.#session.request(requestFields(request, this.#session.scheme), { endStream: false });
    } catch {
      // It was closed after the place had been given.
      this.#session.release();
      this.#askAgain();
      return;
    }
    this.#stream = stream;
    this.#listen(stream);
  }

  #send(bytes: Buffer, done: (error?: Error | null) => void): void {
    const stream = this.#stream;
    if (stream === undefined || stream.destroyed || stream.closed) return done(streamReset());
    if (stream.write(bytes)) return done();
    const go = (): void => {
      stream.off('drain', go);
      stream.off('close', go);
      done();
    };
    stream.on('drain', go);
    stream.on('close', go);
  }

  override _final(done: (error?: Error | null) => void): void {
    const stream = this.#stream;
    if (stream === undefined || stream.destroyed || stream.writableEnded) return done();
    stream.end(() => done());
  }

  // ---- the answer ----

  #listen(stream: ClientHttp2Stream): void {
    // What fails is told by 'close'.
    stream.on('error', () => {});
    stream.on('headers', (_fields, _flags, ...[raw]: (readonly string[])[]) => this.#read(raw ?? [], false));
    stream.on('response', (_fields, flags, ...[raw]: (readonly string[])[]) =>
      this.#read(raw ?? [], (flags & NGHTTP2_FLAG_END_STREAM) !== 0),
    );
    stream.on('data', (chunk: Buffer) => {
      if (!this.#pushBody(chunk)) stream.pause();
    });
    stream.on('trailers', (_fields, _flags, ...[raw]: (readonly string[])[]) => {
      this.#answerTrailers = raw ?? [];
    });
    onEndStream(stream, () => (this.#hasStreamEnded = true));
    stream.on('end', () => this.#onStreamEnd());
    stream.on('close', () => this.#onStreamClose(stream));
  }

  #read(raw: readonly string[], hasEnded: boolean): void {
    if (this.destroyed) return;
    this.#hasHeard = true;
    const { method, headers } = this.#request!;
    const key = headers.get('sec-websocket-key');
    try {
      const answer = serverAnswer(raw, hasEnded, { method, key });
      if (answer.status >= 200 || answer.body === 'tunnel') this.#answer = answer;
      this.push(answer.text, 'latin1');
    } catch (thrown) {
      this.destroy(thrown as Error);
    }
  }

  override _read(): void {
    if (this.#stream?.destroyed === false) this.#stream.resume();
  }

  #pushBody(chunk: Buffer): boolean {
    if (this.#answer?.body !== 'chunked') return this.push(chunk);
    this.push(`${chunk.length.toString(16)}\r\n`, 'latin1');
    this.push(chunk);
    return this.push('\r\n', 'latin1');
  }

  #onStreamEnd(): void {
    if (this.destroyed || !this.#hasStreamEnded || this.#answer === undefined) return;
    this.#isAnswerWhole = true;
    if (this.#answer.body === 'chunked')
      this.push(`0\r\n${trailerLines(this.#answerTrailers)}\r\n`, 'latin1');
    this.push(null);
  }

  // ---- the end ----

  #onStreamClose(stream: ClientHttp2Stream): void {
    // What is left to be read of a whole answer is still read; what is still written meets a closed stream.
    if (this.#isAnswerWhole || this.destroyed) return;
    const { isLost, isReused } = this.#session;
    const isUnseen = this.#session.isUnseen(stream) || (isLost && isReused);
    if (isUnseen && !this.#hasHeard) this.#askAgain();
    else this.#lose();
  }

  /**
   * Once: the server has refused the stream unseen (RFC 9113 §8.7), or has ended the session, and what is asked is a GET.
   */
  #askAgain(): void {
    this.#stream = undefined;
    if (this.#hasTried) return this.#lose();
    this.#hasTried = true;
    this.#again().then(
      (session) => {
        if (session === undefined) return this.#lose();
        if (this.destroyed || !session.takesWebSockets) {
          session.release();
          return this.#lose();
        }
        this.#session = session;
        this.#ask(this.#request!);
      },
      () => this.#lose(),
    );
  }

  #lose(): void {
    this.destroy(streamReset());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const stream = this.#stream;
    if (stream === undefined) {
      if (this.#request === undefined) this.#session.release();
      return done(error);
    }
    // One that has ended both ways closes by itself.
    if (!stream.closed && !(this.#isAnswerWhole && this.writableFinished)) {
      if (this.#answer === undefined) this.#session.doubt();
      cancelStream(stream);
    }
    // A stream that nobody reads never closes.
    stream.resume();
    done(error);
  }
}

/** As a socket would say it. */
function streamReset(): Error {
  return Object.assign(new Error('the stream was reset'), { code: 'ECONNRESET' });
}

function trailerLines(raw: readonly string[]): string {
  return passableTrailers(raw)
    .filter(([name, value]) => isToken(name) && isFieldValue(value))
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
}
