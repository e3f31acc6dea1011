import type { IncomingMessage } from 'node:http';
import type { AdminAddress } from '../config/admin-address.js';
import { ConfigError, formatIssue } from '../config/issues.js';
import { hostOfAddress } from '../net/api-host.js';
import { type ApiAnswer, type ApiServer, MAX_HEAD_BYTES, openApi, type Unread } from '../net/api-server.js';
import { answer, type Reply } from './api.js';
import { AdminFailure } from './failure.js';
import { Gate } from './gate.js';
import type { AdminTarget } from './target.js';

const MAX_CONNECTIONS = 100;

/** Where the admin API listens and whom it serves, compiled and frozen. */
export interface AdminPlan {
  /** A path is absolute. */
  readonly address: AdminAddress;
  readonly token: string | undefined;
  readonly hosts: readonly string[];
  /** For a request head, and again for a request as a whole. */
  readonly headerTimeoutMs: number;
  readonly idleTimeoutMs: number;
}

/** The open admin API. */
export type AdminServer = ApiServer;

/**
 * Opens the admin API.
 *
 * @param onFault is told of faults of ours; the caller sees a 500
 * @throws ListenError, or Node’s own error
 */
export function openAdmin(
  plan: AdminPlan,
  target: AdminTarget,
  onFault: (error: unknown) => void,
): Promise<AdminServer> {
  const gate = new Gate({ token: plan.token, hosts: [...hostOfAddress(plan.address), ...plan.hosts] });

  async function serve(req: IncomingMessage): Promise<ApiAnswer> {
    try {
      gate.check(req);
      return inJson(await answer(req, target));
    } catch (thrown) {
      const isOurs = !(thrown instanceof AdminFailure || thrown instanceof ConfigError);
      if (isOurs) onFault(thrown);
      return refusal(thrown);
    }
  }

  const { address, headerTimeoutMs, idleTimeoutMs } = plan;
  return openApi(
    { address, headerTimeoutMs, idleTimeoutMs, maxConnections: MAX_CONNECTIONS },
    { answer: serve, refuse: (why) => refusal(unreadFailure(why)) },
  );
}

function refusal(thrown: unknown): ApiAnswer {
  return inJson(describe(thrown), thrown instanceof AdminFailure ? thrown.headers : {});
}

function inJson({ status, body }: Reply, headers: Readonly<Record<string, string>> = {}): ApiAnswer {
  return { status, type: 'application/json', body: `${JSON.stringify(body)}\n`, headers };
}

function unreadFailure(why: Unread): AdminFailure {
  switch (why) {
    case 'head-too-large':
      return new AdminFailure('HEAD_TOO_LARGE', `expected a request head of at most ${MAX_HEAD_BYTES} bytes`);
    case 'timeout':
      return new AdminFailure('TIMEOUT', 'the request was not complete in time');
    case 'malformed':
      return new AdminFailure('BAD_REQUEST', 'this is not a valid HTTP/1.1 request');
  }
}

function describe(thrown: unknown): Reply {
  if (thrown instanceof AdminFailure) {
    return { status: thrown.status, body: { error: { code: thrown.code, message: thrown.message } } };
  }
  if (thrown instanceof ConfigError) {
    const issues = thrown.issues.map(formatIssue);
    const message = `the configuration cannot be used, nothing was changed: ${issues[0]}`;
    return { status: 422, body: { error: { code: 'CONFIG_INVALID', message, issues } } };
  }
  const message = 'a fault in Tidegate itself; its log has the details';
  return { status: 500, body: { error: { code: 'INTERNAL', message } } };
}
