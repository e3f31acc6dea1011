import type { Clock } from '../base/deps.js';
import { ProxyError } from '../base/errors.js';
import { writeAwsEvent } from '../protocol/aws/events.js';
import { GRIP_FEATURE } from '../protocol/grip/features.js';
import { HeaderList } from '../protocol/http/header-list.js';
import { encodeEvents } from '../protocol/ws-over-http/events.js';
import { requestFields } from '../protocol/ws-over-http/request-fields.js';
import type { GatewayPlan } from '../route/gateway-plan.js';
import { askAgain } from './ask-again.js';
import { AwsCaller } from './aws-caller.js';
import { type Backend, BackendFailure } from './backend.js';
import { FAREWELL_TIMEOUT_MS } from './dialect-socket.js';
import type { DialectRecord, SessionRecord } from './session-record.js';
import { signerOf } from './signers.js';

export interface LastWordOptions {
  readonly plan: GatewayPlan;
  readonly backend: Backend;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** A name for one event, that no other has. */
  readonly newId: () => string;
  /** Gives it up, with a ProxyError. */
  readonly signal: AbortSignal;
}

/**
 * Tells a backend that a session of another node has ended without a Close: DISCONNECT, or `$disconnect`, tried again as
 * the route has it. Resolves once the backend has taken it.
 *
 * @throws BackendFailure
 */
export async function sayLastWord(
  id: string,
  record: SessionRecord,
  options: LastWordOptions,
): Promise<void> {
  const { dialect } = record;
  const status =
    dialect.kind === 'aws'
      ? await disconnectAws(id, record, dialect, options)
      : await disconnect(id, record, dialect, options);
  if (status >= 200 && status <= 299) return;
  throw failed(`the backend answered ${status}`);
}

async function disconnect(
  id: string,
  { replayed, path }: SessionRecord,
  { meta }: Extract<DialectRecord, { kind: 'websocket-over-http' }>,
  { plan, backend, clock, random, signal }: LastWordOptions,
): Promise<number> {
  if (plan.aws !== undefined) throw failed('its route speaks another dialect by now');
  const fields = HeaderList.fromRaw(replayed);
  // How many requests there were before, nobody knows any more.
  const request = { seq: undefined, body: encodeEvents([{ type: 'DISCONNECT' }]), replayedBytes: 0, meta };
  const ask = async () => {
    const signature = await signerOf(plan.grip)?.token(clock.date().getTime());
    const grip = plan.grip === undefined ? undefined : { signature, features: GRIP_FEATURE };
    return await backend.ask({
      method: 'POST',
      path,
      headers: requestFields(fields, request, { connectionId: id, grip }),
      body: request.body,
      timeoutMs: FAREWELL_TIMEOUT_MS,
      maxResponseBytes: plan.maxResponseBytes,
      signal,
    });
  };
  return (await askAgain(ask, { retries: plan.retries, clock, random, signal })).status;
}

async function disconnectAws(
  id: string,
  { replayed, path }: SessionRecord,
  { facts, headers }: Extract<DialectRecord, { kind: 'aws' }>,
  { plan, backend, clock, random, newId, signal }: LastWordOptions,
): Promise<number> {
  const { aws } = plan;
  if (aws === undefined) throw failed('its route speaks another dialect by now');
  const caller = new AwsCaller({
    id,
    plan,
    aws,
    backend,
    path,
    replayed: HeaderList.fromRaw(replayed),
    signer: signerOf(plan.grip),
    clock,
    random,
  });
  const occasion = { kind: 'disconnect', ...ABNORMAL, headers: HeaderList.fromRaw(headers) } as const;
  const event = writeAwsEvent(facts, occasion, { requestId: newId(), atMs: clock.date().getTime() });
  return (await caller.call({ event, timeoutMs: FAREWELL_TIMEOUT_MS, isRetried: true, signal })).status;
}

/** RFC 6455 §7.1.5: no Close came. */
const ABNORMAL = { code: 1006, reason: 'Connection closed abnormally' };

function failed(detail: string): BackendFailure {
  return new BackendFailure('ambiguous', new ProxyError('UPSTREAM_ANSWER_MALFORMED', detail));
}
