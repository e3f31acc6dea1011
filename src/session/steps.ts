/** What both ways through a handshake (over Node’s sockets, through a native door) do and say alike. */
import { ProxyError } from '../base/errors.js';
import type { ClientPeer } from '../net/types.js';
import { offerText } from '../protocol/handshake/offer.js';
import type { UpgradeRequest } from '../protocol/handshake/types.js';
import type { ResponseHead } from '../protocol/http/head.js';
import { HeadError } from '../protocol/http/response-head.js';
import type { RoutePlan } from '../route/plan.js';
import type { ServerPlan } from '../upstream/plan.js';

/** Step 5: the request head for a server, as latin-1 text. */
export function offerFor(
  request: UpgradeRequest,
  route: RoutePlan,
  server: ServerPlan,
  peer: ClientPeer,
): string {
  const clientHost = request.head.headers.get('host') ?? '';
  return offerText(request, route.hostHeader === 'client' ? clientHost : server.host, {
    clientAddress: peer.address,
    proto: peer.secure ? 'https' : 'http',
    host: clientHost,
    trusted: peer.trusted,
    style: route.forwarded,
    reserved: route.reservedHeaders,
    certificate: peer.clientCertificate?.fields,
  });
}

/** Whether another server may make this failure good. A time-out is not such: the client has waited long enough. */
export function isReplaceable({ code }: ProxyError): boolean {
  return REPLACEABLE.has(code);
}

const REPLACEABLE: ReadonlySet<string> = new Set([
  'UPSTREAM_CONNECT_FAILED',
  'UPSTREAM_CONNECT_TIMEOUT',
  'UPSTREAM_NAME_UNRESOLVED',
  'UPSTREAM_TLS_FAILED',
  'UPSTREAM_HTTP2_FAILED',
  'UPSTREAM_HTTP2_NO_WEBSOCKETS',
  'UPSTREAM_CLOSED_EARLY',
]);

/** Step 7: an answer that brings the client back to its server the next time, if there is a cookie to do so. */
export function withCookie(answer: ResponseHead, cookie: string | undefined): ResponseHead {
  if (cookie === undefined) return answer;
  const headers = answer.headers.clone();
  headers.append('Set-Cookie', cookie);
  return { ...answer, headers };
}

export function waitedTooLong(upstream: string, afterMs: number): ProxyError {
  const detail = `upstream ${upstream}: every server had its maxConnections for the ${afterMs} ms of the handshake`;
  return new ProxyError('UPSTREAM_QUEUE_TIMEOUT', detail);
}

export function clientGone(): ProxyError {
  return new ProxyError('CLIENT_GONE', 'the client went away during the handshake');
}

export function proxyStopping(): ProxyError {
  return new ProxyError('PROXY_STOPPING', 'the proxy is stopping');
}

export function connectTimeout(server: ServerPlan, afterMs: number): ProxyError {
  return new ProxyError(
    'UPSTREAM_CONNECT_TIMEOUT',
    `${server.id} did not take the connection within ${afterMs} ms`,
  );
}

export function answerTimeout(server: ServerPlan, afterMs: number): ProxyError {
  return new ProxyError('UPSTREAM_ANSWER_TIMEOUT', `${server.id} did not answer within ${afterMs} ms`);
}

export function closedEarly(server: ServerPlan): ProxyError {
  return new ProxyError('UPSTREAM_CLOSED_EARLY', `${server.id} closed before it had answered`);
}

/** Step 6: a 101 that proves nothing. */
export function falseSwitch(server: ServerPlan, reason: string): ProxyError {
  return new ProxyError('UPSTREAM_SWITCH_INVALID', `${server.id} answered 101, but ${reason}`);
}

/** What a server’s head could not be read for; anything else is a fault of ours and thrown again. */
export function headProblem(thrown: unknown, server: ServerPlan): ProxyError {
  if (!(thrown instanceof HeadError)) throw thrown;
  const code = thrown.kind === 'too-large' ? 'UPSTREAM_ANSWER_TOO_LARGE' : 'UPSTREAM_ANSWER_MALFORMED';
  return new ProxyError(code, `${server.id}: ${thrown.message}`);
}
