import type { Duplex } from 'node:stream';
import { ProxyError } from '../../base/errors.js';
import { Http2Request, type Http2RequestOptions } from './upstream-request.js';
import { UpstreamSession, type UpstreamSessionOptions } from './upstream-session.js';
import { UpstreamSocket } from './upstream-socket.js';

/** How long a server that speaks no HTTP/2, or no WebSockets over it, is not asked again. */
const REMEMBER_MS = 10 * 60 * 1000;
/** Connections that a server may end at once before it is taken for one that has failed. */
const MAX_STILLBORN = 3;

/**
 * The connections of HTTP/2 to one server: opened when there is no room on those that stand, and closed when nothing
 * has been on them for a while. One is opened at a time, for all who wait.
 */
export class UpstreamSessions {
  readonly #options: UpstreamSessionOptions;
  readonly #sessions = new Set<UpstreamSession>();
  /** Gives up an opening that nobody waits for any more. */
  readonly #over = new AbortController();
  #isClosed = false;
  #waiting = 0;
  #opening: Promise<UpstreamSession | undefined> | undefined;
  #http1UntilMs = -Infinity;
  #plainOnlyUntilMs = -Infinity;

  constructor(options: UpstreamSessionOptions) {
    this.#options = options;
  }

  /**
   * A stream for one WebSocket of RFC 6455, as a connection of HTTP/1.1 to write its handshake to. Undefined where the
   * server is to be dialled for it in HTTP/1.1 (`auto` only).
   *
   * @throws ProxyError what `dial` throws, `UPSTREAM_HTTP2_FAILED`, or `UPSTREAM_HTTP2_NO_WEBSOCKETS`.
   */
  async openTunnel(signal: AbortSignal): Promise<Duplex | undefined> {
    if (this.#options.clock.now() < this.#plainOnlyUntilMs) return undefined;
    const session = await this.#take(signal);
    if (session === undefined) return undefined;
    if (session.takesWebSockets) return new UpstreamSocket(session, () => this.#take());
    session.release();
    const { mode, target, clock } = this.#options;
    if (mode === 'only') {
      const detail = `${target.id} speaks HTTP/2 but announces no WebSockets over it (SETTINGS_ENABLE_CONNECT_PROTOCOL, RFC 8441); \`http2: false\` or \`auto\` goes by HTTP/1.1`;
      throw new ProxyError('UPSTREAM_HTTP2_NO_WEBSOCKETS', detail);
    }
    this.#plainOnlyUntilMs = clock.now() + REMEMBER_MS;
    return undefined;
  }

  /**
   * Sends a plain request. Undefined where it is to go in HTTP/1.1 (`auto` only).
   *
   * @throws ProxyError what `dial` throws, or `UPSTREAM_HTTP2_FAILED`.
   */
  async openRequest(
    options: Omit<Http2RequestOptions, 'session' | 'again'>,
  ): Promise<Http2Request | undefined> {
    const { signal } = options;
    const session = await this.#take(signal);
    return session && new Http2Request({ ...options, session, again: () => this.#take(signal) });
  }

  /** Sessions end behind their last stream. Who waits for one still gets it. */
  close(): void {
    this.#isClosed = true;
    if (this.#waiting === 0) this.#over.abort();
    for (const session of [...this.#sessions]) session.retire();
  }

  /** A place on a session, new if need be. Undefined: the server speaks HTTP/1.1. */
  async #take(signal?: AbortSignal): Promise<UpstreamSession | undefined> {
    const { target, clock, connectTimeoutMs } = this.#options;
    const startedAt = clock.now();
    for (let stillborn = 0; stillborn < MAX_STILLBORN;) {
      if (clock.now() < this.#http1UntilMs) return undefined;
      for (const session of this.#sessions) {
        if (!session.hasRoom) continue;
        session.reserve();
        return session;
      }
      if (clock.now() - startedAt > connectTimeoutMs) {
        const detail = `${target.id}: there was no room on its connections of HTTP/2 within ${connectTimeoutMs} ms`;
        throw new ProxyError('UPSTREAM_CONNECT_TIMEOUT', detail);
      }
      this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
      const opened = await this.#wait(this.#opening, signal);
      if (opened === undefined) return undefined;
      // Others who have waited may have filled it: then another is opened.
      if (!opened.isOpen) stillborn++;
    }
    const detail = `${target.id} ends its connections of HTTP/2 as soon as they stand, or takes no streams on them`;
    throw new ProxyError('UPSTREAM_HTTP2_FAILED', detail);
  }

  async #open(): Promise<UpstreamSession | undefined> {
    const { signal } = this.#over;
    const session = await UpstreamSession.open(this.#options, signal, (gone) => this.#sessions.delete(gone));
    if (session === undefined) {
      this.#http1UntilMs = this.#options.clock.now() + REMEMBER_MS;
      return undefined;
    }
    if (session.isOpen) this.#sessions.add(session);
    // A server that lets nobody in.
    else session.retire();
    // Those who wait have their places by then.
    if (this.#isClosed) setImmediate(() => session.retire());
    return session;
  }

  async #wait<T>(opening: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    this.#waiting++;
    try {
      return await (signal === undefined ? opening : whileWanted(opening, signal));
    } finally {
      this.#waiting--;
      if (this.#isClosed && this.#waiting === 0) this.#over.abort();
    }
  }
}

/** What is opened for several goes on without one who has given up. */
function whileWanted<T>(opening: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = (): void => reject(new ProxyError('CLIENT_GONE', 'given up while dialling'));
    signal.addEventListener('abort', giveUp, { once: true });
    if (signal.aborted) giveUp();
    void opening.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
  });
}
