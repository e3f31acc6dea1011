import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionRequestOptions,
  connect,
  constants,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../../base/deps.js';
import { ProxyError } from '../../base/errors.js';
import type { Http2Fields } from '../../protocol/http2/response.js';
import { dial, type DialOptions, type DialTarget } from '../dial.js';
import { cancelStream } from './cancel-stream.js';

/** How much a server may send on a stream that nobody reads. */
const STREAM_WINDOW_BYTES = 64 * 1024;
/** How much it may send on all of them together: Node takes it off this window as it comes, read or not. */
const SESSION_WINDOW_BYTES = 1024 * 1024;
/** What Node may hold for one session, in MiB: every stream’s window full, and as much again. */
const SESSION_MEMORY_MIB = 32;
/** Fields of one answer; its bytes have a limit of their own. */
const MAX_FIELDS = 1000;
/** A connection has numbers for 2^30 streams of ours (RFC 9113 §5.1.1). */
const MAX_STREAMS_EVER = 1_000_000_000;

const { NGHTTP2_REFUSED_STREAM } = constants;

export interface UpstreamSessionOptions {
  readonly target: DialTarget;
  /** `only`: a server that does not speak HTTP/2 has failed. `auto`: it is asked in TLS. */
  readonly mode: 'only' | 'auto';
  readonly tls: DialOptions['tls'];
  /** TLS and the first words in HTTP/2 included. */
  readonly connectTimeoutMs: number;
  /** How long it is kept without a stream; 0 = as long as the server keeps it. */
  readonly keepAliveTimeoutMs: number;
  /** Whoever reads the answers as HTTP/1.1 holds them to this; here is only a wall behind it. */
  readonly maxHeaderBytes: number;
  readonly clock: Clock;
}

/** One connection of HTTP/2 to a server, and how many streams have a place on it. */
export class UpstreamSession {
  readonly scheme: 'http' | 'https';
  readonly #session: ClientHttp2Session;
  readonly #options: UpstreamSessionOptions;
  readonly #streams = new Set<ClientHttp2Stream>();
  #places = 0;
  #opened = 0;
  /** The last stream that the server will have looked at, from its GOAWAY. */
  #lastSeenId = Infinity;
  #isRetiring = false;
  #isLost = false;
  #isDoubted = false;
  #cancelIdle: () => void = () => {};

  /** @param onGone is called once, when it takes no streams any more because it has closed. */
  private constructor(
    session: ClientHttp2Session,
    socket: Socket,
    options: UpstreamSessionOptions,
    onGone: () => void,
  ) {
    this.#session = session;
    this.#options = options;
    this.scheme = options.target.secure ? 'https' : 'http';
    session.setLocalWindowSize(SESSION_WINDOW_BYTES);
    session.on('goaway', (_code: number, lastId: number) => (this.#lastSeenId = lastId));
    socket.prependListener('close', () => (this.#isLost = true));
    session.once('close', () => {
      this.#isLost = true;
      this.#cancelIdle();
      onGone();
    });
    this.#idle();
  }

  /**
   * Connects, and waits for the server’s settings. Undefined where the server prefers HTTP/1.1 (`auto` only).
   *
   * @throws ProxyError what `dial` throws, or `UPSTREAM_HTTP2_FAILED`.
   */
  static async open(
    options: UpstreamSessionOptions,
    signal: AbortSignal,
    onGone: (session: UpstreamSession) => void,
  ): Promise<UpstreamSession | undefined> {
    const { target, mode, clock, connectTimeoutMs } = options;
    const startedAt = clock.now();
    const socket = await dialForHttp2(options, signal);
    if (target.secure && (socket as TLSSocket).alpnProtocol !== 'h2') {
      socket.on('error', () => {});
      socket.destroy();
      if (mode === 'auto') return undefined;
      throw notAgreed(target);
    }
    // In HTTP/2 it is streams that end; a connection that does is gone, and nobody else would tell its streams.
    socket.allowHalfOpen = false;
    const session = connect(target.secure ? 'https://server' : 'http://server', {
      createConnection: () => socket,
      settings: {
        enablePush: false,
        initialWindowSize: STREAM_WINDOW_BYTES,
        maxHeaderListSize: 2 * options.maxHeaderBytes,
      },
      maxHeaderListPairs: MAX_FIELDS,
      maxSessionMemory: SESSION_MEMORY_MIB,
    });
    await firstWords(session, options, Math.max(1, connectTimeoutMs - (clock.now() - startedAt)), signal);
    const known: UpstreamSession = new UpstreamSession(session, socket, options, () => onGone(known));
    return known;
  }

  get hasRoom(): boolean {
    return this.isOpen && this.#places < this.#maxStreams;
  }

  /** Whether it takes new streams, once it has room. */
  get isOpen(): boolean {
    const { closed, destroyed } = this.#session;
    return !this.#isRetiring && !closed && !destroyed && !this.#isLost && this.#maxStreams > 0;
  }

  /** RFC 8441 §3. */
  get takesWebSockets(): boolean {
    return this.#session.remoteSettings.enableConnectProtocol === true;
  }

  /** Its connection has gone, with all that was on it. */
  get isLost(): boolean {
    return this.#isLost || this.#session.destroyed;
  }

  /** Whether more than one request has gone over it: the server may have ended it before it saw the last. */
  get isReused(): boolean {
    return this.#opened > 1;
  }

  /** Keeps a place for one stream, to be used by `request` or given back by `release`. */
  reserve(): void {
    this.#places++;
    this.#cancelIdle();
    this.#session.ref();
  }

  release(): void {
    this.#places--;
    if (this.#places > 0) return;
    if (this.#isRetiring) this.#close();
    else this.#idle();
  }

  /** Opens a stream in a reserved place, which is free again when it has closed. Throws when the session has closed. */
  request(fields: Http2Fields, options: ClientSessionRequestOptions): ClientHttp2Stream {
    const stream = this.#session.request(fields, options);
    this.#opened++;
    if (this.#opened >= MAX_STREAMS_EVER) this.#isRetiring = true;
    this.#streams.add(stream);
    stream.once('close', () => {
      this.#streams.delete(stream);
      this.release();
    });
    return stream;
  }

  /** Whether the server has said of a stream that has closed that it did nothing about it (RFC 9113 §8.7). */
  isUnseen({ id, rstCode }: ClientHttp2Stream): boolean {
    return rstCode === NGHTTP2_REFUSED_STREAM || (id !== undefined && id > this.#lastSeenId);
  }

  /** A stream was not answered: is there still somebody? Many tunnels must not wait for what TCP finds out in minutes. */
  doubt(): void {
    if (this.#isDoubted || this.isLost || this.#session.closed) return;
    this.#isDoubted = true;
    const cancel = this.#options.clock.after(this.#options.connectTimeoutMs, () => this.cut());
    const isSent = this.#session.ping(() => {
      cancel();
      this.#isDoubted = false;
    });
    if (!isSent) cancel();
  }

  /** Takes no new streams, and ends behind the last. */
  retire(): void {
    this.#isRetiring = true;
    if (this.#places === 0) this.#close();
  }

  /** Loses every stream at once. */
  cut(): void {
    // Node would end them in order.
    for (const stream of [...this.#streams]) cancelStream(stream);
    this.#session.destroy();
  }

  #idle(): void {
    this.#session.unref();
    const { keepAliveTimeoutMs, clock } = this.#options;
    if (keepAliveTimeoutMs > 0)
      this.#cancelIdle = clock.after(keepAliveTimeoutMs, () => {
        if (this.#places === 0) this.retire();
      });
  }

  #close(): void {
    this.#cancelIdle();
    if (!this.#session.closed) this.#session.close();
  }

  get #maxStreams(): number {
    return this.#session.remoteSettings.maxConcurrentStreams ?? Infinity;
  }
}

async function dialForHttp2(
  { target, mode, tls, clock, connectTimeoutMs }: UpstreamSessionOptions,
  signal: AbortSignal,
): Promise<Socket> {
  const alpn = mode === 'only' ? ['h2'] : ['h2', 'http/1.1'];
  try {
    return await dial(target, { clock, connectTimeoutMs, tls, signal, alpn });
  } catch (thrown) {
    const { cause } = thrown as Error;
    const isRefused = String((cause as NodeJS.ErrnoException | undefined)?.code).endsWith(
      'ALERT_NO_APPLICATION_PROTOCOL',
    );
    throw isRefused ? notAgreed(target) : thrown;
  }
}

/** Resolves when the server’s settings are there; the session is destroyed otherwise. */
function firstWords(
  session: ClientHttp2Session,
  { target, clock }: UpstreamSessionOptions,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let why = 'it closed the connection before it had said anything in HTTP/2';
    const fail = (): void => {
      cancel();
      session.destroy();
      reject(new ProxyError('UPSTREAM_HTTP2_FAILED', `${target.id} does not speak HTTP/2: ${why}`));
    };
    const cancel = clock.after(timeoutMs, () => {
      why = 'it said nothing in HTTP/2 within `connectTimeout`';
      fail();
    });
    // Also of its later life: what fails then is told by 'close'.
    session.on('error', (error: Error) => (why = error.message));
    session.once('close', fail);
    session.once('remoteSettings', () => {
      cancel();
      session.off('close', fail);
      signal.removeEventListener('abort', fail);
      resolve();
    });
    signal.addEventListener('abort', fail);
    if (signal.aborted) fail();
  });
}

function notAgreed({ id }: DialTarget): ProxyError {
  const detail = `${id} does not agree to HTTP/2 in TLS (ALPN h2), which \`http2: true\` asks for; \`http2: auto\` falls back to HTTP/1.1`;
  return new ProxyError('UPSTREAM_HTTP2_FAILED', detail);
}
