import { ProxyError } from '../base/errors.js';
import { formatDuration } from '../base/units.js';
import type { AskedConnection } from '../net/asked-connection.js';
import type { Asker, QuestionFailure, WholeAnswer } from '../net/question.js';
import { fieldLine, FieldLines } from '../protocol/http/field-lines.js';
import { requestLine } from '../protocol/http/head.js';
import type { FailureKind } from '../protocol/ws-over-http/types.js';
import type { ServerLease } from '../upstream/upstream.js';
import { askByExchange } from './ask-by-exchange.js';
import type { BackendOptions } from './backend.js';
import { type BackendAnswer, BackendFailure, type Question, MAX_RESPONSE_NAME } from './backend-question.js';

/** One question on its way: a place at a server, a connection, the answer; and the next server, if none was reached. */
export class Asking implements Asker {
  /** Rejects with a BackendFailure. */
  readonly answered: Promise<BackendAnswer>;
  readonly #question: Question;
  readonly #options: BackendOptions;
  readonly #onServer: (server: string) => void;
  #requestLine = '';
  #fields: FieldLines | undefined;
  #resolve!: (answer: BackendAnswer) => void;
  #reject!: (failure: BackendFailure) => void;
  readonly #cancelTimer: () => void;
  #givenUp: ProxyError | undefined;
  #isOver = false;
  /** While it waits for a place. */
  #leaveLine: (() => void) | undefined;
  #lease: ServerLease | undefined;
  /** While it is dialled, and all the time where it is asked otherwise. */
  #way: AbortController | undefined;
  #connection: AskedConnection | undefined;
  /** Whether others have used the connection before. */
  #isReused = false;

  /** @param onServer is told whom it is about to ask */
  constructor(question: Question, options: BackendOptions, onServer: (server: string) => void) {
    this.#question = question;
    this.#options = options;
    this.#onServer = onServer;
    this.answered = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const { clock, upstream, want } = options;
    this.#cancelTimer = clock.after(question.timeoutMs, () => this.giveUp(this.#tooLong()));
    try {
      this.#requestLine = requestLine(question.method, question.path);
      this.#fields = FieldLines.from(question.headers);
      const lease = upstream.pool.take(want);
      if (lease === undefined) this.#wait();
      else this.#askFrom(lease);
    } catch (thrown) {
      this.#end(new BackendFailure('not-reached', ProxyError.from(thrown)));
    }
  }

  /** Does nothing once it is answered. */
  giveUp(reason: ProxyError): void {
    if (this.#isOver || this.#givenUp !== undefined) return;
    this.#givenUp = reason;
    this.#way?.abort(reason);
    if (this.#connection !== undefined) this.#fail(kindOf(this.#connection.giveUp()), reason);
    else if (this.#lease === undefined) {
      this.#leaveLine?.();
      this.#end(new BackendFailure('not-reached', reason));
    }
  }

  // A place at a server.

  #wait(): void {
    const { upstream, want } = this.#options;
    this.#leaveLine = upstream.pool.enqueue(want, {
      granted: (lease) => this.#askFrom(lease),
      refused: (error) => this.#end(new BackendFailure('not-reached', ProxyError.from(error))),
    });
  }

  #askFrom(lease: ServerLease): void {
    this.#lease = lease;
    const { own, id } = lease.server;
    this.#onServer(id);
    const { proxyProtocol } = this.#options.upstream.plan;
    if (own.http2 !== undefined || proxyProtocol !== undefined) {
      void this.#askByExchange(lease);
      return;
    }
    const connection = own.questions.take();
    if (connection === undefined) void this.#dial(lease);
    else this.#askOn(connection, lease, true);
  }

  // The question.

  async #dial(lease: ServerLease): Promise<void> {
    const { connectTimeoutMs } = this.#options.upstream.plan;
    this.#way = new AbortController();
    try {
      const { signal } = this.#way;
      const connection = await lease.server.own.questions.open({ connectTimeoutMs, signal });
      this.#way = undefined;
      if (this.#givenUp === undefined) this.#askOn(connection, lease, false);
      else {
        connection.destroy();
        this.#fail('not-reached', this.#givenUp);
      }
    } catch (thrown) {
      this.#fail('not-reached', this.#givenUp ?? ProxyError.from(thrown));
    }
  }

  #askOn(connection: AskedConnection, { server }: ServerLease, isReused: boolean): void {
    const { method, body, maxResponseBytes } = this.#question;
    const fields = this.#fields!;
    const host = fields.hasHost ? '' : fieldLine('Host', server.plan.host);
    const question = {
      method,
      head: this.#requestLine + fields.text + host,
      hasTe: fields.hasTe,
      body,
      maxHeaderBytes: this.#options.upstream.plan.maxHeaderBytes,
      maxBodyBytes: maxResponseBytes,
      maxBodyName: MAX_RESPONSE_NAME,
    };
    this.#connection = connection;
    this.#isReused = isReused;
    connection.ask(question, this);
  }

  onAnswer({ status, reason, fields, body }: WholeAnswer): void {
    this.#connection = undefined;
    this.#succeed({ status, reason, fields, body, server: this.#lease!.server.id });
  }

  onFailure({ error, mayBeRead, isSilent }: QuestionFailure): void {
    this.#connection = undefined;
    // The server had closed the connection while nobody used it, which it tells by no answer at all.
    if (isSilent && this.#isReused) void this.#dial(this.#lease!);
    else this.#fail(kindOf(mayBeRead), error);
  }

  async #askByExchange(lease: ServerLease): Promise<void> {
    this.#way = new AbortController();
    try {
      this.#succeed(await askByExchange(lease.server, this.#question, this.#options, this.#way.signal));
    } catch (thrown) {
      const failure = thrown instanceof BackendFailure ? thrown : undefined;
      this.#fail(failure?.kind ?? 'ambiguous', failure?.error ?? ProxyError.from(thrown));
    }
  }

  // What has come of it.

  #succeed(answer: BackendAnswer): void {
    const lease = this.#lease!;
    lease.succeeded();
    lease.release();
    this.#isOver = true;
    this.#cancelTimer();
    this.#resolve(answer);
  }

  #fail(kind: FailureKind, error: ProxyError): void {
    const lease = this.#lease!;
    lease.failed(error);
    const mayTryAnother = kind === 'not-reached' && this.#givenUp === undefined;
    const next = mayTryAnother ? this.#options.upstream.pool.another(lease) : undefined;
    lease.release();
    if (next === undefined) this.#end(new BackendFailure(kind, error));
    else this.#askFrom(next);
  }

  #end(failure: BackendFailure): void {
    this.#isOver = true;
    this.#cancelTimer();
    this.#reject(failure);
  }

  #tooLong(): ProxyError {
    const { id } = this.#options.upstream.plan;
    const limit = formatDuration(this.#question.timeoutMs);
    const detail = `upstream ${id}: no whole answer within ${limit} (\`gateway.requestTimeout\`)`;
    return new ProxyError('UPSTREAM_ANSWER_TIMEOUT', detail);
  }
}

function kindOf(mayBeRead: boolean): FailureKind {
  return mayBeRead ? 'ambiguous' : 'before-body-written';
}
