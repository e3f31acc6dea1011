import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Deps } from '../base/deps.js';
import { ProxyError } from '../base/errors.js';
import { formatSize } from '../base/units.js';
import type { Answer, Exchange } from '../net/exchange.js';
import type { ClientPeer } from '../net/types.js';
import type { RequestHead, ResponseHead } from '../protocol/http/head.js';
import { passableTrailers } from '../protocol/http/trailers.js';
import type { RoutePlan } from '../route/plan.js';
import type { Want } from '../upstream/lease.js';
import { openExchange } from '../upstream/open-exchange.js';
import type { Server, ServerLease, Upstream } from '../upstream/upstream.js';
import { answerError, isEnding } from './answer-error.js';
import { dialledSecurely } from './dialled.js';
import { endAndFlush, pump, sendHeadNow, type PumpEnd } from './passthrough-body.js';
import {
  clientHead,
  mustMeetExpectation,
  readFraming,
  upstreamHeaders,
  type BodyFraming,
  type ClientHead,
} from './passthrough-heads.js';
import { IdleWatch, stallError } from './passthrough-idle.js';
import { passInterim } from './passthrough-interim.js';
import type { GatewayRequest, GatewayTurn } from './passthrough-gateway.js';
import type { Registry } from './registry.js';
import { proxyStopping } from './steps.js';

export { answerError } from './answer-error.js';

export interface PassthroughContext {
  readonly head: RequestHead;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly peer: ClientPeer;
  /** The client’s address, behind the proxies we trust. */
  readonly client: string;
  readonly route: RoutePlan;
  readonly upstream: Upstream;
  readonly deps: Deps;
  readonly registry: Pick<Registry, 'addRequest'>;
  /** On a gateway route: what servers are told, and may ask for. */
  readonly gateway?: GatewayRequest | undefined;
}

export interface PassthroughResult {
  /** What the client was answered; 499 when it was gone before. */
  status: number;
  /** Id of the server that answered, or was tried last. */
  server?: string;
  /** Body bytes. */
  bytesFromClient: number;
  bytesFromUpstream: number;
  error?: ProxyError;
}

/**
 * Plain HTTP: a request to one of the upstream’s servers, its answer to the client, both bodies streamed. Never
 * rejects; when it resolves, no timer and no listener of it is left.
 */
export function passthrough(ctx: PassthroughContext): Promise<PassthroughResult> {
  return new Passthrough(ctx).run();
}

/** Methods that may be sent twice, since they ask for nothing to change (RFC 9110 §9.2.1). */
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

/** Cuts what may be left of an exchange that was answered: an upload that nobody takes. */
const OVER = new ProxyError('INTERNAL', 'the exchange is over');

class Passthrough {
  readonly #ctx: PassthroughContext;
  /** Ends everything at once; its reason is the first failure, which is the one reported. */
  readonly #cut = new AbortController();
  readonly #idle: IdleWatch;
  readonly #want: Want;
  readonly #result: PassthroughResult = { status: 0, bytesFromClient: 0, bytesFromUpstream: 0 };
  #framing: BodyFraming = { kind: 'none' };
  /** The place at a server that is asked. */
  #lease: ServerLease | undefined;
  #request: Exchange | undefined;
  #upload: Promise<PumpEnd> | undefined;
  #answer: Answer | undefined;
  #interimSent = false;

  constructor(ctx: PassthroughContext) {
    this.#ctx = ctx;
    this.#want = ctx.upstream.wantOf(ctx.head, ctx.client);
    this.#idle = new IdleWatch(ctx.deps.clock, ctx.route.httpIdleTimeoutMs, () => this.#onIdle());
  }

  async run(): Promise<PassthroughResult> {
    const unwatch = this.#watchClient();
    const unregister = this.#ctx.registry.addRequest(() => this.#giveUp());
    try {
      if (isEnding(this.#ctx.req.socket)) throw behindTheLast();
      this.#framing = readFraming(this.#ctx.head);
      if (this.#framing.kind === 'length') this.#holdToLimit(this.#framing.bytes);
      this.#cut.signal.throwIfAborted();
      if (this.#ctx.gateway !== undefined) await this.#ctx.gateway.prepare();
      const [answer, lease] = await this.#ask();
      await this.#passAnswer(answer, lease);
    } catch (thrown) {
      this.#fail(thrown);
    }
    await this.#finishUpload();
    unregister();
    unwatch();
    this.#idle.stop();
    if (this.#upload !== undefined) this.#cut.abort(OVER);
    this.#lease?.release();
    return this.#result;
  }

  /** A client that goes away ends the exchange. */
  #watchClient(): () => void {
    const { req, res } = this.#ctx;
    const { socket } = req;
    const gone = () => this.#cut.abort(new ProxyError('CLIENT_GONE', 'the client closed its connection'));
    // A response tells of a close only while the socket is its own; in a pipeline it may have to wait for that.
    const onResponseClose = () => {
      if (!res.writableFinished) gone();
    };
    shareListeners(socket);
    socket.on('close', gone);
    res.on('close', onResponseClose);
    if (socket.destroyed) gone();
    return () => {
      socket.off('close', gone);
      res.off('close', onResponseClose);
    };
  }

  /**
   * Takes a place at a server, waiting for one where all are full, and asks one after the other until one takes the
   * connection; resolves with its answer.
   */
  async #ask(): Promise<[Answer, ServerLease]> {
    const { pool } = this.#ctx.upstream;
    let lease = pool.take(this.#want) ?? (await pool.wait(this.#want, this.#cut.signal));
    for (;;) {
      this.#lease = lease;
      this.#result.server = lease.server.id;
      try {
        const answer = await this.#askServer(lease.server);
        lease.succeeded();
        return [answer, lease];
      } catch (thrown) {
        const failure = this.#firstFailure(thrown);
        lease.failed(failure);
        // A request that one server may have seen is not shown to another.
        const next = failure.step === 'dial' ? pool.another(lease) : undefined;
        if (next === undefined) throw failure;
        lease = next;
      }
    }
  }

  /** @param isFresh on a connection of its own, where that is known to help. */
  async #askServer(server: Server, isFresh = false): Promise<Answer> {
    const request = await this.#open(server, isFresh);
    try {
      await request.connected;
      this.#request = request;
      if (this.#hasBody) this.#upload = this.#sendBody(request);
      return await request.answered;
    } catch (thrown) {
      if (isFresh || !this.#mayRepeat(request, this.#firstFailure(thrown))) throw thrown;
      return await this.#askServer(server, true);
    }
  }

  /**
   * The server closed a pooled connection while our request was on its way. It may have seen it or not: only what is
   * safe to ask twice is asked again (RFC 9110 §9.2.2), and then on a connection of its own.
   */
  #mayRepeat(request: Exchange, failure: ProxyError): boolean {
    const isStale = request.isReused && failure.code === 'UPSTREAM_CLOSED_EARLY';
    return isStale && SAFE_METHODS.has(this.#ctx.head.method) && !this.#hasBody && !this.#interimSent;
  }

  #open(server: Server, isFresh: boolean): Exchange | Promise<Exchange> {
    const { head, req, peer, client, route, upstream, deps, gateway } = this.#ctx;
    const { plan } = upstream;
    const headers = upstreamHeaders(head, this.#framing, peer, route, server.plan);
    gateway?.dress(headers);
    if (mustMeetExpectation(head)) headers.delete('expect');
    const asked = {
      target: server.plan,
      method: head.method,
      path: head.target,
      headers,
      hasBody: this.#hasBody,
      responseTimeoutMs: route.responseTimeoutMs,
      maxHeaderBytes: plan.maxHeaderBytes,
      clock: deps.clock,
      signal: this.#cut.signal,
      onInterim: (interim: ResponseHead) => this.#passInterim(interim),
    };
    return openExchange(server, asked, plan, { connection: req.socket, facts: peer, client }, isFresh);
  }

  /** Moves the client’s body while the answer is awaited, and on while it is passed. Never rejects. */
  async #sendBody({ body }: Exchange): Promise<PumpEnd> {
    const { head, req, res, route } = this.#ctx;
    if (head.headers.has('expect') && mustMeetExpectation(head) && head.httpVersion === '1.1')
      res.writeContinue();
    sendHeadNow(body);
    this.#idle.start();
    const end = await pump(req, body, (bytes) => this.#countFromClient(bytes), this.#cut.signal);
    if (end !== 'ended') return end;
    try {
      if (this.#framing.kind === 'chunked')
        body.addTrailers(passableTrailers(req.rawTrailers, route.reservedHeaders));
      await endAndFlush(body);
      // From here on the request’s own timer awaits the answer.
      if (this.#answer === undefined) this.#idle.stop();
    } catch (thrown) {
      this.#cut.abort(ProxyError.from(thrown));
    }
    return end;
  }

  #passInterim(interim: ResponseHead): void {
    const { head, res } = this.#ctx;
    try {
      if (passInterim(interim, head, res)) this.#interimSent = true;
    } catch (thrown) {
      this.#cut.abort(this.#unpassable(thrown));
    }
  }

  async #passAnswer(answer: Answer, lease: ServerLease): Promise<void> {
    const { head, res, peer, upstream, gateway } = this.#ctx;
    this.#answer = answer;
    let passed = clientHead(answer, head, lease.server.plan);
    this.#idle.start();
    const cookie = upstream.cookieFor(this.#want, lease.server.id, dialledSecurely(head, peer));
    if (gateway !== undefined) {
      const rest = await gateway.take(answer, passed, this.#turnOf(lease, cookie));
      if (rest === undefined) {
        this.#idle.start();
        return this.#flushed();
      }
      passed = rest;
    }
    if (cookie !== undefined) passed.headers.append('Set-Cookie', cookie);
    // The pump waits a tick for data, so that what came with the head leaves with it, in one write.
    const sink = passed.hasBody ? res : undefined;
    const moving = pump(answer, sink, (bytes) => this.#countFromUpstream(bytes), this.#cut.signal);
    this.#passHead(passed);
    const end = await moving;
    if (end === 'source-lost') {
      throw new ProxyError(
        'UPSTREAM_RESPONSE_ABORTED',
        `${lease.server.id}: its response broke off in the middle`,
      );
    }
    if (end === 'sink-lost') throw new ProxyError('CLIENT_GONE', 'the client closed its connection');
    if (end === 'stopped') throw this.#cut.signal.reason;
    if (passed.isChunked) res.addTrailers(passableTrailers(answer.rawTrailers));
    res.end();
    await this.#flushed();
  }

  /** What a gateway needs to answer the client in its own way. */
  #turnOf(lease: ServerLease, cookie: string | undefined): GatewayTurn {
    return {
      server: lease.server.id,
      cookie,
      hasBody: this.#hasBody,
      signal: this.#cut.signal,
      count: (bytes) => this.#countFromUpstream(bytes),
      passHead: (head) => this.#passHead(head),
      // From here on nobody at the server is kept waiting, and a client that hears nothing is not idle.
      onRead: () => {
        this.#idle.stop();
        lease.release();
      },
    };
  }

  #passHead({ status, reason, headers, hasBody }: ClientHead): void {
    const { res } = this.#ctx;
    // The upstream’s own Date, or none.
    res.sendDate = false;
    try {
      res.writeHead(status, reason, headers.toRaw());
    } catch (thrown) {
      throw this.#unpassable(thrown);
    }
    this.#result.status = status;
    if (hasBody) sendHeadNow(res);
  }

  /** Node’s parser is more lenient than its writers. */
  #unpassable(thrown: unknown): ProxyError {
    const detail = `${this.#result.server}: its response head cannot be passed on (${(thrown as Error).message})`;
    return new ProxyError('UPSTREAM_ANSWER_MALFORMED', detail, { cause: thrown });
  }

  /** Resolves when the whole answer is in the kernel’s hands. */
  #flushed(): Promise<void> {
    const { res } = this.#ctx;
    const { signal } = this.#cut;
    return new Promise((resolve, reject) => {
      if (signal.aborted) reject(signal.reason as Error);
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      if (res.writableFinished) resolve();
      else res.once('finish', resolve);
    });
  }

  /** A stop has come to its deadline: the connection is about to be cut, so what there is to say is said at once. */
  #giveUp(): void {
    if (!this.#ctx.res.writableFinished) this.#fail(proxyStopping());
  }

  #fail(thrown: unknown): void {
    const { res } = this.#ctx;
    if (this.#result.error !== undefined) return;
    const error = this.#firstFailure(thrown);
    this.#result.error = error;
    if (!res.headersSent) this.#result.status = error.status;
    this.#cut.abort(error);
    answerError(res, error);
  }

  /** What was cut off fails in many ways; the reason for the cut is the one that counts. */
  #firstFailure(thrown: unknown): ProxyError {
    const { signal } = this.#cut;
    return ProxyError.from(signal.aborted ? signal.reason : thrown);
  }

  /**
   * The client has its answer but may still be sending. What the upstream takes is passed on; the rest is read and
   * thrown away for as long as an answer may take, since closing over unread bytes would make the kernel send a reset,
   * which can destroy the answer before the client has read it.
   */
  async #finishUpload(): Promise<void> {
    const { req, deps, route } = this.#ctx;
    if (!this.#hasBody) return;
    const end = await this.#upload;
    if (end === 'ended' || end === 'source-lost' || req.socket.destroyed) return;
    const limit = new AbortController();
    const stop = () => limit.abort();
    const cancel = deps.clock.after(route.responseTimeoutMs, stop);
    // Node has forgotten the request once its response was finished: only the socket tells of its end.
    req.socket.on('close', stop);
    const rest = await pump(req, undefined, (bytes) => this.#countFromClient(bytes), limit.signal);
    req.socket.off('close', stop);
    cancel();
    if (rest === 'stopped') req.socket.destroy();
  }

  #onIdle(): void {
    const { req, res, route } = this.#ctx;
    if (res.writableFinished) {
      // The answer is out; only a stalled upload is left.
      req.socket.destroy();
      return;
    }
    const stall = {
      request: this.#request?.body,
      answer: this.#answer,
      response: res,
      server: this.#result.server,
      idleTimeoutMs: route.httpIdleTimeoutMs,
    };
    this.#cut.abort(stallError(stall));
  }

  get #hasBody(): boolean {
    const framing = this.#framing;
    return framing.kind === 'chunked' || (framing.kind === 'length' && framing.bytes > 0);
  }

  #countFromClient(bytes: number): void {
    this.#result.bytesFromClient += bytes;
    this.#idle.moved();
    this.#holdToLimit(this.#result.bytesFromClient);
  }

  /** So many bytes of body are there, or announced. */
  #holdToLimit(bytes: number): void {
    const { maxBodyBytes } = this.#ctx.route;
    if (maxBodyBytes === 0 || bytes <= maxBodyBytes) return;
    const detail = `the request body is larger than ${formatSize(maxBodyBytes)}`;
    this.#cut.abort(new ProxyError('REQUEST_BODY_TOO_LARGE', detail));
  }

  #countFromUpstream(bytes: number): void {
    this.#result.bytesFromUpstream += bytes;
    this.#idle.moved();
  }
}

function behindTheLast(): ProxyError {
  return new ProxyError('REQUEST_HEAD_MALFORMED', 'follows a request after which the connection ends');
}

/** Each request of a pipeline listens to the one socket: many listeners are no leak. */
function shareListeners(socket: Socket): void {
  socket.setMaxListeners(0);
}
