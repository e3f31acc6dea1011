/**
 * The life of a connection, as told in docs/life-of-a-connection.md. The step numbers are the same there. Steps 0 and 1
 * happen in `net/`; what arrives here has been read.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ProxyError } from '../base/errors.js';
import { pathOf } from '../net/request-head.js';
import { endWith, errorBytes } from '../net/sockets.js';
import type { ClientPeer, UpgradeArrival } from '../net/types.js';
import type { UpgradeRequest } from '../protocol/handshake/types.js';
import type { RequestHead } from '../protocol/http/head.js';
import { claimsToBeOfGateway } from '../protocol/ws-over-http/request-fields.js';
import type { RoutePlan, WebSocketPlan } from '../route/plan.js';
import { Handshake } from './handshake.js';
import { type GatewayStart, runGateway } from './gateway.js';
import { findRoute, type House } from './house.js';
import { Logbook } from './logbook.js';
import { GatewayRequest } from './passthrough-gateway.js';
import { answerError, passthrough } from './passthrough.js';
import { answerRedirect } from './redirect.js';
import { passRefusal } from './refusal.js';
import { proxyStopping } from './steps.js';
import { generationRefusal, joinSides, upstreamGenerationOf } from './translation.js';
import { openTunnel } from './tunnel.js';

/** A handshake, from its request head to its answer; what it opens lives on by itself. Never rejects. */
export async function runUpgrade(arrival: UpgradeArrival, house: House): Promise<void> {
  const { head, read, peer } = arrival;
  const log = new Logbook(head, peer, house.deps.clock);

  // 1 read
  if (read.kind === 'reject') return refuse(arrival, new ProxyError(read.code, read.reason), log, house);
  const { request } = read;
  log.note({ generation: request.generation });

  // 2 match
  const route = findRoute(head, peer, house);
  if (route === undefined) return refuse(arrival, noRoute(head), log, house);
  if (route.websocket === undefined) {
    if (peer.via === 'h1') return arrival.asPlainHttp();
    // There is no plain request in it: it asks for nothing but a WebSocket (RFC 8441).
    return refuse(arrival, noWebSockets(route), log, house);
  }
  log.note({ route: route.id, upstream: route.upstream });

  // 3 admit
  const { plan: upstreamPlan } = house.upstream(route.upstream);
  const unwelcome = generationRefusal(request, route.websocket, upstreamPlan, route.gateway !== undefined);
  if (unwelcome !== undefined) return refuse(arrival, unwelcome.error, log, house, unwelcome.fields);
  log.note({ upstreamGeneration: upstreamGenerationOf(request, route.websocket) });

  if (house.isStopping()) return refuse(arrival, proxyStopping(), log, house);
  const { listener } = arrival.peer;
  const admitted = house.admission.admit({ listener, route: route.id, address: log.client });
  if (admitted.kind === 'refused') {
    return refuse(arrival, admitted.error, log, house, { 'Retry-After': String(admitted.retryAfterS) });
  }

  // From here on the place is the session’s, or given back.
  const { release } = admitted;
  if (route.gateway !== undefined) {
    const start = {
      arrival,
      request,
      route,
      plan: route.websocket,
      gateway: route.gateway,
      log,
      release,
      house,
    };
    return endHere(start);
  }
  let isOpen = false;
  let handshake: Handshake | undefined;
  try {
    handshake = new Handshake(arrival, request, route, route.websocket, log.client, house);
    isOpen = await shakeHands(handshake, arrival, request, route, route.websocket, log, release, house);
  } finally {
    handshake?.leave();
    if (!isOpen) release();
  }
}

/** 4 to 10 of a WebSocket that ends here: in gateway.ts */
async function endHere(start: GatewayStart): Promise<void> {
  const { arrival, log, release, house } = start;
  let isOpen = false;
  try {
    isOpen = await runGateway(start);
  } catch (thrown) {
    refuse(arrival, ProxyError.from(thrown), log, house);
  } finally {
    if (!isOpen) release();
  }
}

/** Resolves with whether a tunnel has been opened. */
async function shakeHands(
  handshake: Handshake,
  arrival: UpgradeArrival,
  request: UpgradeRequest,
  route: RoutePlan,
  plan: WebSocketPlan,
  log: Logbook,
  release: () => void,
  house: House,
): Promise<boolean> {
  // 4 pick, 5 dial and offer, 6 verify the answer
  let answered;
  try {
    answered = await handshake.run();
  } catch (thrown) {
    handshake.client.release();
    log.note({ server: handshake.server?.id });
    refuse(arrival, ProxyError.from(thrown), log, house);
    return false;
  }
  const { lease } = answered;
  log.note({ server: lease.server.id });

  // 6 a real HTTP answer is passed on as HTTP
  const { verdict } = answered;
  if (verdict.kind === 'http') {
    const { client } = handshake;
    const result = await passRefusal(
      answered,
      { socket: arrival.socket, via: arrival.peer.via },
      client,
      house,
      route.httpIdleTimeoutMs,
    ).finally(() => lease.release());
    if (result.error !== undefined) log.fail(result.error);
    log.note({ status: result.status, bytesFromUpstream: result.bytes });
    house.events.emit('request.finished', log.close());
    return false;
  }

  // 7 answer the client, 8 register, 9 relay, 10 outcome: in tunnel.ts
  try {
    openTunnel({
      peer: arrival.peer,
      request,
      route,
      plan,
      lease,
      answer: answered.head,
      verdict,
      log,
      house,
      // Head, challenge and what followed leave in one write.
      join: (answerHead, framing, options) =>
        joinSides(
          request,
          plan,
          {
            client: { socket: arrival.socket, early: handshake.client.release() },
            upstream: { socket: answered.socket, early: answered.inbox.release() },
            answer: Buffer.concat([Buffer.from(answerHead, 'latin1'), answered.challenge]),
            framing,
          },
          options,
          house,
        ),
      release,
    });
    return true;
  } catch (thrown) {
    lease.release();
    throw thrown;
  }
}

/** A plain HTTP request, from its head to its record. Never rejects. */
export async function runRequest(
  head: RequestHead,
  req: IncomingMessage,
  res: ServerResponse,
  peer: ClientPeer,
  house: House,
): Promise<void> {
  const log = new Logbook(head, peer, house.deps.clock);
  // 2 match
  const route = findRoute(head, peer, house);
  if (route === undefined) {
    const error = noRoute(head);
    answerError(res, error);
    house.events.emit('request.finished', log.fail(error).close());
    return;
  }
  if (route.redirect !== undefined) {
    const status = answerRedirect(res, head, route.redirect);
    house.events.emit('request.finished', log.note({ route: route.id, status }).close());
    return;
  }
  log.note({ route: route.id, upstream: route.upstream });
  if (route.gateway !== undefined && claimsToBeOfGateway(head.headers)) {
    const error = eventsNotTaken(route);
    answerError(res, error);
    house.events.emit('request.finished', log.fail(error).close());
    return;
  }
  const upstream = house.upstream(route.upstream);
  const { client } = log;
  const { deps, registry } = house;
  const gateway =
    route.gateway && new GatewayRequest({ head, req, res, peer, client, route, upstream, house });
  const exchange = { head, req, res, peer, client, route, upstream, deps, registry, gateway };
  const { error, ...facts } = await passthrough(exchange);
  if (error !== undefined) log.fail(error);
  house.events.emit('request.finished', log.note(facts).close());
}

/** Answers what opens no session, and closes. */
function refuse(
  arrival: UpgradeArrival,
  error: ProxyError,
  log: Logbook,
  house: House,
  fields: Readonly<Record<string, string>> = {},
): void {
  if (error.code === 'CLIENT_GONE') {
    arrival.socket.on('error', () => {});
    arrival.socket.destroy();
  } else {
    endWith(arrival.socket, errorBytes(error, fields));
  }
  house.events.emit('request.finished', log.fail(error).close());
}

function noWebSockets(route: RoutePlan): ProxyError {
  return new ProxyError('WEBSOCKETS_NOT_TAKEN', `route ${route.id} takes no WebSockets`);
}

function eventsNotTaken(route: RoutePlan): ProxyError {
  const detail = `route ${route.id} takes no events of WebSockets in plain requests`;
  return new ProxyError('EVENTS_NOT_TAKEN', detail);
}

function noRoute(head: RequestHead): ProxyError {
  const host = head.headers.get('host') ?? '(no host)';
  return new ProxyError('ROUTE_NOT_FOUND', `no route for ${host} ${pathOf(head.target)}`);
}
