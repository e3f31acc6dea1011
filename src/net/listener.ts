import { type AddressInfo, createServer, type Server as NetServer } from 'node:net';
import { Entrance } from './entrance.js';
import { createHttp1Server, retuneHttp1Server } from './http1.js';
import { IdleConnections } from './idle-connections.js';
import type { NativeDoor, Visit } from './native-door.js';
import type { ListenerPlan } from './plan.js';
import { plainAddress } from './sockets.js';
import type { ClientHandlers } from './types.js';

/** An open listener. */
export interface Listener {
  readonly id: string;
  readonly host: string;
  readonly port: number;
  /** Goes on with other options; its address stays. */
  update(plan: ListenerPlan): void;
  /** Takes no more connections and ends idle ones; resolves when every HTTP connection has ended. */
  close(): Promise<void>;
  /** Cuts what HTTP connections are left. Upgraded sockets are not among them. */
  cut(): void;
}

/**
 * Starts to accept clients (step 0): through Node’s own sockets, or through a native door with Node’s HTTP server behind
 * it. Rejects with Node's own error (`EADDRINUSE`, `EACCES`, …).
 */
export async function openListener(
  plan: ListenerPlan,
  handlers: ClientHandlers,
  door?: NativeDoor,
): Promise<Listener> {
  // Options are read from here with each client, so that they may change.
  const current = { ...plan };
  const server = createHttp1Server(current, handlers);
  const connections = new IdleConnections(server);
  const entrance = new Entrance(server, current, handlers);
  const bound = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => entrance.enter(socket));
  await listen(bound, plan);
  // A server that does not listen itself has to be told to watch its clients' time-outs.
  server.emit('listening');
  const { address, port } = bound.address() as AddressInfo;
  let shut = (): void => void bound.close();
  try {
    // A door reads what is sent as it is.
    if (door !== undefined && plan.tls === undefined)
      shut = standBefore(entrance, bound, door, current, handlers);
  } catch (thrown) {
    bound.close();
    throw thrown;
  }
  return {
    id: plan.id,
    host: address,
    port,
    update: (next) => {
      Object.assign(current, next);
      retuneHttp1Server(server, next);
    },
    close: () => {
      shut();
      entrance.close();
      return connections.close();
    },
    cut: () => server.closeAllConnections(),
  };
}

function listen(server: NetServer, { host, port }: ListenerPlan): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      // Failures of a single accept (EMFILE): Node goes on accepting.
      server.on('error', () => {});
      resolve();
    });
  });
}

/** Lets the door accept in place of `bound`; what it does not take goes in at the entrance. Returns what stops it. */
function standBefore(
  entrance: Entrance,
  bound: NetServer,
  door: NativeDoor,
  plan: ListenerPlan,
  handlers: ClientHandlers,
): () => void {
  const shut = door.listen(descriptorOf(bound), {
    onVisit(visit, firstBytes) {
      const address = plainAddress(visit.address === '' ? undefined : visit.address);
      const trusted = plan.isTrusted(address);
      const facts = { address, secure: false, via: 'h1' } as const;
      const peer = { ...facts, listener: plan.id, trusted, isTrusted: plan.isTrusted };
      // A reload may have brought TLS.
      if (plan.tls !== undefined || !handlers.onVisit(visit, firstBytes, peer, plan.maxHeaderBytes)) {
        giveTo(entrance, visit, firstBytes);
      }
    },
  });
  // The duplicate goes on listening. What Node accepts until it has closed its own goes to the server too.
  bound.close();
  return shut;
}

function giveTo(entrance: Entrance, visit: Visit, firstBytes: Buffer): void {
  const { client } = visit.take();
  if (firstBytes.length > 0) client.unshift(Buffer.from(firstBytes));
  entrance.enter(client);
}

/** Node has no public way to it. */
function descriptorOf(server: NetServer): number {
  const { _handle: handle } = server as NetServer & { _handle?: { fd?: number } | null };
  return handle?.fd ?? -1;
}
