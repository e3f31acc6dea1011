import { ProxyError } from '../base/errors.js';
import { formatSize } from '../base/units.js';
import type { Answer, Exchange } from '../net/exchange.js';
import { FieldLines } from '../protocol/http/field-lines.js';
import { HeaderList } from '../protocol/http/header-list.js';
import type { FailureKind } from '../protocol/ws-over-http/types.js';
import { openExchange } from '../upstream/open-exchange.js';
import type { Server } from '../upstream/upstream.js';
import type { BackendOptions } from './backend.js';
import { type BackendAnswer, BackendFailure, type Question, MAX_RESPONSE_NAME } from './backend-question.js';

/**
 * Asks one server as plain requests are passed on: in HTTP/2, or on a connection with a PROXY header.
 *
 * @param signal gives it up, with a ProxyError
 * @param isFresh on a connection of its own
 * @throws BackendFailure
 */
export async function askByExchange(
  server: Server,
  question: Question,
  options: BackendOptions,
  signal: AbortSignal,
  isFresh = false,
): Promise<BackendAnswer> {
  const { upstream, beneficiary, clock } = options;
  const { method, path, body, timeoutMs } = question;
  const headers = FieldLines.from(question.headers).toList();
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
    if (isStale && !isFresh) return askByExchange(server, question, options, signal, true);
    const isWritten = stage === 'before-body-written' && exchange!.body.writableFinished;
    throw new BackendFailure(isWritten ? 'ambiguous' : stage, error);
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

function tooLarge(server: string, limit: number): ProxyError {
  const detail = `${server}: its answer is larger than ${formatSize(limit)} (\`${MAX_RESPONSE_NAME}\`)`;
  return new ProxyError('UPSTREAM_ANSWER_TOO_LARGE', detail);
}

function nothing(): void {}
