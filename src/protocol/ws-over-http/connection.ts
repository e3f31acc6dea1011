import { HeaderList } from '../http/header-list.js';
import { type Answer, isAnswer, readAnswer } from './answer.js';
import { type LegalClose, legalClose, readCloseContent, writeCloseContent } from './close.js';
import { encodeEvents } from './events.js';
import { Meta } from './meta.js';
import type { ConnectionOptions } from './options.js';
import { type Batch, Outbox } from './outbox.js';
import { keepAliveInterval, readAcceptance, refusalFields } from './response-fields.js';
import { Retries } from './retries.js';
import type { Action, EventsRequest, EventsResponse, Farewell, FailureKind, MessageType } from './types.js';

/** `closing`: one side has said its last word. `over`: nothing more will be asked of the backend. */
export type ConnectionState = 'pending' | 'open' | 'closing' | 'over';

/**
 * One WebSocket of WebSocket-over-HTTP: what the client does goes in, requests come out; answers go in, what the client
 * is to get comes out. It does no I/O and keeps no time. After each call, carry out the actions, then send what
 * `nextRequest` gives: there is never more than one request at a time, and that is what keeps messages in order.
 *
 * A backend that may hold the connection is told of its end by one CLOSE or DISCONNECT, as far as it can be reached. A
 * client that has been let in is never cut: whatever the backend does, it gets a Close.
 */
export class WsOverHttpConnection {
  readonly #options: ConnectionOptions;
  readonly #outbox = new Outbox();
  readonly #meta = new Meta();
  readonly #retries: Retries;
  #state: ConnectionState = 'pending';
  #seq = 0;
  /** Not answered for good yet: it may also be waiting for a retry. */
  #inFlight: { readonly request: EventsRequest; readonly batch: Batch } | undefined;
  /** It is to be sent again now. */
  #resend = false;
  #waitingFor: 'retry' | 'keep-alive' | undefined;
  /** A request is to be sent even without news. */
  #isDue = true;
  #keepAliveMs: number | undefined;
  /** What the client’s own Close is answered with, should the backend not answer it. */
  #clientsClose = legalClose(undefined);
  #backendHasClosed = false;
  /** The client was sent its Close, is gone, or was detached: nothing more is for it. */
  #clientIsDone = false;
  #isDisowned = false;
  /** Whether the backend may believe that the connection is there. */
  #mayBeHeld = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#retries = new Retries(options.retry, options.random);
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** What the backend has bound to the connection. */
  get meta(): Meta {
    return this.#meta;
  }

  /** Bytes of content from the client that the backend has not accepted. */
  get bufferedBytes(): number {
    return this.#outbox.contentBytes;
  }

  /** The client should be paused until this is false again. A message counts a little more than its content. */
  get isFull(): boolean {
    return this.#outbox.costBytes >= this.#options.limits.bufferBytes;
  }

  /** The request in flight has failed, and is to be sent again after a while. */
  get isWaitingToRetry(): boolean {
    return this.#waitingFor === 'retry';
  }

  // From the client.

  onClientMessage(type: MessageType, content: Buffer): readonly Action[] {
    if (this.#state === 'over' || this.#outbox.isEnded) return [];
    const { maxMessageBytes } = this.#options.limits;
    if (content.length <= maxMessageBytes) {
      this.#outbox.push({ type, content });
      return [];
    }
    const problem = `a message of the client has ${content.length} bytes; at most ${maxMessageBytes} are taken`;
    const actions = [report(problem), ...this.#closeClient(legalClose(1009))];
    this.onClientLost();
    return actions;
  }

  /** Code and reason as they came; `code` undefined: a Close without. What was said before it goes first. */
  onClientClose(code: number | undefined, reason: Buffer): void {
    if (this.#state === 'over' || this.#outbox.isEnded) return;
    this.#clientsClose = legalClose(code, reason.toString());
    this.#sayFarewell({ type: 'CLOSE', content: writeCloseContent(code, reason) });
  }

  /** The client’s connection is gone, whether or not a Close came before. */
  onClientLost(): void {
    this.#clientIsDone = true;
    if (this.#state === 'over') return;
    const isIdle = this.#inFlight === undefined;
    if (isIdle && (!this.#mayBeHeld || this.#outbox.closeIsTold)) this.#state = 'over';
    else if (!this.#outbox.isEnded) this.#sayFarewell({ type: 'DISCONNECT' });
  }

  /** Somebody else has told the backend of its end: nothing more is asked, and no answer counts. */
  disown(): void {
    this.#isDisowned = this.#clientIsDone = true;
    if (this.#inFlight === undefined || this.#resend || this.isWaitingToRetry) this.#end();
  }

  #end(): readonly Action[] {
    this.#inFlight = undefined;
    this.#resend = false;
    this.#state = 'over';
    return [];
  }

  /** The backend wants no more of the client (GRIP `detach`): it is told CLOSE, and the client nothing. */
  detach(): void {
    this.#clientIsDone = true;
    if (this.#state === 'over' || this.#outbox.isEnded) return;
    this.#sayFarewell({ type: 'CLOSE', content: NOTHING });
  }

  /** Asks the backend at once, or right after the request in flight. */
  refresh(): void {
    if (this.#state === 'open') this.#isDue = true;
  }

  // To the backend.

  /** What is to be sent now, or undefined. Each is followed by one call of `onResponse` or `onFailure`. */
  nextRequest(): EventsRequest | undefined {
    if (this.#inFlight !== undefined) {
      if (!this.#resend) return undefined;
      this.#resend = false;
      return this.#inFlight.request;
    }
    if (!this.#hasReasonToAsk()) return undefined;
    this.#waitingFor = undefined;
    this.#isDue = false;
    this.#inFlight = this.#state === 'pending' ? this.#composeOpen() : this.#compose();
    return this.#inFlight.request;
  }

  /** The time that the last `wait` named is over. */
  onTime(): void {
    if (this.#waitingFor === 'retry') this.#resend = true;
    else if (this.#waitingFor === 'keep-alive') this.#isDue = true;
    this.#waitingFor = undefined;
  }

  #hasReasonToAsk(): boolean {
    if (this.#state === 'over') return false;
    return this.#isDue || (this.#state !== 'pending' && this.#outbox.hasNews);
  }

  #composeOpen() {
    const body = encodeEvents([{ type: 'OPEN' }]);
    const request = { kind: 'open', seq: ++this.#seq, body, replayedBytes: 0, meta: this.#meta } as const;
    return { request, batch: EMPTY_BATCH };
  }

  #compose() {
    const { maxRequestBytes, maxRequestEvents } = this.#options.limits;
    const batch = this.#outbox.take(maxRequestBytes, maxRequestEvents);
    const { messages, farewell, replayedBytes } = batch;
    const kind = farewell?.type === 'DISCONNECT' ? 'disconnect' : 'events';
    const body = encodeEvents(farewell === undefined ? messages : [...messages, farewell]);
    const request = { kind, seq: ++this.#seq, body, replayedBytes, meta: this.#meta } as const;
    return { request, batch };
  }

  // From the backend.

  onResponse(response: EventsResponse): readonly Action[] {
    const { request, batch } = this.#present();
    if (this.#isDisowned) return this.#end();
    const { kind } = request;
    if (kind !== 'open' && this.#retries.isTemporary(response.status)) {
      const waitMs = this.#retries.nextWaitMs('status');
      if (waitMs !== undefined) return [this.#wait(waitMs, 'retry')];
    }
    this.#inFlight = undefined;
    this.#retries.reset();
    const isEvents = isAnswer(response);
    if (kind === 'disconnect')
      return this.#onDisconnected(isEvents ? undefined : `answered ${response.status}`);
    if (!isEvents) {
      return kind === 'open' ? this.#refuse(response) : this.#fail(`answered ${response.status}, no events`);
    }

    this.#mayBeHeld = true;
    const answer = readAnswer(response, kind === 'open');
    if (answer.problem !== undefined) return this.#fail(`sent what cannot be used: ${answer.problem}`);
    const problem = this.#takeSettings(response.fields) ?? this.#settle(batch, answer);
    if (problem !== undefined) return this.#fail(problem);
    return kind === 'open' ? this.#onOpenAnswer(response, answer) : this.#onEvents(answer, []);
  }

  /** @param detail what happened, for the log */
  onFailure(failure: FailureKind, detail: string): readonly Action[] {
    const { kind } = this.#present().request;
    if (this.#isDisowned) return this.#end();
    // A client waits for its handshake: an OPEN is not put off, but tried on the next server by who sends it.
    const waitMs = kind === 'open' ? undefined : this.#retries.nextWaitMs(failure);
    if (waitMs !== undefined) return [this.#wait(waitMs, 'retry')];
    this.#inFlight = undefined;
    this.#retries.reset();
    if (kind === 'disconnect') return this.#onDisconnected(`gave no answer: ${detail}`);
    if (kind === 'open' && failure === 'ambiguous') this.#mayBeHeld = true;
    return this.#fail(`gave no answer: ${detail}`);
  }

  #present() {
    if (this.#inFlight === undefined) throw new Error('an answer came without a request');
    return this.#inFlight;
  }

  #refuse({ status, fields, body }: EventsResponse): readonly Action[] {
    this.#state = 'over';
    return this.#clientIsDone ? [] : [{ do: 'refuse', status, fields: refusalFields(fields), body }];
  }

  #takeSettings(fields: HeaderList): string | undefined {
    const { maxMetaBytes, minKeepAliveMs } = this.#options.limits;
    const interval = keepAliveInterval(fields, minKeepAliveMs);
    if (interval !== undefined) this.#keepAliveMs = interval === 'off' ? undefined : interval;
    this.#meta.apply(fields);
    if (this.#meta.bytes <= maxMetaBytes) return undefined;
    return `set ${this.#meta.bytes} bytes of Meta; at most ${maxMetaBytes} are kept`;
  }

  /** What the backend has accepted leaves the outbox. Returns what is wrong with it. */
  #settle(batch: Batch, answer: Answer): string | undefined {
    const taken = this.#outbox.accept(batch, answer.acceptedBytes);
    if (typeof taken === 'object') return `sent what cannot be used: ${taken.problem}`;
    // What is left goes out again with what comes next. Where nothing can come, it is offered as long as that helps.
    const canMoreCome = !this.#outbox.isEnded && !this.isFull;
    if (taken === 'all' || canMoreCome || this.#hasReasonToAsk()) return undefined;
    if (taken === 'some') this.#isDue = true;
    else if (this.#keepAliveMs === undefined) {
      return `leaves ${this.bufferedBytes} bytes of content unaccepted, though no more can come`;
    }
    return undefined;
  }

  #onOpenAnswer({ fields }: EventsResponse, answer: Answer): readonly Action[] {
    if (answer.events.length === 0) {
      // It decides later: OPEN again after the interval.
      if (this.#keepAliveMs !== undefined) return this.#rest(skippedReport(answer));
      return this.#fail('answered the OPEN with neither OPEN nor a Keep-Alive-Interval');
    }
    const { offeredSubprotocols, offersGrip } = this.#options;
    const { acceptance, problem } = readAcceptance(fields, offeredSubprotocols, offersGrip);
    if (problem !== undefined) return this.#fail(`sent what cannot be used: ${problem}`);
    if (this.#clientIsDone) return this.#onEvents(answer, []);
    this.#state = 'open';
    return this.#onEvents(answer, [{ do: 'accept', acceptance }]);
  }

  #onEvents(answer: Answer, before: readonly Action[]): readonly Action[] {
    const actions = [...before, ...skippedReport(answer)];
    for (const event of answer.events) {
      if (event.type === 'OPEN') continue;
      if (event.type === 'DISCONNECT') return [...actions, ...this.#onUnknown()];
      if (event.type === 'CLOSE') {
        const { code, reason } = readCloseContent(event.content);
        this.#backendHasClosed = true;
        this.#state = 'closing';
        actions.push(...this.#closeClient(legalClose(code, reason)));
      } else if (!this.#clientIsDone) {
        actions.push({ do: 'deliver', event });
      }
    }
    // Without keep-alives the backend has one chance to answer a Close.
    const isLastWord = this.#clientIsDone || this.#keepAliveMs === undefined;
    if (!this.#outbox.closeIsTold || !isLastWord) return this.#rest(actions);
    this.#state = 'over';
    return [...actions, ...this.#closeClient(this.#clientsClose)];
  }

  /** DISCONNECT from the backend: it does not know the connection, or not any more. */
  #onUnknown(): readonly Action[] {
    this.#mayBeHeld = false;
    if (!this.#outbox.closeIsTold) return this.#fail('does not know the connection (DISCONNECT)');
    this.#state = 'over';
    return this.#closeClient(this.#clientsClose);
  }

  /** All is said: the keep-alive runs from here, unless there is a request to send. */
  #rest(actions: readonly Action[]): readonly Action[] {
    if (this.#keepAliveMs === undefined || this.#backendHasClosed || this.#hasReasonToAsk()) return actions;
    return [...actions, this.#wait(this.#keepAliveMs, 'keep-alive')];
  }

  // The end.

  #sayFarewell(farewell: Farewell): void {
    this.#outbox.end(farewell);
    this.#state = 'closing';
  }

  #closeClient({ code, reason }: LegalClose): Action[] {
    if (this.#clientIsDone) return [];
    this.#clientIsDone = true;
    return [{ do: 'close', code, reason }];
  }

  /** Whatever the answer to a DISCONNECT, it is the last. */
  #onDisconnected(problem: string | undefined): readonly Action[] {
    this.#state = 'over';
    if (problem === undefined) return [];
    return [report(`the backend, told that the client is gone, ${problem}${this.#lostMessages()}`)];
  }

  /** The backend has failed. What waits for it is lost; it is told of the end if it may hold the connection. */
  #fail(problem: string): readonly Action[] {
    const problemReport = report(`the backend ${problem}${this.#lostMessages()}`);
    this.#outbox.clear();
    const isPending = this.#state === 'pending';
    if (this.#mayBeHeld && !this.#outbox.closeIsTold) this.#sayFarewell({ type: 'DISCONNECT' });
    else this.#state = 'over';
    if (!isPending) return [problemReport, ...this.#closeClient(legalClose(1011))];
    return [problemReport, { do: 'refuse', status: 502, fields: new HeaderList(), body: NOTHING, problem }];
  }

  #lostMessages(): string {
    const { length, contentBytes } = this.#outbox;
    return length === 0 ? '' : `; messages of the client lost: ${length} (${contentBytes} bytes)`;
  }

  #wait(ms: number, what: 'retry' | 'keep-alive'): Action {
    this.#waitingFor = what;
    return { do: 'wait', ms, for: what };
  }
}

const NOTHING = Buffer.alloc(0);

const EMPTY_BATCH: Batch = {
  messages: [],
  farewell: undefined,
  contentBytes: 0,
  replayedBytes: 0,
  isAll: true,
};

function report(problem: string): Action {
  return { do: 'report', problem };
}

function skippedReport({ skipped }: Answer): Action[] {
  if (skipped.length === 0) return [];
  const types = [...new Set(skipped)].join(', ');
  return [report(`the backend sent events of unknown types, which were passed over: ${types}`)];
}
