import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import {
  constants,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import { ProxyError } from '../../base/errors.js';
import { renderError } from '../../protocol/http/error-answer.js';
import { translateRequest } from '../../protocol/http2/request.js';
import { http2Fields } from '../../protocol/http2/response.js';
import { type ClientFacts, factsOf, noteFacts } from '../client-facts.js';
import { connectionFacts } from '../connection-facts.js';
import type { ListenerPlan } from '../plan.js';
import type { ClientHandlers } from '../types.js';
import { StreamSocket } from './stream-socket.js';

const { NGHTTP2_FLAG_END_STREAM } = constants;

/** How much a client may send on a stream that nobody reads. */
const STREAM_WINDOW_BYTES = 64 * 1024;
/** What Node may hold for one session before it refuses streams, in MiB: every stream’s window full, and as much again. */
const SESSION_MEMORY_MIB = 32;
/** Frames that break the protocol, and streams that were refused, before the session is ended. */
const MAX_BAD_FRAMES = 100;

/** Clients that speak HTTP/2: each of their streams is handed to `http1` as if it were a connection of its own. */
export class Http2Door {
  readonly #http1: Server;
  readonly #plan: ListenerPlan;
  readonly #handlers: ClientHandlers;
  readonly #sessions = new Set<Session>();
  #isClosing = false;
  #onEmpty: () => void = () => {};

  /** @param plan is looked at with each session, so that it may change. */
  constructor(http1: Server, plan: ListenerPlan, handlers: ClientHandlers) {
    this.#http1 = http1;
    this.#plan = plan;
    this.#handlers = handlers;
  }

  /** Takes a connection whose client speaks HTTP/2 from its first byte. */
  enter(socket: Socket): void {
    const { maxConcurrentStreams, maxHeaderBytes } = this.#settings();
    // In HTTP/2 it is streams that end; a connection that does is gone, and nobody else would tell its streams.
    socket.allowHalfOpen = false;
    const session = performServerHandshake(socket, {
      settings: {
        // RFC 8441 §3. Browsers use it as soon as they see it.
        enableConnectProtocol: this.#handlers.takesWebSockets(),
        maxConcurrentStreams,
        maxHeaderListSize: maxHeaderBytes,
        initialWindowSize: STREAM_WINDOW_BYTES,
      },
      maxSessionMemory: SESSION_MEMORY_MIB,
      maxSessionInvalidFrames: MAX_BAD_FRAMES,
      maxSessionRejectedStreams: MAX_BAD_FRAMES,
    });
    const known = new Session(session, this.#plan, () => {
      this.#sessions.delete(known);
      if (this.#sessions.size === 0) this.#onEmpty();
    });
    this.#sessions.add(known);
    const facts: ClientFacts = { ...factsOf(socket), via: 'h2', connection: connectionFacts(socket) };
    session.on('stream', (stream, _fields, flags, ...[raw]: (readonly string[])[]) => {
      this.#onStream(known, stream, (flags & NGHTTP2_FLAG_END_STREAM) === 0, raw ?? [], facts);
    });
    if (this.#isClosing) known.retire();
  }

  /** Lets every session go once its requests and its WebSockets have ended; resolves when none is left. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const session of [...this.#sessions]) session.retire();
    if (this.#sessions.size > 0) await new Promise<void>((resolve) => (this.#onEmpty = resolve));
  }

  cut(): void {
    for (const session of [...this.#sessions]) session.cut();
  }

  #settings() {
    const { http2, maxHeaderBytes } = this.#plan;
    return { maxConcurrentStreams: http2?.maxConcurrentStreams ?? 1, maxHeaderBytes };
  }

  #onStream(
    session: Session,
    stream: ServerHttp2Stream,
    hasBody: boolean,
    raw: readonly string[],
    facts: ClientFacts,
  ): void {
    const request = translateRequest(raw, hasBody, randomBytes(16).toString('base64'));
    if (request.kind === 'refused') {
      const code = request.status === 501 ? 'REQUEST_METHOD_UNSUPPORTED' : 'REQUEST_HEAD_MALFORMED';
      this.#refuse(stream, new ProxyError(code, request.reason), facts);
      return;
    }
    const socket = new StreamSocket(stream, { ...request, maxHeadBytes: MAX_ANSWER_HEAD_BYTES });
    session.hold(stream, request.body === 'tunnel');
    noteFacts(socket, facts);
    this.#http1.emit('connection', socket);
  }

  #refuse(stream: ServerHttp2Stream, error: ProxyError, facts: ClientFacts): void {
    const { status, headers, body } = renderError(error);
    stream.on('error', () => {});
    stream.respond({ ...http2Fields(headers), ':status': status });
    stream.end(body);
    stream.resume();
    const { id, isTrusted } = this.#plan;
    this.#handlers.onRefused(
      error,
      { ...facts, listener: id, isTrusted, trusted: isTrusted(facts.address) },
      undefined,
    );
  }
}

/** Upstreams’ heads have had their own limit by the time they come here. */
const MAX_ANSWER_HEAD_BYTES = 1024 * 1024;

/** One connection of HTTP/2, and what is open on it. */
class Session {
  readonly #session: ServerHttp2Session;
  readonly #plan: ListenerPlan;
  #streams = 0;
  #tunnels = 0;
  #timer: NodeJS.Timeout | undefined;
  #isRetiring = false;

  constructor(session: ServerHttp2Session, plan: ListenerPlan, onClose: () => void) {
    this.#session = session;
    this.#plan = plan;
    // What fails is told by 'close'.
    session.on('error', () => {});
    session.once('close', () => {
      clearTimeout(this.#timer);
      onClose();
    });
    this.#wait(plan.headerTimeoutMs);
  }

  /** Counts a stream until it has closed. */
  hold(stream: ServerHttp2Stream, isTunnel: boolean): void {
    clearTimeout(this.#timer);
    this.#streams++;
    if (isTunnel) this.#tunnels++;
    stream.once('close', () => {
      this.#streams--;
      if (isTunnel) this.#tunnels--;
      if (this.#isRetiring) this.retire();
      if (this.#streams === 0) this.#wait(this.#plan.keepAliveTimeoutMs);
    });
  }

  /**
   * Takes no new streams, and ends behind the last. Not before its WebSockets have ended: a browser that is told to go
   * away drops them, and reports 1006.
   */
  retire(): void {
    this.#isRetiring = true;
    if (this.#tunnels === 0 && !this.#session.closed) this.#session.close();
  }

  cut(): void {
    this.#session.destroy();
  }

  /** Ends it when nothing is asked for so long. */
  #wait(ms: number): void {
    this.#timer = setTimeout(() => this.retire(), ms).unref();
  }
}
