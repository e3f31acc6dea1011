import type { Clock } from '../base/deps.js';
import { ProxyError } from '../base/errors.js';
import { formatDuration, formatSize } from '../base/units.js';
import type { Answer, Exchange } from '../net/exchange.js';
import type { Beneficiary } from '../net/proxy-preface.js';
import { HeaderList } from '../protocol/http/header-list.js';
import type { EventsResponse, FailureKind } from '../protocol/ws-over-http/types.js';
import type { Want } from '../upstream/lease.js';
import { openExchange } from '../upstream/open-exchange.js';
import type { Server, ServerLease, Upstream } from '../upstream/upstream.js';

export interface Question {
  readonly method: string;
  readonly path: string;
  /** Without `Host`, unless the server is to see that one. `Content-Length` among them. */
  readonly headers: HeaderList;
  readonly body: Buffer;
  /** For all of it: a place at a server, the connection, the whole answer. */
  readonly timeoutMs: number;
  readonly maxResponseBytes: number;
  /** Gives it up, with a ProxyError. */
  readonly signal: AbortSignal;
}

/** A server’s whole answer. */
export interface BackendAnswer extends EventsResponse {
  readonly reason: string;
  /** Its id. */
  readonly server: string;
}

/** Why there is no answer: what happened, and whether the server may have read the question. */
export class BackendFailure extends Error {
  override readonly name = 'BackendFailure';
  readonly kind: FailureKind;
  readonly error: ProxyError;

  constructor(kind: FailureKind, error: ProxyError) {
    super(error.message);
    this.kind = kind;
    this.error = error;
  }
}

export interface BackendOptions {
  readonly upstream: Upstream;
  /** What the client of these questions asks of the pool: the same server again, where it sticks to one. */
  readonly want: Want;
  readonly beneficiary: Beneficiary;
  readonly clock: Clock;
}

/** The servers of a route, as one that answers short questions in plain HTTP: balanced, checked, in HTTP/1.1 or 2. */
export class Backend {
  readonly #options: BackendOptions;
  /** The server that was asked last. */
  server: string | undefined;

  constructor(options: BackendOptions) {
    this.#options = options;
  }

  /**
   * Asks one server after another until one takes the connection, and resolves with its answer, whatever its status.
   *
   * @throws BackendFailure
   */
  async ask(question: Question): Promise<BackendAnswer> {
    const { upstream, want, clock } = this.#options;
    const over = new AbortController();
    const abort = (): void => over.abort(question.signal.reason);
    question.signal.addEventListener('abort', abort, { once: true });
    if (question.signal.aborted) abort();
    const cancelTimer = clock.after(question.timeoutMs, () => over.abort(tooLong(upstream, question)));
    try {
      const lease = await this.#place(want, over.signal);
      return await this.#askFrom(lease, question, over.signal);
    } finally {
      cancelTimer();
      question.signal.removeEventListener('abort', abort);
      // Whatever is left of it.
      over.abort(OVER);
    }
  }

  async #place(want: Want, signal: AbortSignal): Promise<ServerLease> {
    const { pool } = this.#options.upstream;
    try {
      return pool.take(want) ?? (await pool.wait(want, signal));
    } catch (thrown) {
      throw new BackendFailure('not-reached', ProxyError.from(thrown));
    }
  }

  async #askFrom(first: ServerLease, question: Question, signal: AbortSignal): Promise<BackendAnswer> {
    const { pool } = this.#options.upstream;
    for (let lease = first; ;) {
      this.server = lease.server.id;
      try {
        const answer = await this.#askServer(lease.server, question, signal, false);
        lease.succeeded();
        lease.release();
        return answer;
      } catch (thrown) {
        const failure = asFailure(thrown);
        lease.failed(failure.error);
        const next = failure.kind === 'not-reached' && !signal.aborted ? pool.another(lease) : undefined;
        lease.release();
        if (next === undefined) throw failure;
        lease = next;
      }
    }
  }

  /** @param isFresh on a connection of its own. */
  async #askServer(
    server: Server,
    question: Question,
    signal: AbortSignal,
    isFresh: boolean,
  ): Promise<BackendAnswer> {
    const { upstream, beneficiary, clock } = this.#options;
    const { method, path, body, timeoutMs } = question;
    const headers = question.headers.clone();
    if (!headers.has('host')) headers.set('Host', server.plan.host);
    const hasBody = body.length > 0;
    const asked = {
      target: server.plan,
      method,
      path,
      headers,
      hasBody,
      responseTimeoutMs: timeoutMs,
      maxHeaderBytes: upstream.plan.maxHeaderBytes,
      clock,
      signal,
      onInterim: nothing,
    };
    let exchange: Exchange | undefined;
    let stage: FailureKind = 'not-reached';
    try {
      exchange = await openExchange(server, asked, upstream.plan, beneficiary, isFresh);
      await exchange.connected;
      stage = 'before-body-written';
      if (hasBody) exchange.body.end(body);
      const answer = await exchange.answered;
      stage = 'ambiguous';
      return await readAnswer(answer, question, server.id, signal);
    } catch (thrown) {
      const error = ProxyError.from(signal.aborted ? signal.reason : thrown);
      const isStale = exchange?.isReused === true && error.code === 'UPSTREAM_CLOSED_EARLY';
      // The server had closed the connection while nobody used it, which it tells by no answer at all.
      if (isStale && !isFresh) return this.#askServer(server, question, signal, true);
      const isWritten = stage === 'before-body-written' && exchange!.body.writableFinished;
      throw new BackendFailure(isWritten ? 'ambiguous' : stage, error);
    }
  }
}

async function readAnswer(
  answer: Answer,
  { maxResponseBytes }: Question,
  server: string,
  signal: AbortSignal,
): Promise<BackendAnswer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const abort = (): void => void answer.destroy();
  signal.addEventListener('abort', abort, { once: true });
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxResponseBytes) throw tooLarge(server, maxResponseBytes);
      chunks.push(chunk);
    }
  } catch (thrown) {
    if (thrown instanceof ProxyError) throw thrown;
    throw new ProxyError('UPSTREAM_RESPONSE_ABORTED', `${server}: its answer broke off after ${bytes} bytes`);
  } finally {
    signal.removeEventListener('abort', abort);
  }
  return {
    status: answer.statusCode ?? 0,
    reason: answer.statusMessage ?? '',
    fields: HeaderList.fromRaw(answer.rawHeaders),
    body: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks),
    server,
  };
}

function asFailure(thrown: unknown): BackendFailure {
  return thrown instanceof BackendFailure ? thrown : new BackendFailure('ambiguous', ProxyError.from(thrown));
}

function tooLong({ plan }: Upstream, { timeoutMs }: Question): ProxyError {
  const detail = `upstream ${plan.id}: no whole answer within ${formatDuration(timeoutMs)} (\`gateway.requestTimeout\`)`;
  return new ProxyError('UPSTREAM_ANSWER_TIMEOUT', detail);
}

function tooLarge(server: string, limit: number): ProxyError {
  const detail = `${server}: its answer is larger than ${formatSize(limit)} (\`gateway.maxResponseBytes\`)`;
  return new ProxyError('UPSTREAM_ANSWER_TOO_LARGE', detail);
}

const OVER = new ProxyError('INTERNAL', 'the exchange is over');

function nothing(): void {}
