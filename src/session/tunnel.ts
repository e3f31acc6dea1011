import { ProxyError } from '../base/errors.js';
import type { ClientPeer } from '../net/types.js';
import type { AccessRecord, SessionInfo } from '../observe/record.js';
import { switchText } from '../protocol/handshake/answer.js';
import type { Framing, UpgradeRequest } from '../protocol/handshake/types.js';
import type { Verdict } from '../protocol/handshake/verify.js';
import type { ResponseHead } from '../protocol/http/head.js';
import type { Carried, Relay, RelayEnd, RelayOptions } from '../relay/types.js';
import type { RoutePlan, WebSocketPlan } from '../route/plan.js';
import type { ServerLease } from '../upstream/upstream.js';
import { dialledSecurely } from './dialled.js';
import type { House } from './house.js';
import type { Logbook } from './logbook.js';
import { closingTimeMs, drawAge } from './liveness.js';
import { countsOf } from './counts.js';
import { closedBy, endDetail, outcomeOf } from './outcome.js';
import type { LiveSession } from './registry.js';
import { pingable, relayedFraming, upstreamGenerationOf } from './translation.js';

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
  readonly join: (answerHead: string, framing: Framing | undefined, options: RelayOptions) => Relay;
  /** Called once when the session has ended: its place is free. */
  readonly release: () => void;
}

/**
 * Steps 7 to 10: from a verified switch to the outcome. From here on nothing is read as HTTP. What waits for the end of
 * the session keeps only what the record needs: not the request, not the sockets.
 */
export function openTunnel(start: TunnelStart): void {
  const { peer, request, route, plan, answer, verdict, log, house } = start;
  const { subprotocol } = verdict;

  // 7 answer the client
  const head = switchText(request, answer, {
    secure: dialledSecurely(request.head, peer),
    host: request.head.headers.get('host') ?? '',
  });
  // 9 relay (it begins with the answer)
  const read = relayedFraming(request, plan, verdict);
  const framing = read ?? verdict.framing;
  const ageMs = drawAge(plan, house.deps.random.float());
  const relay = start.join(head, read, relayOptions(plan, read, request, ageMs));
  log.note({ status: 101, subprotocol, handshakeMs: log.elapsedMs() });

  // 8 register
  const info = describe(start);
  const session = house.registry.add({ info, relay, route });
  const hasPings = read === 'rfc6455';
  const unwatch = house.liveness.watch({ session, plan: pingable(request, plan), hasPings, ageMs });
  house.events.emit('session.opened', info);

  // 10 outcome
  const { release, lease } = start;
  relay.whenEnded((end) => {
    try {
      unwatch();
      release();
      lease.release();
      house.registry.remove(session);
      house.events.emit('session.closed', closeRecord(log, session, end, framing), info);
    } catch (thrown) {
      // A fault of ours costs one record: others have ended in the same turn.
      house.events.emit('fault', ProxyError.from(thrown));
    }
  });
}

/** What outlives its age is closed by Close frames, where there are any; the relay ends it only if that fails. */
function relayOptions(
  plan: WebSocketPlan,
  framing: Framing | undefined,
  { generation }: UpgradeRequest,
  ageMs: number,
): RelayOptions {
  const isTold = framing === 'rfc6455' || (framing === 'hixie' && generation === 'hixie-76');
  const maxAgeMs = ageMs > 0 && isTold ? ageMs + closingTimeMs(plan) : ageMs;
  return maxAgeMs === plan.maxAgeMs ? plan : { ...plan, maxAgeMs };
}

function closeRecord(log: Logbook, session: LiveSession, end: RelayEnd, framing: Framing): AccessRecord {
  const { fromClient, fromUpstream, firstClose } = session.relay;
  const ending = {
    end,
    firstClose,
    framing,
    observed: isRead(fromClient) && isRead(fromUpstream),
    ownEnd: session.ownEnd,
  };
  return log
    .note(countsOf(session.relay))
    .note({
      closedBy: closedBy(ending),
      outcome: outcomeOf(ending),
      detail: detailOf(fromClient, fromUpstream, endDetail(ending)),
    })
    .close();
}

function describe({ log, request, route, plan, lease, verdict, house }: TunnelStart): SessionInfo {
  return {
    id: house.deps.random.id(SESSION_ID_LENGTH),
    openedAt: house.deps.clock.date(),
    client: log.client,
    host: log.host,
    path: log.path,
    via: log.via,
    generation: request.generation,
    upstreamGeneration: upstreamGenerationOf(request, plan),
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

/** What the record says beside the outcome: how it ended, frames that could not be read. */
function detailOf(client: Carried, upstream: Carried, end: string | undefined): string | undefined {
  const parts = [
    end,
    client.blind === undefined ? undefined : `frames from client not readable: ${client.blind}`,
    upstream.blind === undefined ? undefined : `frames from upstream not readable: ${upstream.blind}`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : parts.join('; ');
}
