import type { IncomingMessage } from 'node:http';
import type { Clock } from '../../base/deps.js';
import type { Channels } from '../../channels/channels.js';
import {
  type ApiAnswer,
  type ApiServer,
  MAX_HEAD_BYTES,
  openApi,
  type Unread,
} from '../../net/api-server.js';
import { answerAwsConnections, isForAwsConnections } from '../aws-connections.js';
import type { PublishPlan } from '../publish-plan.js';
import { answer, wantsJson } from './api.js';
import { PublishFailure } from './failure.js';
import { PublishGate } from './gate.js';

/** The open publish listener. */
export interface PublishServer extends ApiServer {
  /** Takes over who may publish, and how much at once; its address and its other limits stay. */
  update(plan: PublishPlan): void;
}

export interface PublishOptions {
  /** Its wall clock decides whether tokens have expired. */
  readonly clock: Clock;
  /** Told of faults of ours; the caller sees a 500. */
  readonly onFault: (error: unknown) => void;
}

/**
 * Opens the listener where backends publish: `POST /publish/` as GRIP has it, the API at `/v1/`, and `@connections` of
 * API Gateway behind any prefix.
 *
 * @throws ConfigError where a key in the plan cannot be read; ListenError, or Node’s own error
 */
export async function openPublish(
  plan: PublishPlan,
  channels: Channels,
  { clock, onFault }: PublishOptions,
): Promise<PublishServer> {
  let now = rulesOf(plan);

  function rulesOf({ auth, maxBodyBytes }: PublishPlan) {
    const gate = new PublishGate({ address: plan.address, auth }, clock);
    const check = (req: IncomingMessage) => gate.check(req);
    return { check, maxBodyBytes, keys: auth.aws, channels, clock, onFault };
  }

  async function serve(req: IncomingMessage): Promise<ApiAnswer> {
    const { check, maxBodyBytes } = now;
    if (isForAwsConnections(req)) return answerAwsConnections(req, now);
    try {
      await check(req);
      return await answer(req, { channels, maxBodyBytes });
    } catch (thrown) {
      if (thrown instanceof PublishFailure) return refusal(thrown, wantsJson(req));
      onFault(thrown);
      return refusal(internal(), wantsJson(req));
    }
  }

  const api = await openApi(plan, { answer: serve, refuse: (why) => refusal(unreadFailure(why), false) });
  return {
    address: api.address,
    close: () => api.close(),
    update: (next) => (now = rulesOf(next)),
  };
}

function refusal({ status, code, message, extras }: PublishFailure, inJson: boolean): ApiAnswer {
  const { headers = {}, details, text = `${message}\n` } = extras;
  if (!inJson) return { status, type: 'text/plain', body: text, headers };
  const body = `${JSON.stringify({ error: { code, message, ...details } })}\n`;
  return { status, type: 'application/json', body, headers };
}

function internal(): PublishFailure {
  return new PublishFailure('INTERNAL', 'a fault in Tidegate itself; its log has the details');
}

function unreadFailure(why: Unread): PublishFailure {
  switch (why) {
    case 'head-too-large':
      return new PublishFailure(
        'HEAD_TOO_LARGE',
        `expected a request head of at most ${MAX_HEAD_BYTES} bytes`,
      );
    case 'timeout':
      return new PublishFailure('TIMEOUT', 'the request was not complete in time');
    case 'malformed':
      return new PublishFailure('BAD_REQUEST', 'this is not a valid HTTP/1.1 request');
  }
}
