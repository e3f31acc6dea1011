/**
 * Steps 4 to 10 where the WebSocket ends here (rung `terminate`): the backend is asked by HTTP whether it takes the
 * client, and what the two say to each other is carried in requests and answers.
 */
import type { Duplex } from 'node:stream';
import { randomBytes } from 'node:crypto';
import { ProxyError } from '../base/errors.js';
import type { Channels } from '../channels/channels.js';
import { AwsSocket } from '../gateway/aws-socket.js';
import { Backend } from '../gateway/backend.js';
import { offerCompression } from '../gateway/compression.js';
import { Endpoint } from '../gateway/endpoint.js';
import { GatewaySocket } from '../gateway/gateway-socket.js';
import { signerOf } from '../gateway/signers.js';
import type { Opening, TerminatedSocket, TerminatedSocketOptions } from '../gateway/terminated-socket.js';
import { Inbox } from '../net/inbox.js';
import { endWith } from '../net/sockets.js';
import type { UpgradeArrival } from '../net/types.js';
import { switchText } from '../protocol/handshake/answer.js';
import { KEY3_BYTES } from '../protocol/handshake/hixie.js';
import type { UpgradeRequest } from '../protocol/handshake/types.js';
import { applyForwarded } from '../protocol/http/forwarded.js';
import { type ResponseHead, writeResponseHead } from '../protocol/http/head.js';
import type { HeaderList } from '../protocol/http/header-list.js';
import { removeHopByHop } from '../protocol/http/hop-by-hop.js';
import { translateAnswer } from '../protocol/translate/answer.js';
import { isHixie } from '../protocol/translate/generations.js';
import { replayedFields } from '../protocol/ws-over-http/request-fields.js';
import { TranslatedEnd } from '../relay/translated-end.js';
import type { AwsPlan, GatewayPlan } from '../route/gateway-plan.js';
import type { RoutePlan, WebSocketPlan } from '../route/plan.js';
import type { Want } from '../upstream/lease.js';
import { dialledSecurely } from './dialled.js';
import { openGatewaySession } from './gateway-session.js';
import type { House } from './house.js';
import type { Logbook } from './logbook.js';
import { clientGone, proxyStopping } from './steps.js';

export interface GatewayStart {
  readonly arrival: UpgradeArrival;
  readonly request: UpgradeRequest;
  readonly route: RoutePlan;
  readonly plan: WebSocketPlan;
  readonly gateway: GatewayPlan;
  readonly log: Logbook;
  /** Called once when the session has ended: its place is free. */
  readonly release: () => void;
  readonly house: House;
}

/**
 * From an admitted handshake to a session, or to an answer in plain HTTP. Resolves with whether a session has been
 * opened; rejects with a ProxyError while the client has no answer.
 */
export async function runGateway(start: GatewayStart): Promise<boolean> {
  const { arrival, request, plan, log, house } = start;
  const channels = await house.channels();
  const over = new AbortController();
  const stop = (reason: ProxyError): void => over.abort(reason);
  const inbox = new Inbox(arrival.socket, arrival.early, plan.maxEarlyBytes, () => stop(clientGone()));
  const cancelTimer = house.deps.clock.after(plan.handshakeTimeoutMs, () =>
    stop(noAnswer(start.route, plan.handshakeTimeoutMs)),
  );
  const stay = new Stay(house, channels, stop);
  try {
    const key3 = await takeKey3(request, inbox, over.signal);
    const session = prepare(start, channels, stay.left);
    stay.socket = session.socket;
    const opening = await Promise.race([session.socket.open(), aborted(over.signal)]);
    cancelTimer();
    log.note({ server: session.backend.server });
    if (opening.kind === 'failed') throw opening.error;
    if (opening.kind === 'refused') {
      inbox.release();
      refuse(arrival, opening, log, house);
      return false;
    }
    accept(start, session, opening, inbox, key3);
    stay.settle();
    return true;
  } catch (thrown) {
    cancelTimer();
    inbox.release();
    if (stay.socket === undefined) stay.left();
    else stay.socket.giveUp(ProxyError.from(thrown));
    throw ProxyError.from(thrown);
  }
}

/**
 * What a stop waits for: the handshake, and then, until its backend has been told of its end, the session. It is as old
 * as the session, so that it holds on to nothing of the handshake once that is over.
 */
class Stay {
  socket: TerminatedSocket | undefined;
  #stop: ((reason: ProxyError) => void) | undefined;
  #leave: (() => void) | undefined;
  readonly #house: House;
  readonly #channels: Channels;

  constructor(house: House, channels: Channels, stop: (reason: ProxyError) => void) {
    this.#house = house;
    this.#channels = channels;
    this.#stop = stop;
    this.#leave = house.registry.addHandshake(() => {
      this.#stop?.(proxyStopping());
      this.socket?.giveUp(proxyStopping());
    });
  }

  /** The client has its answer. */
  settle(): void {
    this.#stop = undefined;
  }

  /** It is over. May be called again. */
  readonly left = (): void => {
    this.#leave?.();
    this.#leave = undefined;
    if (this.socket !== undefined) this.#house.handover.forget(this.#channels.backplane, this.socket.id);
  };
}

interface Prepared {
  readonly socket: TerminatedSocket;
  readonly backend: Backend;
  readonly session: ReturnType<typeof openGatewaySession>;
  /** What its client asks of the pool. */
  readonly want: Want;
  /** Lets other nodes know of it. */
  readonly keep: () => void;
}

/** What a closure in here names lives as long as the session: nothing of the handshake but what is told of it later. */
function prepare(start: GatewayStart, channels: Channels, onOver: () => void): Prepared {
  const { hub, directory } = channels;
  const { arrival, request, route, gateway, log, house } = start;
  const { peer } = arrival;
  const { head } = request;
  const path = head.target;
  const upstream = house.upstream(route.upstream);
  const want = upstream.wantOf(head, log.client);
  const backend = new Backend({
    upstream,
    want,
    beneficiary: { connection: arrival.socket, facts: peer, client: log.client },
    clock: house.deps.clock,
  });
  const session = openGatewaySession(start, directory);
  const fields = replayed(start);
  const keep = (): void =>
    house.handover.keep(channels.backplane, socket, {
      route: route.id,
      client: log.client,
      path,
      replayed: fields,
    });
  const options: TerminatedSocketOptions = {
    id: session.id,
    plan: gateway,
    backend,
    path,
    replayed: fields,
    offeredSubprotocols: request.subprotocols,
    signer: signerOf(gateway.grip),
    hub,
    clock: house.deps.clock,
    random: () => house.deps.random.float(),
    report: (problem) =>
      house.events.emit('gateway.trouble', {
        session: session.id,
        route: route.id,
        client: log.client,
        problem,
      }),
    info: () => session.info(),
    onChanged: () => {
      if (socket.endpoint?.isOpen) keep();
    },
    onEnd: (end) => session.end(end),
    onOver,
  };
  const socket: TerminatedSocket =
    gateway.aws === undefined ? new GatewaySocket(options) : awsSocket(start, gateway.aws, options);
  return { socket, backend, session, want, keep };
}

function awsSocket(start: GatewayStart, aws: AwsPlan, options: TerminatedSocketOptions): AwsSocket {
  const { request, log, house } = start;
  const handshake = request.head.headers.clone();
  removeHopByHop(handshake);
  tellOfClient(handshake, start);
  const newId = (): string => house.deps.random.id(AWS_ID_CHARACTERS);
  return new AwsSocket({ ...options, aws, handshake, sourceIp: log.client, newId });
}

/** 96 bits of chance, so that no two events have the same. */
const AWS_ID_CHARACTERS = 16;

/** The handshake as every request repeats it, and who the client is. */
function replayed(start: GatewayStart): HeaderList {
  const { headers } = start.request.head;
  const fields = replayedFields(headers);
  if (start.route.hostHeader === 'server' || !headers.get('host')) fields.delete('host');
  tellOfClient(fields, start);
  return fields;
}

function tellOfClient(fields: HeaderList, { arrival, request, route }: GatewayStart): void {
  const { peer } = arrival;
  const host = request.head.headers.get('host') ?? '';
  applyForwarded(fields, {
    clientAddress: peer.address,
    proto: peer.secure ? 'https' : 'http',
    host,
    trusted: peer.trusted,
    style: route.forwarded,
    reserved: route.reservedHeaders,
    certificate: peer.clientCertificate?.fields,
  });
}

/** The value of `Set-Cookie`, where its upstream binds clients to servers: then it stays with the one that took it. */
function stick(
  { arrival, request, route, house }: GatewayStart,
  backend: Backend,
  want: Want,
): string | undefined {
  const upstream = house.upstream(route.upstream);
  if (upstream.plan.sticky === undefined || backend.server === undefined) return undefined;
  backend.stay();
  return upstream.cookieFor(want, backend.server, dialledSecurely(request.head, arrival.peer));
}

/** Steps 7 and 8: the client has its answer, in its own generation, and is a session from here on. */
function accept(
  start: GatewayStart,
  { socket, backend, session, want, keep }: Prepared,
  { acceptance }: Extract<Opening, { kind: 'accepted' }>,
  inbox: Inbox,
  key3: Buffer,
): void {
  const { arrival, request, plan, gateway, log, house } = start;
  const { subprotocol } = acceptance;
  const granted: ResponseHead = { httpVersion: '1.1', status: 101, reason: '', headers: acceptance.fields };
  const { head, challenge } = translateAnswer(request, granted, subprotocol, key3);
  const compression = offerCompression(request, gateway);
  if (compression !== undefined) head.headers.append('Sec-WebSocket-Extensions', compression.field);
  const cookie = stick(start, backend, want);
  if (cookie !== undefined) head.headers.append('Set-Cookie', cookie);
  const dialled = {
    secure: dialledSecurely(request.head, arrival.peer),
    host: request.head.headers.get('host') ?? '',
  };
  const early = inbox.release();
  const client = arrival.socket;
  client.cork();
  client.write(Buffer.concat([Buffer.from(switchText(request, head, dialled), 'latin1'), challenge]));
  const dressed = dress(request, client, early, gateway);
  const endpoint = new Endpoint(dressed.socket, dressed.early, socket, {
    generation: request.generation,
    subprotocol,
    deflate: compression?.deflate,
    deflateThresholdBytes: compression?.thresholdBytes ?? 0,
    maxMessageBytes: gateway.maxMessageBytes,
    maxFragments: plan.translationBounds.maxFragments === Infinity ? 0 : plan.translationBounds.maxFragments,
    answersPings: gateway.pings === 'edge',
    closeTimeoutMs: plan.closeTimeoutMs,
    clock: house.deps.clock,
    fanOut: house.relay.fanOut,
  });
  log.note({ status: 101, subprotocol, handshakeMs: log.elapsedMs() });
  session.begin(socket, endpoint, backend.server ?? '');
  keep();
  socket.attach(endpoint);
  client.uncork();
}

/** A client of Hixie speaks in the clothes of RFC 6455 from here on. */
function dress(
  { generation }: UpgradeRequest,
  client: Duplex,
  early: Buffer,
  { maxMessageBytes }: GatewayPlan,
): { socket: Duplex; early: Buffer } {
  if (!isHixie(generation)) return { socket: client, early };
  const options = { generation, maxMessageBytes, maxFragments: Infinity, random: randomBytes };
  const end = new TranslatedEnd(client, { side: 'client', ...options });
  return { socket: end, early: end.takeEarly(early) };
}

/** What the backend said to the handshake in place of taking it. */
function refuse(
  { socket, peer }: UpgradeArrival,
  { status, fields, body }: Extract<Opening, { kind: 'refused' }>,
  log: Logbook,
  house: House,
): void {
  // To a client of HTTP/2 a 2xx would be a switch (RFC 8441 §5).
  const isSwitch = peer.via === 'h2' && status >= 200 && status < 300;
  if (isSwitch) {
    throw new ProxyError('UPSTREAM_REFUSAL_AMBIGUOUS', `the backend answered ${status} to the handshake`);
  }
  const headers = fields.clone();
  headers.set('Content-Length', String(body.length));
  headers.set('Connection', 'close');
  endWith(socket, Buffer.concat([writeResponseHead(status, '', headers), body]));
  log.note({ status, bytesFromUpstream: body.length });
  house.events.emit('request.finished', log.close());
}

async function takeKey3({ proof }: UpgradeRequest, inbox: Inbox, signal: AbortSignal): Promise<Buffer> {
  if (proof.kind !== 'challenge') return Buffer.alloc(0);
  const wake = (): void => inbox.wake();
  signal.addEventListener('abort', wake, { once: true });
  while (inbox.size < KEY3_BYTES) {
    signal.throwIfAborted();
    await inbox.changed();
  }
  signal.removeEventListener('abort', wake);
  return inbox.take(KEY3_BYTES);
}

function noAnswer({ upstream }: RoutePlan, afterMs: number): ProxyError {
  const detail = `upstream ${upstream}: no answer to the handshake within ${afterMs} ms`;
  return new ProxyError('UPSTREAM_ANSWER_TIMEOUT', detail);
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = (): void => reject(signal.reason as ProxyError);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}
