import { dial } from '../net/dial.js';
import type { Exchange, ExchangeOptions } from '../net/exchange.js';
import { oneTimeAgent } from '../net/http1-agent.js';
import { Http1Request } from '../net/http1-client.js';
import { type Beneficiary, prefaceFor } from '../net/proxy-preface.js';
import { tlsOf, type UpstreamPlan } from './plan.js';
import type { Server } from './upstream.js';

/**
 * Sends a plain request to a server: in HTTP/2 where the upstream and the server have it so, else in HTTP/1.1, and
 * then without waiting for anything.
 *
 * @param isFresh not on a connection of HTTP/1.1 that others have used before.
 * @throws ProxyError where there is no connection of HTTP/2 to be had.
 */
export function openExchange(
  server: Server,
  asked: ExchangeOptions,
  plan: UpstreamPlan,
  beneficiary: Beneficiary,
  isFresh: boolean,
): Exchange | Promise<Exchange> {
  const { http2 } = server.own;
  if (http2 === undefined) return openHttp1(server, asked, plan, beneficiary, isFresh);
  return http2
    .openRequest(asked)
    .then((request) => request ?? openHttp1(server, asked, plan, beneficiary, isFresh));
}

function openHttp1(
  { plan: server, own }: Server,
  asked: ExchangeOptions,
  { proxyProtocol, connectTimeoutMs, tls }: UpstreamPlan,
  beneficiary: Beneficiary,
  isFresh: boolean,
): Http1Request {
  if (proxyProtocol === undefined) {
    return new Http1Request({ ...asked, connectTimeoutMs, agent: isFresh ? own.freshAgent : own.agent });
  }
  // A connection with a PROXY header is for its client alone: it never comes from a pool, and never goes there.
  const options = {
    clock: asked.clock,
    connectTimeoutMs,
    tls: tlsOf(tls, server),
    signal: asked.signal,
    preface: () => prefaceFor(proxyProtocol, beneficiary),
  };
  const agent = oneTimeAgent(server.secure, () => dial(server, options));
  return new Http1Request({ ...asked, connectTimeoutMs, agent, isDialled: true });
}
