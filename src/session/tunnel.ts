import type { UpgradeArrival } from '../net/types.js';
import type { AccessRecord, SessionInfo } from '../observe/record.js';
import { writeSwitch } from '../protocol/handshake/answer.js';
import type { Framing, UpgradeRequest } from '../protocol/handshake/types.js';
import type { Verdict } from '../protocol/handshake/verify.js';
import { pathOf } from '../net/request-head.js';
import type { Carried, Relay, RelayEnd } from '../relay/types.js';
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

/**
 * Steps 7 to 10: from a verified switch to the outcome. From here on nothing is read as HTTP. What waits for the end of
 * the session keeps only what the record needs: not the request, not the sockets.
 */
export function openTunnel(start: TunnelStart): void {
  const { arrival, request, plan, answered, verdict, handshake, log, house } = start;
  const { framing, subprotocol } = verdict;

  // 7 answer the client: head, challenge and what followed leave in one write
  const head = writeSwitch(request, answered.head, {
    secure: dialledSecurely(arrival),
    host: arrival.head.headers.get('host') ?? '',
  });
  // 9 relay (it begins with the answer)
  const relay = house.relay.join(
    {
      client: { socket: arrival.socket, early: handshake.client.release() },
      upstream: { socket: answered.socket, early: answered.inbox.release() },
      answer: Buffer.concat([head, answered.challenge]),
      framing: plan.observe ? framing : undefined,
    },
    plan,
  );
  log.note({ status: 101, subprotocol, handshakeMs: log.elapsedMs() });

  // 8 register
  const info = describe(start);
  const remove = house.registry.add({ info, relay });
  house.events.emit('session.opened', info);

  // 10 outcome
  void followToEnd(relay, framing, info, remove, log, house);
}

async function followToEnd(
  relay: Relay,
  framing: Framing,
  info: SessionInfo,
  remove: () => void,
  log: Logbook,
  house: House,
): Promise<void> {
  const end = await relay.ended;
  remove();
  house.events.emit('session.closed', closeRecord(log, relay, end, framing), info);
}

function closeRecord(log: Logbook, relay: Relay, end: RelayEnd, framing: Framing): AccessRecord {
  const { fromClient, fromUpstream, firstClose } = relay;
  const ending = { end, firstClose, framing, observed: isRead(fromClient) && isRead(fromUpstream) };
  return log
    .note({
      bytesFromClient: fromClient.bytes,
      bytesFromUpstream: fromUpstream.bytes,
      messagesFromClient: fromClient.messages,
      messagesFromUpstream: fromUpstream.messages,
      closeCodeFromClient: fromClient.closeCode,
      closeCodeFromUpstream: fromUpstream.closeCode,
      closedBy: closedBy(ending),
      outcome: outcomeOf(ending),
      detail: detailOf(fromClient, fromUpstream, 'detail' in end ? end.detail : undefined),
    })
    .close();
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

/** Whether every frame of that side could be read. */
function isRead(carried: Carried): boolean {
  return carried.messages !== undefined && carried.blind === undefined;
}

/** What the record says beside the outcome: a lost connection’s error, frames that could not be read. */
function detailOf(client: Carried, upstream: Carried, lost: string | undefined): string | undefined {
  const parts = [
    lost,
    client.blind === undefined ? undefined : `frames from client not readable: ${client.blind}`,
    upstream.blind === undefined ? undefined : `frames from upstream not readable: ${upstream.blind}`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : parts.join('; ');
}
