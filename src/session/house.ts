import type { Deps } from '../base/deps.js';
import type { Channels } from '../channels/channels.js';
import type { ClientPeer } from '../net/types.js';
import { dialledSecurely } from './dialled.js';
import { pathOf } from '../net/request-head.js';
import type { Events } from '../observe/events.js';
import type { Admission } from '../policy/admission.js';
import type { RequestHead } from '../protocol/http/head.js';
import type { RelayEngine } from '../relay/types.js';
import type { RoutePlan } from '../route/plan.js';
import type { Upstream } from '../upstream/upstream.js';
import type { Handover } from './handover.js';
import type { Liveness } from './liveness.js';
import type { Registry } from './registry.js';

/** What every session needs of the proxy it lives in. */
export interface House {
  readonly deps: Deps;
  readonly events: Events;
  readonly registry: Registry;
  readonly relay: RelayEngine;
  /** Step 3: limits on connections and handshakes. */
  readonly admission: Admission;
  readonly liveness: Liveness;
  /** Whether no new work is taken any more. */
  isStopping(): boolean;
  /** The route for a host (as sent) and a path (without query), or undefined. */
  findRoute(host: string, path: string, isSecure: boolean): RoutePlan | undefined;
  /** Where gateway sessions subscribe and are addressed. The same each time; rejects where its backplane cannot be had. */
  channels(): Promise<Channels>;
  /** What other nodes need of gateway sessions. */
  readonly handover: Handover;
  /** The living side of an upstream that a route names. */
  upstream(id: string): Upstream;
}

/** Step 2: the route of a request. */
export function findRoute(head: RequestHead, peer: ClientPeer, house: House): RoutePlan | undefined {
  const host = head.headers.get('host') ?? '';
  return house.findRoute(host, pathOf(head.target), dialledSecurely(head, peer));
}
