import { ProxyError } from '../base/errors.js';
import type { Answer } from '../net/exchange.js';
import type { ClientPeer } from '../net/types.js';
import { applyForwarded } from '../protocol/http/forwarded.js';
import type { RequestHead, ResponseHead } from '../protocol/http/head.js';
import { HeaderList } from '../protocol/http/header-list.js';
import { removeHopByHop } from '../protocol/http/hop-by-hop.js';
import type { RoutePlan } from '../route/plan.js';
import type { ServerPlan } from '../upstream/plan.js';

/** How the client delimits its body. `length` may be 0. */
export type BodyFraming =
  { readonly kind: 'none' | 'chunked' } | { readonly kind: 'length'; readonly bytes: number };

/**
 * How a request’s body is framed (RFC 9112 §6.3). Where two readings are possible there is an error instead: the
 * server behind us might choose the other one.
 *
 * @throws ProxyError `REQUEST_HEAD_MALFORMED`
 */
export function readFraming({ headers, httpVersion }: RequestHead): BodyFraming {
  const lengths = headers.all('content-length');
  if (headers.has('transfer-encoding')) {
    const codings = headers.elements('transfer-encoding');
    if (httpVersion === '1.0') throw malformed('Transfer-Encoding does not exist in HTTP/1.0');
    if (lengths.length > 0) throw malformed('Content-Length and Transfer-Encoding exclude each other');
    if (codings.length !== 1 || codings[0]!.toLowerCase() !== 'chunked') {
      throw malformed('the only Transfer-Encoding taken is chunked');
    }
    return { kind: 'chunked' };
  }
  if (lengths.length === 0) return { kind: 'none' };
  if (lengths.length > 1 || !/^\d+$/.test(lengths[0]!)) {
    throw malformed('Content-Length must be one number, given once');
  }
  return { kind: 'length', bytes: Number(lengths[0]) };
}

/** The request’s fields as one server gets them. */
export function upstreamHeaders(
  head: RequestHead,
  framing: BodyFraming,
  peer: ClientPeer,
  route: RoutePlan,
  server: ServerPlan,
): HeaderList {
  const host = head.headers.get('host');
  const headers = head.headers.clone();
  removeHopByHop(headers);
  if (route.hostHeader === 'server' || host === undefined) headers.set('Host', server.host);
  // Only behind chunks is there room for trailers.
  if (framing.kind !== 'chunked') headers.delete('trailer');
  // A method that usually has a body gets a length when it has none (RFC 9110 §8.6); Node would send empty chunks.
  if (framing.kind === 'none' && USUALLY_HAS_BODY.has(head.method)) headers.set('Content-Length', '0');
  // In HTTP/1.0 it means nothing (RFC 9110 §10.1.1).
  if (head.httpVersion === '1.0') headers.delete('expect');
  applyForwarded(headers, {
    clientAddress: peer.address,
    proto: peer.secure ? 'https' : 'http',
    host: host ?? server.host,
    trusted: peer.trusted,
    style: route.forwarded,
    reserved: route.reservedHeaders,
    certificate: peer.clientCertificate?.fields,
  });
  if (framing.kind === 'chunked') headers.append('Transfer-Encoding', 'chunked');
  return headers;
}

/** All but those for which Node’s client assumes none. */
const USUALLY_HAS_BODY = {
  has: (method: string) => !['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT'].includes(method),
};

/**
 * Whether `Expect` must be met here instead of being passed on. Node sends the head of an expecting request as UTF-8,
 * which would change every byte of it beyond ASCII.
 */
export function mustMeetExpectation({ headers, target }: RequestHead): boolean {
  return !isAscii(target) || [...headers].some(([, value]) => !isAscii(value));
}

function isAscii(text: string): boolean {
  return Buffer.byteLength(text, 'utf8') === text.length;
}

/** A response head for the client, and what follows it. */
export interface ClientHead extends ResponseHead {
  /** Whether a body can follow at all (RFC 9110 §6.4.1). */
  readonly hasBody: boolean;
  /** Whether the body goes out in chunks, so that trailers may follow it. */
  readonly isChunked: boolean;
}

/**
 * The upstream’s response head as one client gets it: what is hop-by-hop is gone, the body framed for the client’s
 * version of HTTP.
 *
 * @throws ProxyError `UPSTREAM_ANSWER_MALFORMED`
 */
export function clientHead(answer: Answer, request: RequestHead, server: ServerPlan): ClientHead {
  const status = answer.statusCode!;
  const headers = HeaderList.fromRaw(answer.rawHeaders);
  const codings = headers.elements('transfer-encoding');
  if (codings.some((coding) => coding.toLowerCase() !== 'chunked')) {
    // We asked for none, and the body that Node hands over would still be in it.
    const detail = `${server.id}: Transfer-Encoding ${JSON.stringify(codings.join(', '))}; only chunked is taken`;
    throw new ProxyError('UPSTREAM_ANSWER_MALFORMED', detail);
  }
  removeHopByHop(headers);
  const hasBody = request.method !== 'HEAD' && status !== 204 && status !== 304;
  const isChunked = hasBody && request.httpVersion === '1.1' && !headers.has('content-length');
  if (!isChunked) headers.delete('trailer');
  if (status === 204) headers.delete('content-length');
  return { httpVersion: '1.1', status, reason: answer.statusMessage ?? '', headers, hasBody, isChunked };
}

function malformed(detail: string): ProxyError {
  return new ProxyError('REQUEST_HEAD_MALFORMED', detail);
}
