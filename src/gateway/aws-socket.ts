import { ProxyError } from '../base/errors.js';
import type { AwsAnswer } from '../protocol/aws/answer.js';
import { type AwsConnectionFacts, type AwsOccasion, writeAwsEvent } from '../protocol/aws/events.js';
import { DEFAULT_ROUTE, selectRoute } from '../protocol/aws/routes.js';
import { HeaderList } from '../protocol/http/header-list.js';
import { legalClose } from '../protocol/ws-over-http/close.js';
import { readAcceptance, refusalFields } from '../protocol/ws-over-http/response-fields.js';
import type { AwsPlan } from '../route/gateway-plan.js';
import { AwsCaller } from './aws-caller.js';
import { BackendFailure } from './backend.js';
import { DialectSocket, FAREWELL_TIMEOUT_MS, LAST_TIMEOUT_MS } from './dialect-socket.js';
import type { DialectRecord } from './session-record.js';
import type { CloseWords, Opening, TerminatedSocketOptions } from './terminated-socket.js';
import type { EndpointEnd } from './types.js';

/** What a waiting message costs beside its content. */
const MESSAGE_COST_BYTES = 64;
/** RFC 6455 §7.1.5 and §7.1.1: a Close without a code, and none at all. */
const NO_CODE = 1005;
const NO_CLOSE = 1006;

export interface AwsSocketOptions extends TerminatedSocketOptions {
  readonly aws: AwsPlan;
  /** The handshake as `$connect` tells it, with what we add about the client. */
  readonly handshake: HeaderList;
  /** The address of the client. */
  readonly sourceIp: string;
  /** A name for one event, that no other has. */
  readonly newId: () => string;
}

interface Message {
  readonly type: 'text' | 'binary';
  readonly content: Buffer;
}

/**
 * One WebSocket that ends here and whose backend is asked as API Gateway asks: `$connect`, then each message by itself,
 * in order, then `$disconnect`. What a backend has to say beside its answers comes by `@connections`.
 */
export class AwsSocket extends DialectSocket<AwsSocketOptions> {
  readonly #caller: AwsCaller;
  readonly #facts: AwsConnectionFacts;
  /** Of the request that is under way. */
  #asking = new AbortController();
  #waiting: Message[] = [];
  #waitingBytes = 0;
  #isAsking = false;
  /** Nothing is waited for any more. */
  #isHurried = false;
  /** Whether the backend may believe that the connection is there. */
  #mayBeHeld = false;
  /** The client is gone, or never came to be. */
  #hasEnded = false;
  #farewell = { code: NO_CLOSE, reason: '' };
  /** The backend is being told of the end, or has been. */
  #isOver = false;

  constructor(options: AwsSocketOptions) {
    super(options);
    const { id, aws, clock, handshake, sourceIp } = options;
    this.#caller = new AwsCaller(options);
    this.#facts = {
      connectionId: id,
      stage: aws.stage,
      apiId: aws.apiId,
      domainName: aws.domainName ?? handshake.get('host') ?? '',
      connectedAtMs: clock.date().getTime(),
      sourceIp,
      userAgent: handshake.get('user-agent'),
    };
  }

  async open(): Promise<Opening> {
    this.#isAsking = true;
    const opening = await this.#connect();
    this.#isAsking = false;
    // Nobody is there for it any more.
    if (opening.kind !== 'accepted' || this.#hasEnded) this.#end();
    return opening;
  }

  protected begin(): void {
    if (this.closeFromClient !== undefined) this.#answerClose(this.closeFromClient);
    else this.#pace();
  }

  giveUp(reason: ProxyError): void {
    if (reason.code === 'PROXY_STOPPING') this.#hurry(reason);
    else if (!this.#isOver) this.#asking.abort(reason);
    if (this.endpoint === undefined) this.#end();
  }

  /** What is under way is given up, and the backend has a moment to hear of the end. */
  #hurry(reason: ProxyError): void {
    if (this.#isHurried) return;
    this.#isHurried = true;
    if (this.#isOver) this.options.clock.after(LAST_TIMEOUT_MS, () => this.#asking.abort(reason));
    else this.#asking.abort(reason);
  }

  record(): DialectRecord {
    return { kind: 'aws', facts: this.#facts, headers: this.#headersAtEnd().toRaw() };
  }

  protected forget(): void {
    this.#mayBeHeld = false;
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  // The client.

  protected tell(type: 'text' | 'binary', content: Buffer): void {
    this.#waiting.push({ type, content });
    this.#waitingBytes += content.length + MESSAGE_COST_BYTES;
    this.#pace();
    void this.#tellAll();
  }

  /** Backends of this dialect hear of no pings. */
  onPing(content: Buffer): void {
    if (this.options.plan.pings === 'forward') this.endpoint?.pong(content);
  }

  onPong(): void {}

  protected tellClose(code: number | undefined, reason: Buffer): void {
    this.#answerClose({ code, reason: reason.toString() });
  }

  onEnd(end: EndpointEnd): void {
    this.#farewell = this.#farewellOf(end);
    this.options.onEnd(end);
    this.#end();
  }

  // Of its end a backend is told by `$disconnect`; it is never asked without a cause, and never leaves.

  protected tellOwnClose(): void {}

  protected detach(): void {}

  protected refresh(): void {}

  // $connect.

  async #connect(): Promise<Opening> {
    const { handshake, path, plan, report } = this.options;
    const { event } = this.#event({ kind: 'connect', headers: handshake, target: path });
    try {
      // A client waits for its handshake: it is not put off, but tried on the next server.
      return this.#openingOf(await this.#call(event, plan.requestTimeoutMs, false));
    } catch (thrown) {
      const failure = asFailure(thrown);
      this.#mayBeHeld ||= failure.kind === 'ambiguous';
      report(`$connect: ${failure.message}`);
      return { kind: 'failed', error: failure.error };
    }
  }

  #openingOf({ status, fields, body }: AwsAnswer): Opening {
    if (status < 200 || status > 299) {
      return { kind: 'refused', status, fields: refusalFields(fields), body };
    }
    this.#mayBeHeld = true;
    const { acceptance, problem } = readAcceptance(fields, this.options.offeredSubprotocols, false);
    if (problem === undefined) return { kind: 'accepted', acceptance };
    throw new BackendFailure('ambiguous', new ProxyError('UPSTREAM_ANSWER_MALFORMED', problem));
  }

  // Messages.

  /** One after the other. What has failed is lost: its client is told, as API Gateway tells it. */
  async #tellAll(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      for (;;) {
        const message = this.#waiting.shift();
        if (message === undefined) break;
        this.#waitingBytes -= message.content.length + MESSAGE_COST_BYTES;
        await this.#tellOne(message);
        this.#pace();
      }
    } catch (thrown) {
      // A fault of ours costs one session.
      this.options.report(`fault: ${String(thrown)}`);
      this.endpoint?.cut();
    }
    this.#isAsking = false;
    if (this.#hasEnded) await this.#sayFarewell();
  }

  async #tellOne({ type, content }: Message): Promise<void> {
    const { aws, plan, newId, report } = this.options;
    const routeKey = type === 'text' ? selectRoute(content.toString(), aws.selection) : DEFAULT_ROUTE;
    const occasion: AwsOccasion = { kind: 'message', routeKey, type, content, messageId: newId() };
    const { event, requestId } = this.#event(occasion);
    try {
      const answer = await this.#call(event, plan.requestTimeoutMs, true);
      // In a function’s answer it is the function’s own word.
      if (answer.status >= 500 && aws.answers === 'http') throw failedWith(answer.status);
      if (answer.status >= 400) report(`${routeKey}: the backend answered ${answer.status}`);
      if (aws.twoWay && answer.body.length > 0) this.toClient(answer.type, answer.body);
    } catch (thrown) {
      const { message, error } = asFailure(thrown);
      report(`${routeKey}: a message is lost: ${message}`);
      const words =
        error.code === 'UPSTREAM_ANSWER_TIMEOUT' ? 'Endpoint request timed out' : 'Internal server error';
      const told = { message: words, connectionId: this.id, requestId };
      this.toClient('text', Buffer.from(JSON.stringify(told)));
      // Nobody hears what became of the others, and a backend that is away keeps all of this for long.
      if (this.#hasEnded || this.#isHurried) this.#dropWaiting();
    }
  }

  #dropWaiting(): void {
    if (this.#waiting.length > 0) {
      const why = this.#isHurried ? 'the proxy is stopping' : 'the client is gone';
      this.options.report(`${why}, and ${this.#waiting.length} more of its messages are lost`);
    }
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  /** The client is read no faster than the backend takes what it says. */
  #pace(): void {
    if (this.#waitingBytes >= this.options.plan.maxBufferedBytes) this.endpoint?.pause();
    else this.endpoint?.resume();
  }

  // The end.

  #end(): void {
    this.#hasEnded = true;
    this.grip.end();
    void this.#tellAll();
  }

  /** `$disconnect`, for whoever may hold the connection; nothing follows from the answer. */
  async #sayFarewell(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    try {
      if (this.#mayBeHeld) await this.#tellOfEnd();
    } catch (thrown) {
      this.options.report(`$disconnect: ${asFailure(thrown).message}`);
    }
    this.options.onOver();
  }

  async #tellOfEnd(): Promise<void> {
    const headers = this.#headersAtEnd();
    const { event } = this.#event({ kind: 'disconnect', ...this.#farewell, headers });
    const timeoutMs = this.#isHurried ? LAST_TIMEOUT_MS : FAREWELL_TIMEOUT_MS;
    const answer = await this.#call(event, timeoutMs, !this.#isHurried);
    if (answer.status >= 300) throw failedWith(answer.status);
  }

  #headersAtEnd(): HeaderList {
    const headers = new HeaderList();
    for (const name of ['Host', 'X-Forwarded-For']) {
      const value = this.options.handshake.get(name);
      if (value !== undefined) headers.append(name, value);
    }
    return headers;
  }

  #farewellOf({ fault, how }: EndpointEnd): { code: number; reason: string } {
    if (fault !== undefined) return fault;
    const said = this.closeFromClient ?? (how === 'closed' ? this.closeFromUs : undefined);
    if (said === undefined) return { code: NO_CLOSE, reason: 'Connection closed abnormally' };
    if (said.code === undefined) return { code: NO_CODE, reason: 'Client-side close frame status not set' };
    return { code: said.code, reason: said.reason };
  }

  #answerClose({ code, reason }: CloseWords): void {
    const close = legalClose(code, reason);
    this.closeClient(close.code, close.reason);
  }

  #call(event: Buffer, timeoutMs: number, isRetried: boolean): Promise<AwsAnswer> {
    this.#asking = new AbortController();
    return this.#caller.call({ event, timeoutMs, isRetried, signal: this.#asking.signal });
  }

  #event(occasion: AwsOccasion): { event: Buffer; requestId: string } {
    const requestId = this.options.newId();
    const atMs = this.options.clock.date().getTime();
    return { event: writeAwsEvent(this.#facts, occasion, { requestId, atMs }), requestId };
  }
}

function failedWith(status: number): BackendFailure {
  return new BackendFailure(
    'ambiguous',
    new ProxyError('UPSTREAM_ANSWER_MALFORMED', `the backend answered ${status}`),
  );
}

function asFailure(thrown: unknown): BackendFailure {
  return thrown instanceof BackendFailure ? thrown : new BackendFailure('ambiguous', ProxyError.from(thrown));
}
