import type { ClientPeer } from '../net/types.js';
import type { AccessRecord, SessionInfo } from '../observe/record.js';
import { switchText } from '../protocol/handshake/answer.js';
import type { Framing, UpgradeRequest } from '../protocol/handshake/types.js';
import type { Verdict } from '../protocol/handshake/verify.js';
import type { ResponseHead } from '../protocol/http/head.js';
import type { Carried, Relay, RelayEnd } from '../relay/types.js';
import type { RoutePlan, WebSocketPlan } from '../route/plan.js';
import type { ServerLease } from '../upstream/upstream.js';
import { dialledSecurely } from './dialled.js';
import type { House } from './house.js';
import type { Logbook } from './logbook.js';
import { closedBy, outcomeOf } from './outcome.js';

const SESSION_ID_LENGTH = 16;

export interface TunnelStart {
  readonly peer: ClientPeer;
  readonly request: UpgradeRequest;
  readonly route: RoutePlan;
  readonly plan: WebSocketPlan;
  /** The place at the server that switched: the tunnel’s from now on, until its end. */
  readonly lease: ServerLease;
  readonly answer: ResponseHead;
  readonly verdict: Extract<Verdict, { kind: 'switch' }>;
  readonly log: Logbook;
  readonly house: House;
  /** Gives both sides to the relay, which begins with the answer’s head (latin-1 text). */
  readonly join: (answerHead: string, framing: Framing | undefined) => Relay;
}

/**
 * Steps 7 to 10: from a verified switch to the outcome. From here on nothing is read as HTTP. What waits for the end of
 * the session keeps only what the record needs: not the request, not the sockets.
 */
export function openTunnel(start: TunnelStart): void {
  const { peer, request, plan, answer, verdict, log, house } = start;
  const { framing, subprotocol } = verdict;

  // 7 answer the client
  const head = switchText(request, answer, {
    secure: dialledSecurely(request.head, peer),
    host: request.head.headers.get('host') ?? '',
  });
  // 9 relay (it begins with the answer)
  const relay = start.join(head, plan.observe ? framing : undefined);
  log.note({ status: 101, subprotocol, handshakeMs: log.elapsedMs() });

  // 8 register
  const info = describe(start);
  const remove = house.registry.add({ info, relay });
  house.events.emit('session.opened', info);

  // 10 outcome
  void followToEnd(relay, framing, info, remove, start.lease, log, house);
}

async function followToEnd(
  relay: Relay,
  framing: Framing,
  info: SessionInfo,
  remove: () => boolean,
  lease: ServerLease,
  log: Logbook,
  house: House,
): Promise<void> {
  const end = await relay.ended;
  lease.release();
  const closedByUs = remove();
  house.events.emit('session.closed', closeRecord(log, relay, end, framing, closedByUs), info);
}

function closeRecord(
  log: Logbook,
  relay: Relay,
  end: RelayEnd,
  framing: Framing,
  closedByUs: boolean,
): AccessRecord {
  const { fromClient, fromUpstream, firstClose } = relay;
  const ending = {
    end,
    firstClose,
    framing,
    observed: isRead(fromClient) && isRead(fromUpstream),
    closedByUs,
  };
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

function describe({ log, request, route, lease, verdict, house }: TunnelStart): SessionInfo {
  return {
    id: house.deps.random.id(SESSION_ID_LENGTH),
    openedAt: house.deps.clock.date(),
    client: log.client,
    host: log.host,
    path: log.path,
    via: 'h1',
    generation: request.generation,
    subprotocol: verdict.subprotocol,
    route: route.id,
    upstream: route.upstream,
    server: lease.server.id,
  };
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
