import type { Visit } from '../net/native-door.js';
import type { ClientPeer } from '../net/types.js';
import { readUpgrade } from '../protocol/handshake/read.js';
import { readPlainHead } from '../protocol/http/plain-head.js';
import { translationTarget } from '../protocol/translate/generations.js';
import type { Want } from '../upstream/lease.js';
import type { ServerLease, Upstream } from '../upstream/upstream.js';
import { findRoute, type House } from './house.js';
import { Logbook } from './logbook.js';
import { NativeHandshake } from './native-handshake.js';

/**
 * Takes a client of a native door whose handshake is of the common kind: HyBi-04 or later, whole in its first packet,
 * for a route that takes it, with upstream servers at plain TCP addresses, of which one has room now. Returns false for
 * every other client, with nothing done: the same steps over Node’s sockets (session.ts) know all kinds, wait in the
 * queue, and say what is wrong with the rest.
 */
export function runVisit(
  visit: Visit,
  firstBytes: Buffer,
  peer: ClientPeer,
  maxHeaderBytes: number,
  house: House,
): boolean {
  if (firstBytes.length === 0 || house.relay.joinVisit === undefined) return false;
  // 1 read
  const found = readPlainHead(firstBytes.toString('latin1'), maxHeaderBytes);
  if (found === undefined) return false;
  const read = readUpgrade(found.head);
  if (read.kind !== 'upgrade' || read.request.proof.kind !== 'accept') return false;
  // 2 match
  const route = findRoute(found.head, peer, house);
  // 3 admit
  const plan = route?.websocket;
  if (route === undefined || !plan?.generations.has(read.request.generation)) return false;
  // Translating is the work of Node’s sockets, and so is ending a WebSocket here.
  if (route.gateway !== undefined) return false;
  if (translationTarget(read.request.generation, plan.upstreamGeneration) !== undefined) return false;
  if (house.isStopping()) return false;
  const earlyLength = firstBytes.length - found.length;
  if (earlyLength > plan.maxEarlyBytes) return false;
  const upstream = house.upstream(route.upstream);
  // Of all servers, not only of the next: a turn that was taken and not used would be lost.
  if (!upstream.isPlainlyDialled) return false;
  // 4 pick
  const log = new Logbook(found.head, peer, house.deps.clock);
  const applicant = { listener: peer.listener, route: route.id, address: log.client };
  if (!house.admission.wouldAdmit(applicant)) return false;
  const want = upstream.wantOf(found.head, log.client);
  const lease = takeNow(upstream, want);
  if (lease === undefined) return false;
  const admitted = house.admission.admit(applicant);
  if (admitted.kind === 'refused') {
    lease.release();
    return false;
  }
  const { release } = admitted;
  const early = earlyLength === 0 ? NOTHING : Buffer.from(firstBytes.subarray(found.length));
  const start = {
    visit,
    early,
    peer,
    request: read.request,
    route,
    plan,
    upstream,
    want,
    log,
    release,
    house,
  };
  new NativeHandshake(start, lease).begin();
  return true;
}

/** Undefined also where there is no server: that, too, is said over Node’s sockets. */
function takeNow({ pool }: Upstream, want: Want): ServerLease | undefined {
  try {
    return pool.take(want);
  } catch {
    return undefined;
  }
}

const NOTHING = Buffer.alloc(0);
