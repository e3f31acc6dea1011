import { type ClientHttp2Stream, constants } from 'node:http2';
import { ProxyError } from '../../base/errors.js';
import { HeaderList } from '../../protocol/http/header-list.js';
import { plainAnswer } from '../../protocol/http2/from-server.js';
import { requestFields } from '../../protocol/http2/to-server.js';
import type { Exchange, ExchangeOptions } from '../exchange.js';
import { cancelStream } from './cancel-stream.js';
import { onEndStream } from './on-end-stream.js';
import { UpstreamAnswer } from './upstream-answer.js';
import { UpstreamRequestBody } from './upstream-request-body.js';
import type { UpstreamSession } from './upstream-session.js';

const { NGHTTP2_FLAG_END_STREAM } = constants;

/** A server that refuses again is one that has too much to do. */
const MAX_REFUSALS = 1;
/** One that ends its connections after so many requests may do that to several in a row, under load. */
const MAX_DEPARTURES = 5;
/** Nothing has come for too long. */
const STALLS: ReadonlySet<string> = new Set(['UPSTREAM_ANSWER_TIMEOUT', 'UPSTREAM_RESPONSE_ABORTED']);

export interface Http2RequestOptions extends ExchangeOptions {
  /** With a place reserved for this. */
  readonly session: UpstreamSession;
  /** Reserves a place on another, for a request that the first has not seen. */
  readonly again: () => Promise<UpstreamSession | undefined>;
}

/**
 * One plain HTTP request as a stream on a server’s connection of HTTP/2. A server that refuses the stream unseen
 * (REFUSED_STREAM, GOAWAY) is asked again, on another connection if need be, whatever the method: it has done nothing
 * (RFC 9113 §8.7).
 */
export class Http2Request implements Exchange {
  readonly body = new UpstreamRequestBody();
  readonly connected: Promise<void>;
  readonly answered: Promise<UpstreamAnswer>;

  readonly #options: Http2RequestOptions;
  #session: UpstreamSession;
  #stream: ClientHttp2Stream | undefined;
  #answer: UpstreamAnswer | undefined;
  #isConnected = false;
  /** Something has been heard of the server, if only an interim answer. */
  #hasHeard = false;
  /** The server had the stream and has refused it. */
  #refusals = 0;
  /** Connections that were ended before the server had looked at the stream. */
  #departures = 0;
  /** The server has ended the stream in order. */
  #isAnswerWhole = false;
  /** And all of it has been put into the answer. */
  #isAnswerTaken = false;
  #hasFailed = false;
  #cancelTimer: () => void = () => {};
  #onConnected!: () => void;
  #onAnswered!: (answer: UpstreamAnswer) => void;
  #onFailed!: (error: ProxyError) => void;

  constructor(options: Http2RequestOptions) {
    const { session, signal } = options;
    this.#options = options;
    this.#session = session;
    const failed = new Promise<never>((_, reject) => (this.#onFailed = reject));
    const connected = new Promise<void>((resolve) => (this.#onConnected = resolve));
    const answered = new Promise<UpstreamAnswer>((resolve) => (this.#onAnswered = resolve));
    this.connected = Promise.race([connected, failed]);
    this.answered = Promise.race([answered, failed]);
    // Whoever is no longer interested need not listen.
    this.connected.catch(() => {});
    this.answered.catch(() => {});

    this.body.on('error', () => {});
    this.body.once('finish', () => this.#awaitAnswer());
    signal.addEventListener('abort', () => this.#abort(), { once: true });
    if (signal.aborted) {
      session.release();
      this.#abort();
      return;
    }
    this.#ask(session);
  }

  get isReused(): boolean {
    return this.#session.isReused;
  }

  // ---- the request ----

  /** @param session with a place reserved. */
  #ask(session: UpstreamSession): void {
    const { method, path, headers, hasBody } = this.#options;
    const fields = requestFields({ method, target: path, httpVersion: '1.1', headers }, session.scheme);
    let stream;
    try {
      stream = session.request(fields, {
        endStream: !hasBody,
        // Only behind chunks is there room for them.
        waitForTrailers: hasBody && headers.has('transfer-encoding'),
      });
    } catch (thrown) {
      // It was closed after the place had been given.
      session.release();
      this.#askAgain((thrown as Error).message);
      return;
    }
    this.#session = session;
    this.#stream = stream;
    this.#listen(stream);
    if (hasBody) this.body.sendOn(stream);
    this.#isConnected = true;
    this.#onConnected();
    if (this.#isSent) this.#awaitAnswer();
  }

  get #isSent(): boolean {
    return !this.#options.hasBody || this.body.writableFinished;
  }

  #awaitAnswer(): void {
    if (this.#stream === undefined || this.#answer !== undefined || this.#hasFailed) return;
    const { clock, responseTimeoutMs } = this.#options;
    this.#cancelTimer();
    this.#cancelTimer = clock.after(responseTimeoutMs, () => {
      this.#fail(this.#error('UPSTREAM_ANSWER_TIMEOUT', `no response head within ${responseTimeoutMs} ms`));
    });
  }

  /** @param why the first did not take it. */
  #askAgain(why: string): void {
    this.#stream = undefined;
    this.#cancelTimer();
    const canRepeat = this.body.withdraw();
    if (this.#session.isOpen) this.#refusals++;
    else this.#departures++;
    const isEnough = this.#refusals > MAX_REFUSALS || this.#departures > MAX_DEPARTURES;
    if (isEnough || !canRepeat) return this.#fail(this.#untaken(why));
    this.#options.again().then(
      (session) => {
        if (session === undefined) this.#fail(this.#untaken(why));
        else if (this.#hasFailed) session.release();
        else this.#ask(session);
      },
      (thrown: unknown) => {
        const error = ProxyError.from(thrown);
        this.#fail(error.step === 'dial' ? this.#untaken(error.message, error) : error);
      },
    );
  }

  /** Another server may be asked instead, as long as nothing of a body has been taken, which would be missing there. */
  #untaken(why: string, error?: ProxyError): ProxyError {
    if (this.#isConnected && this.#options.hasBody) {
      return this.#error('UPSTREAM_CLOSED_EARLY', `did not take the request: ${why}`);
    }
    return error ?? this.#error('UPSTREAM_HTTP2_FAILED', `did not take the request: ${why}`);
  }

  // ---- the answer ----

  #listen(stream: ClientHttp2Stream): void {
    // What fails is told by 'close'.
    stream.on('error', () => {});
    stream.on('headers', (_fields, _flags, ...[raw]: (readonly string[])[]) => this.#passInterim(raw ?? []));
    stream.on('response', (_fields, flags, ...[raw]: (readonly string[])[]) =>
      this.#take(stream, raw ?? [], (flags & NGHTTP2_FLAG_END_STREAM) !== 0),
    );
    stream.on('data', (chunk: Buffer) => {
      const answer = this.#answer;
      if (answer === undefined || answer.destroyed) return;
      if (!answer.push(chunk) && !this.#isAnswerWhole) stream.pause();
    });
    stream.on('trailers', (_fields, _flags, ...[raw]: (readonly string[])[]) => {
      if (this.#answer !== undefined) this.#answer.rawTrailers = raw ?? [];
    });
    onEndStream(stream, () => {
      this.#isAnswerWhole = true;
      // The rest, a window full at most, is taken at once: when the connection goes, Node forgets what nobody has read.
      stream.resume();
    });
    stream.on('end', () => {
      if (!this.#isAnswerWhole || this.#answer === undefined) return;
      this.#isAnswerTaken = true;
      if (!this.#answer.destroyed) this.#answer.push(null);
    });
    stream.once('close', () => this.#onStreamClose(stream));
  }

  #passInterim(raw: readonly string[]): void {
    if (this.#hasFailed) return;
    this.#hear();
    const { status, reason, rawHeaders } = plainAnswer(raw, false, this.#options.method);
    const headers = HeaderList.fromRaw(rawHeaders);
    this.#options.onInterim({ httpVersion: '1.1', status, reason, headers });
  }

  #take(stream: ClientHttp2Stream, raw: readonly string[], hasEnded: boolean): void {
    if (this.#hasFailed) return;
    this.#hear();
    const head = plainAnswer(raw, hasEnded, this.#options.method);
    const limit = this.#options.maxHeaderBytes;
    if (head.bytes > limit) {
      this.#fail(this.#error('UPSTREAM_ANSWER_TOO_LARGE', `its response head is larger than ${limit} bytes`));
    } else if (head.status < 200) {
      this.#fail(this.#error('UPSTREAM_ANSWER_MALFORMED', `status ${head.status} does not exist`));
    } else {
      this.#cancelTimer();
      this.#answer = new UpstreamAnswer(stream, head);
      this.#answer.on('error', () => {});
      this.#onAnswered(this.#answer);
    }
  }

  #hear(): void {
    this.#hasHeard = true;
    this.body.forget();
  }

  // ---- the end ----

  #onStreamClose(stream: ClientHttp2Stream): void {
    if (stream !== this.#stream) return;
    if (this.#answer !== undefined) {
      if (!this.#isAnswerTaken) this.#answer.destroy();
      if (!this.#isSent) this.body.destroy();
    } else if (!this.#hasFailed) {
      const how = `the stream was reset (${nameOf(stream.rstCode)})`;
      const isUnseen = this.#session.isUnseen(stream);
      if (isUnseen && !this.#hasHeard) this.#askAgain(how);
      else this.#fail(this.#closedEarly(how));
    }
  }

  #closedEarly(how: string): ProxyError {
    const why = this.#session.isLost
      ? 'closed the connection before it had answered'
      : `did not answer: ${how}`;
    return this.#error('UPSTREAM_CLOSED_EARLY', why);
  }

  #error(code: ProxyError['code'], detail: string): ProxyError {
    return new ProxyError(code, `${this.#options.target.id}: ${detail}`);
  }

  #abort(): void {
    const error = ProxyError.from(this.#options.signal.reason);
    this.#fail(error);
    this.#answer?.destroy();
  }

  #fail(error: ProxyError): void {
    this.#hasFailed = true;
    this.#cancelTimer();
    this.#onFailed(error);
    // It may be dead, for all that has been heard of it.
    this.#letGo(!this.#hasHeard || STALLS.has(error.code));
  }

  #letGo(isDoubtful: boolean): void {
    const isSent = this.#isSent;
    this.body.destroy();
    const stream = this.#stream;
    if (stream === undefined) return;
    // One that has ended both ways closes by itself.
    if (!stream.closed && !(this.#isAnswerWhole && isSent)) {
      if (isDoubtful) this.#session.doubt();
      cancelStream(stream);
    }
    // A stream that nobody reads never closes.
    stream.resume();
  }
}

/** RFC 9113 §7: the first is number 0. */
const ERROR_NAMES = [
  'NO_ERROR',
  'PROTOCOL_ERROR',
  'INTERNAL_ERROR',
  'FLOW_CONTROL_ERROR',
  'SETTINGS_TIMEOUT',
  'STREAM_CLOSED',
  'FRAME_SIZE_ERROR',
  'REFUSED_STREAM',
  'CANCEL',
  'COMPRESSION_ERROR',
  'CONNECT_ERROR',
  'ENHANCE_YOUR_CALM',
  'INADEQUATE_SECURITY',
  'HTTP_1_1_REQUIRED',
];

function nameOf(code = 0): string {
  return ERROR_NAMES[code] ?? `error ${code}`;
}
