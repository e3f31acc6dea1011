import type { SessionAnswer } from '../channels/types.js';
import { ProxyError } from '../base/errors.js';
import { GRIP_FEATURE } from '../protocol/grip/features.js';
import { legalClose } from '../protocol/ws-over-http/close.js';
import { WsOverHttpConnection } from '../protocol/ws-over-http/connection.js';
import { connectionDefaults } from '../protocol/ws-over-http/options.js';
import { requestFields } from '../protocol/ws-over-http/request-fields.js';
import type { Action, EventsRequest } from '../protocol/ws-over-http/types.js';
import { BackendFailure } from './backend.js';
import { GripSocket } from './grip-socket.js';
import { Outlet } from './outlet.js';
import type { Opening, OwnWord, TerminatedSocket, TerminatedSocketOptions } from './terminated-socket.js';
import type { ClientEndpoint, EndpointEnd } from './types.js';

/** A backend that is told that a client has gone has nothing to say to it. */
const FAREWELL_TIMEOUT_MS = 5000;
/** And less so when everything has to end now. */
const LAST_TIMEOUT_MS = 1000;
const TRY_AGAIN_LATER = 1013;

/**
 * One WebSocket that ends here: what its client does goes to the backend as events in HTTP requests, what the backend
 * answers and publishes goes to the client.
 *
 * ```
 *   client ── Endpoint ──▶ WsOverHttpConnection ──▶ Backend ── POST ──▶ server
 *   client ◀── Outlet ◀── GripSocket ◀── events ◀── answer
 *                             ▲
 *                            Hub ◀── published
 * ```
 */
export class GatewaySocket implements TerminatedSocket {
  readonly id: string;
  messages = 0;
  bytes = 0;
  closeFromClient: TerminatedSocket['closeFromClient'];
  closeFromUs: TerminatedSocket['closeFromUs'];
  ownWord: OwnWord | undefined;
  readonly #options: TerminatedSocketOptions;
  readonly #connection: WsOverHttpConnection;
  /** Of the request that is under way. */
  #asking = new AbortController();
  /** Why the backend has not answered the handshake. */
  #openingFailure: ProxyError | undefined;
  readonly #grip: GripSocket;
  #endpoint: ClientEndpoint | undefined;
  #outlet: Outlet | undefined;
  #onOpening!: (opening: Opening) => void;
  readonly #opening = new Promise<Opening>((resolve) => (this.#onOpening = resolve));
  /** What is to be done once the client has its answer. */
  #held: readonly Action[] | undefined;
  #cancelWait: () => void = nothing;
  /** Nothing is waited for any more. */
  #isHurried = false;
  #isOver = false;

  constructor(options: TerminatedSocketOptions) {
    const { id, plan, hub, clock, offeredSubprotocols, random } = options;
    this.id = id;
    this.#options = options;
    const { attempts, statuses } = plan.retries;
    this.#connection = new WsOverHttpConnection({
      offeredSubprotocols,
      offersGrip: plan.grip !== undefined,
      limits: {
        ...connectionDefaults.limits,
        bufferBytes: plan.maxBufferedBytes,
        maxMessageBytes: plan.maxMessageBytes,
      },
      retry: { ...connectionDefaults.retry, attempts, statuses: [...statuses] },
      random,
    });
    const actions = {
      send: this.#send.bind(this),
      sendPrepared: (prepared) => this.#outlet?.sendPrepared(prepared) ?? 'skipped',
      close: (code, reason) => this.#closeByPublish(code, reason),
      detach: () => this.#then(() => this.#connection.detach()),
      refresh: () => this.#then(() => this.#connection.refresh()),
      report: options.report,
    } satisfies ConstructorParameters<typeof GripSocket>[0]['actions'];
    this.#grip = new GripSocket({ id, hub, plan, clock, actions });
  }

  open(): Promise<Opening> {
    this.#pump();
    return this.#opening;
  }

  attach(endpoint: ClientEndpoint): void {
    this.#endpoint = endpoint;
    this.#outlet = new Outlet(endpoint, this.#options.plan.slowConsumer, () => this.#onTooSlow());
    const held = this.#held ?? [];
    this.#held = undefined;
    this.#perform(held);
    this.#pump();
  }

  get endpoint(): ClientEndpoint | undefined {
    return this.#endpoint;
  }

  get outlet(): Outlet | undefined {
    return this.#outlet;
  }

  /**
   * A backend that has been asked may still grant it, so its answer is awaited, and it is told of the end after it. If
   * there is no time for that, by one short request.
   */
  giveUp(reason: ProxyError): void {
    this.#held = undefined;
    if (reason.code !== 'PROXY_STOPPING') {
      this.#then(() => this.#connection.onClientLost());
      return;
    }
    this.#isHurried = true;
    const isWaiting = this.#connection.isWaitingToRetry;
    this.#connection.onClientLost();
    if (isWaiting) this.#perform(this.#connection.onFailure('ambiguous', reason.message));
    else this.#asking.abort(reason);
    this.#pump();
  }

  // The client.

  onMessage(type: 'text' | 'binary', content: Buffer): void {
    this.messages++;
    this.bytes += content.length;
    // It may be a part of what was read with it, and waits for as long as the backend takes.
    const owned = content.buffer.byteLength > 2 * content.length + 512 ? Buffer.from(content) : content;
    this.#hear(() => this.#connection.onClientMessage(type === 'text' ? 'TEXT' : 'BINARY', owned));
  }

  onPing(content: Buffer): void {
    if (this.#options.plan.pings === 'forward') {
      this.#hear(() => this.#connection.onClientMessage('PING', Buffer.from(content)));
    }
  }

  onPong(content: Buffer): void {
    if (this.#options.plan.pings === 'forward') {
      this.#hear(() => this.#connection.onClientMessage('PONG', Buffer.from(content)));
    }
  }

  onClose(code: number | undefined, reason: Buffer): void {
    this.closeFromClient = { code, reason: reason.toString() };
    this.#then(() => this.#connection.onClientClose(code, reason));
  }

  onDrain(): void {
    this.#outlet?.onDrain();
  }

  onEnd(end: EndpointEnd): void {
    this.#grip.end();
    // A Close of ours that was answered says more than a connection that is gone.
    const isTold = end.how === 'closed' || this.ownWord?.by !== 'upstream';
    if (this.closeFromUs !== undefined && isTold && this.closeFromClient === undefined) {
      this.#connection.onClientClose(this.closeFromUs.code, Buffer.from(this.closeFromUs.reason));
    }
    this.#connection.onClientLost();
    this.#options.onEnd(end);
    this.#pump();
  }

  // Who knows its id, and the proxy itself.

  send(type: 'text' | 'binary', content: Buffer): SessionAnswer {
    if (this.#endpoint?.isOpen !== true) return { ok: false, why: 'closing' };
    return this.#send(type, content) === 'delivered' ? { ok: true } : { ok: false, why: 'too-slow' };
  }

  close(code: number | undefined, reason: string): SessionAnswer {
    if (this.#endpoint?.isOpen !== true) return { ok: false, why: 'closing' };
    this.#closeByPublish(code, reason);
    return { ok: true };
  }

  info(): Readonly<Record<string, unknown>> {
    return this.#options.info();
  }

  closeByProxy(code: number, reason: string, word: OwnWord | undefined): void {
    if (word !== undefined) this.ownWord ??= word;
    this.#close(code, reason);
  }

  // What follows.

  #hear(said: () => readonly Action[]): void {
    this.#perform(said());
    this.#pump();
  }

  #then(said: () => void): void {
    said();
    this.#pump();
  }

  #pump(): void {
    for (;;) {
      // The client has first to be answered.
      const request = this.#held === undefined ? this.#connection.nextRequest() : undefined;
      if (request === undefined) break;
      this.#cancelWait();
      void this.#ask(request);
    }
    if (this.#connection.isFull) this.#endpoint?.pause();
    else this.#endpoint?.resume();
    this.#endIfOver();
  }

  async #ask(request: EventsRequest): Promise<void> {
    let actions: readonly Action[];
    try {
      actions = this.#connection.onResponse(await this.#post(request));
    } catch (thrown) {
      const failure =
        thrown instanceof BackendFailure ? thrown : new BackendFailure('ambiguous', ProxyError.from(thrown));
      if (request.kind === 'open') this.#openingFailure = failure.error;
      actions = this.#connection.onFailure(failure.kind, failure.message);
    }
    try {
      this.#perform(actions);
      this.#pump();
    } catch (thrown) {
      // A fault of ours costs one session.
      this.#options.report(`fault: ${String(thrown)}`);
      this.#endpoint?.cut();
    }
  }

  async #post(request: EventsRequest) {
    const { backend, id, plan, path, replayed, signer, clock } = this.#options;
    const asking = (this.#asking = new AbortController());
    const signature = await signer?.token(clock.date().getTime());
    const grip = plan.grip === undefined ? undefined : { signature, features: GRIP_FEATURE };
    return backend.ask({
      method: 'POST',
      path,
      headers: requestFields(replayed, request, { connectionId: id, grip }),
      body: request.body,
      timeoutMs: this.#timeoutMs(request),
      maxResponseBytes: plan.maxResponseBytes,
      signal: asking.signal,
    });
  }

  #timeoutMs({ kind }: EventsRequest): number {
    if (this.#isHurried) return LAST_TIMEOUT_MS;
    return kind === 'disconnect' ? FAREWELL_TIMEOUT_MS : this.#options.plan.requestTimeoutMs;
  }

  #perform(actions: readonly Action[]): void {
    for (const [i, action] of actions.entries()) {
      if (action.do === 'accept') {
        if (action.acceptance.grip !== undefined) this.#grip.turnOn(action.acceptance.grip.messagePrefix);
        this.#held = actions.slice(i + 1);
        this.#onOpening({ kind: 'accepted', acceptance: action.acceptance });
        return;
      }
      this.#do(action);
    }
  }

  #do(action: Exclude<Action, { do: 'accept' }>): void {
    switch (action.do) {
      case 'refuse':
        this.#grip.end();
        this.#onOpening(
          action.problem === undefined
            ? { kind: 'refused', ...action }
            : { kind: 'failed', error: this.#openingFailure ?? this.#badAnswer(action.problem) },
        );
        return;
      case 'deliver': {
        const { type, content } = action.event;
        this.#grip.take(TYPES[type], content);
        return;
      }
      case 'close':
        if (this.closeFromClient === undefined) {
          const detail = action.code === 1011 ? 'the backend failed' : undefined;
          this.ownWord ??= detail === undefined ? { by: 'upstream' } : { by: 'upstream', detail };
        }
        this.#close(action.code, action.reason);
        return;
      case 'wait':
        this.#cancelWait();
        if (this.#isHurried && action.for === 'retry') {
          this.#perform(this.#connection.onFailure('ambiguous', 'there is no time for retries'));
          return;
        }
        this.#cancelWait = this.#options.clock.after(action.ms, () =>
          this.#then(() => this.#connection.onTime()),
        );
        return;
      case 'report':
        this.#options.report(action.problem);
    }
  }

  #badAnswer(problem: string): ProxyError {
    return new ProxyError('UPSTREAM_ANSWER_MALFORMED', `${this.#options.backend.server}: it ${problem}`);
  }

  #send(type: 'text' | 'binary' | 'ping' | 'pong', content: Buffer) {
    const endpoint = this.#endpoint;
    if (endpoint === undefined) return 'skipped';
    if (type === 'text' || type === 'binary') return this.#outlet!.send(type, content);
    if (content.length <= 125) endpoint[type](content);
    return 'delivered';
  }

  #closeByPublish(code: number | undefined, reason: string): void {
    const close = legalClose(code, reason);
    this.ownWord ??= { by: 'upstream' };
    this.#close(close.code, close.reason);
    // The backend hears of it: it may have been another that has published.
    this.#then(() => this.#connection.onClientClose(close.code, Buffer.from(close.reason)));
  }

  #close(code: number, reason: string): void {
    if (this.#endpoint?.isOpen !== true) return;
    this.closeFromUs = { code, reason };
    this.#endpoint.close(code, reason);
  }

  #onTooSlow(): void {
    const detail = `did not take what was sent: more than ${this.#options.plan.slowConsumer.maxBytes} bytes waited (\`gateway.slowConsumer\`)`;
    this.ownWord ??= { by: 'proxy', outcome: 'limit', detail };
    this.#options.report(`the client ${detail}`);
    this.#close(TRY_AGAIN_LATER, 'slow consumer');
  }

  #endIfOver(): void {
    if (this.#isOver || this.#connection.state !== 'over') return;
    if (this.#endpoint?.isOpen === true) return;
    this.#isOver = true;
    this.#cancelWait();
    this.#grip.end();
    this.#options.onOver();
  }
}

const TYPES = { TEXT: 'text', BINARY: 'binary', PING: 'ping', PONG: 'pong' } as const;

function nothing(): void {}
