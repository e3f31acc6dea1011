import { ProxyError } from '../base/errors.js';
import { GRIP_FEATURE } from '../protocol/grip/features.js';
import { FieldLines } from '../protocol/http/field-lines.js';
import type { LegalClose } from '../protocol/ws-over-http/close.js';
import { WsOverHttpConnection } from '../protocol/ws-over-http/connection.js';
import { connectionDefaults } from '../protocol/ws-over-http/options.js';
import { requestFields } from '../protocol/ws-over-http/request-fields.js';
import type { Action, EventsRequest } from '../protocol/ws-over-http/types.js';
import type { Asking } from './asking.js';
import { BackendFailure } from './backend.js';
import { DialectSocket, FAREWELL_TIMEOUT_MS, LAST_TIMEOUT_MS } from './dialect-socket.js';
import type { DialectRecord } from './session-record.js';
import type { Opening, TerminatedSocketOptions } from './terminated-socket.js';
import type { EndpointEnd } from './types.js';

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
export class GatewaySocket extends DialectSocket {
  readonly #connection: WsOverHttpConnection;
  readonly #replayed: FieldLines;
  /** The request that is under way, or was last. */
  #asking: Asking | undefined;
  /** Why the backend has not answered the handshake. */
  #openingFailure: ProxyError | undefined;
  #onOpening!: (opening: Opening) => void;
  readonly #opening = new Promise<Opening>((resolve) => (this.#onOpening = resolve));
  /** What is to be done once the client has its answer. */
  #held: readonly Action[] | undefined;
  #cancelWait: () => void = nothing;
  /** Nothing is waited for any more. */
  #isHurried = false;
  #isOver = false;

  constructor(options: TerminatedSocketOptions) {
    super(options);
    const { plan, offeredSubprotocols, random } = options;
    this.#replayed = FieldLines.of(options.replayed);
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
  }

  open(): Promise<Opening> {
    this.#pump();
    return this.#opening;
  }

  protected begin(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    this.#perform(held);
    this.#pump();
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
    else this.#asking?.giveUp(reason);
    this.#pump();
  }

  record(): DialectRecord {
    return { kind: 'websocket-over-http', meta: [...this.#connection.meta] };
  }

  protected forget(): void {
    this.#held = undefined;
    this.#cancelWait();
    this.#then(() => this.#connection.disown());
  }

  // The client.

  protected tell(type: 'text' | 'binary', content: Buffer): void {
    this.#hear(() => this.#connection.onClientMessage(type === 'text' ? 'TEXT' : 'BINARY', content));
  }

  onPing(content: Buffer): void {
    if (this.options.plan.pings === 'forward') {
      this.#hear(() => this.#connection.onClientMessage('PING', Buffer.from(content)));
    }
  }

  onPong(content: Buffer): void {
    if (this.options.plan.pings === 'forward') {
      this.#hear(() => this.#connection.onClientMessage('PONG', Buffer.from(content)));
    }
  }

  protected tellClose(code: number | undefined, reason: Buffer): void {
    this.#then(() => this.#connection.onClientClose(code, reason));
  }

  /** It may have been another that has published. */
  protected tellOwnClose({ code, reason }: LegalClose): void {
    this.#then(() => this.#connection.onClientClose(code, Buffer.from(reason)));
  }

  onEnd(end: EndpointEnd): void {
    this.grip.end();
    // A Close of ours that was answered says more than a connection that is gone.
    const isTold = end.how === 'closed' || this.ownWord?.by !== 'upstream';
    if (this.closeFromUs !== undefined && isTold && this.closeFromClient === undefined) {
      this.#connection.onClientClose(this.closeFromUs.code, Buffer.from(this.closeFromUs.reason));
    }
    this.#connection.onClientLost();
    this.options.onEnd(end);
    this.#pump();
  }

  // GRIP.

  protected detach(): void {
    this.#then(() => this.#connection.detach());
  }

  protected refresh(): void {
    this.#then(() => this.#connection.refresh());
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
    if (this.#connection.isFull) this.endpoint?.pause();
    else this.endpoint?.resume();
    this.#endIfOver();
  }

  async #ask(request: EventsRequest): Promise<void> {
    let actions: readonly Action[];
    const { changes } = this.#connection.meta;
    try {
      actions = this.#connection.onResponse(await this.#post(request));
    } catch (thrown) {
      const failure =
        thrown instanceof BackendFailure ? thrown : new BackendFailure('ambiguous', ProxyError.from(thrown));
      if (request.kind === 'open') this.#openingFailure = failure.error;
      actions = this.#connection.onFailure(failure.kind, failure.message);
    }
    // With all that was asked and answered.
    this.#asking = undefined;
    try {
      if (this.#connection.meta.changes !== changes) this.options.onChanged();
      this.#perform(actions);
      this.#pump();
    } catch (thrown) {
      // A fault of ours costs one session.
      this.options.report(`fault: ${String(thrown)}`);
      this.endpoint?.cut();
    }
  }

  async #post(request: EventsRequest) {
    const { backend, id, plan, path, signer, clock } = this.options;
    const signature = signer === undefined ? undefined : await signer.token(clock.date().getTime());
    const grip = plan.grip === undefined ? undefined : { signature, features: GRIP_FEATURE };
    this.#asking = backend.begin({
      method: 'POST',
      path,
      headers: requestFields(this.#replayed, request, { connectionId: id, grip }),
      body: request.body,
      timeoutMs: this.#timeoutMs(request),
      maxResponseBytes: plan.maxResponseBytes,
    });
    return this.#asking.answered;
  }

  #timeoutMs({ kind }: EventsRequest): number {
    if (this.#isHurried) return LAST_TIMEOUT_MS;
    return kind === 'disconnect' ? FAREWELL_TIMEOUT_MS : this.options.plan.requestTimeoutMs;
  }

  #perform(actions: readonly Action[]): void {
    for (const [i, action] of actions.entries()) {
      if (action.do === 'accept') {
        if (action.acceptance.grip !== undefined) this.grip.turnOn(action.acceptance.grip.messagePrefix);
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
        this.grip.end();
        this.#onOpening(
          action.problem === undefined
            ? { kind: 'refused', ...action }
            : { kind: 'failed', error: this.#openingFailure ?? this.#badAnswer(action.problem) },
        );
        return;
      case 'deliver': {
        const { type, content } = action.event;
        this.grip.take(TYPES[type], content);
        return;
      }
      case 'close':
        if (this.closeFromClient === undefined) {
          const detail = action.code === 1011 ? 'the backend failed' : undefined;
          this.ownWord ??= detail === undefined ? { by: 'upstream' } : { by: 'upstream', detail };
        }
        this.closeClient(action.code, action.reason);
        return;
      case 'wait':
        this.#cancelWait();
        if (this.#isHurried && action.for === 'retry') {
          this.#perform(this.#connection.onFailure('ambiguous', 'there is no time for retries'));
          return;
        }
        this.#cancelWait = this.options.clock.after(action.ms, () =>
          this.#then(() => this.#connection.onTime()),
        );
        return;
      case 'report':
        this.options.report(action.problem);
    }
  }

  #badAnswer(problem: string): ProxyError {
    return new ProxyError('UPSTREAM_ANSWER_MALFORMED', `${this.options.backend.server}: it ${problem}`);
  }

  #endIfOver(): void {
    if (this.#isOver || this.#connection.state !== 'over') return;
    if (this.endpoint?.isOpen === true) return;
    this.#isOver = true;
    this.#cancelWait();
    this.grip.end();
    this.options.onOver();
  }
}

const TYPES = { TEXT: 'text', BINARY: 'binary', PING: 'ping', PONG: 'pong' } as const;

function nothing(): void {}
