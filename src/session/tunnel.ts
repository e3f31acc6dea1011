import { makeTraffic } from '../protocol/frames/traffic.js';
import type { Traffic } from '../protocol/frames/types.js';
import type { UpgradeArrival } from '../net/types.js';
import type { SessionInfo } from '../observe/record.js';
import { writeSwitch } from '../protocol/handshake/answer.js';
import type { UpgradeRequest } from '../protocol/handshake/types.js';
import type { Verdict } from '../protocol/handshake/verify.js';
import { pathOf } from '../net/request-head.js';
import type { RoutePlan, WebSocketPlan } from '../route/plan.js';
import type { Answered, Handshake } from './handshake.js';
import type { House } from './house.js';
import type { Logbook } from './logbook.js';
import { closedBy, outcomeOf } from './outcome.js';

const SESSION_ID_LENGTH = 16;

export interface TunnelStart {
  readonly arrival: UpgradeArrival;
  readonly request: UpgradeRequest;
  readonly route: RoutePlan;
  readonly plan: WebSocketPlan;
  readonly answered: Answered;
  readonly verdict: Extract<Verdict, { kind: 'switch' }>;
  readonly handshake: Handshake;
  readonly log: Logbook;
  readonly house: House;
}

/** Steps 7 to 10: from a verified switch to the outcome. From here on nothing is read as HTTP. */
export async function runTunnel(start: TunnelStart): Promise<void> {
  const { arrival, request, plan, answered, verdict, handshake, log, house } = start;
  const { framing, subprotocol } = verdict;

  // 7 answer the client: head, challenge and what followed leave in one write
  const head = writeSwitch(request, answered.head, {
    secure: dialledSecurely(arrival),
    host: arrival.head.headers.get('host') ?? '',
  });
  const fromClient = plan.observe ? makeTraffic(framing, 'from-client') : undefined;
  const fromUpstream = plan.observe ? makeTraffic(framing, 'from-upstream') : undefined;
  const relay = house.relay.join(
    {
      client: { socket: arrival.socket, early: handshake.client.release(), traffic: fromClient },
      upstream: { socket: answered.socket, early: answered.inbox.release(), traffic: fromUpstream },
      answer: Buffer.concat([head, answered.challenge]),
    },
    plan,
  );
  log.note({ status: 101, subprotocol, handshakeMs: log.elapsedMs() });

  // 8 register
  const info = describe(start);
  const remove = house.registry.add({ info, relay });
  house.events.emit('session.opened', info);

  // 9 relay
  const end = await relay.ended;

  // 10 outcome
  remove();
  const ending = {
    end,
    firstClose: relay.firstClose,
    framing,
    observed: readable(fromClient) && readable(fromUpstream),
  };
  log.note({
    bytesFromClient: relay.bytesFromClient,
    bytesFromUpstream: relay.bytesFromUpstream,
    messagesFromClient: fromClient?.messages,
    messagesFromUpstream: fromUpstream?.messages,
    closeCodeFromClient: fromClient?.closeCode,
    closeCodeFromUpstream: fromUpstream?.closeCode,
    closedBy: closedBy(ending),
    outcome: outcomeOf(ending),
    detail: detailOf(fromClient, fromUpstream, 'detail' in end ? end.detail : undefined),
  });
  house.events.emit('session.closed', log.close(), info);
}

function describe({ arrival, request, route, answered, verdict, house }: TunnelStart): SessionInfo {
  return {
    id: house.deps.random.id(SESSION_ID_LENGTH),
    openedAt: house.deps.clock.date(),
    client: arrival.peer.address,
    host: arrival.head.headers.get('host') ?? '',
    path: pathOf(arrival.head.target),
    via: 'h1',
    generation: request.generation,
    subprotocol: verdict.subprotocol,
    route: route.id,
    upstream: route.upstream,
    server: answered.server.plan.id,
  };
}

/** Whether the client dialled `wss:`, as far as we or a proxy we trust can tell. */
function dialledSecurely({ head, peer }: UpgradeArrival): boolean {
  if (!peer.trusted) return peer.secure;
  const proto = head.headers.get('x-forwarded-proto')?.toLowerCase();
  return proto === undefined ? peer.secure : proto === 'https' || proto === 'wss';
}

function readable(traffic: Traffic | undefined): boolean {
  return traffic !== undefined && traffic.blind === undefined;
}

/** What the record says beside the outcome: a lost connection’s error, frames that could not be read. */
function detailOf(client: Traffic | undefined, upstream: Traffic | undefined, lost: string | undefined) {
  const parts = [
    lost,
    client?.blind === undefined ? undefined : `frames from client not readable: ${client.blind}`,
    upstream?.blind === undefined ? undefined : `frames from upstream not readable: ${upstream.blind}`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : parts.join('; ');
}
