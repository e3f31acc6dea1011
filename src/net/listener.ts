import { chmodSync } from 'node:fs';
import { type AddressInfo, createServer, type Server as NetServer } from 'node:net';
import { Entrance } from './entrance.js';
import { createHttp1Server, retuneHttp1Server } from './http1.js';
import { IdleConnections } from './idle-connections.js';
import type { NativeDoor, Visit } from './native-door.js';
import type { ListenerPlan } from './plan.js';
import { plainAddress } from './sockets.js';
import type { ClientHandlers } from './types.js';
import { listenOnSocket } from './unix-socket.js';

/** Where a listener is open. */
export interface ListenerAddress {
  readonly id: string;
  /** Empty for a unix socket. */
  readonly host: string;
  /** 0 for a unix socket. */
  readonly port: number;
  /** Absolute; for a unix socket only. */
  readonly socketPath?: string;
  /** Whether TLS is spoken there; absent: it is not. */
  readonly secure?: true;
}

/** An open listener. */
export interface Listener {
  readonly address: ListenerAddress;
  /** Goes on with other options; its address stays. */
  update(plan: ListenerPlan): void;
  /** Takes no more connections and ends idle ones; resolves when every HTTP connection has ended. */
  close(): Promise<void>;
  /** Cuts what HTTP connections are left. Upgraded sockets are not among them. */
  cut(): void;
}

/**
 * Starts to accept clients (step 0): through Node’s own sockets, or through a native door with Node’s HTTP server behind
 * it. Rejects with Node's own error (`EADDRINUSE`, `EACCES`, …); for a unix socket with a ListenError.
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
  const address = addressOf(plan, bound);
  let shut = (): void => void bound.close();
  try {
    if (door !== undefined && plan.unix === undefined && isPlain(plan)) {
      shut = standBefore(entrance, bound, door, current, handlers);
    }
  } catch (thrown) {
    bound.close();
    throw thrown;
  }
  return {
    address,
    update: (next) => {
      changeMode(current, next);
      Object.assign(current, next);
      retuneHttp1Server(server, next);
    },
    close: async () => {
      shut();
      await Promise.all([connections.close(), entrance.close()]);
    },
    cut: () => {
      entrance.cut();
      server.closeAllConnections();
    },
  };
}

function addressOf({ id, unix, tls }: ListenerPlan, bound: NetServer): ListenerAddress {
  const secure = tls === undefined ? {} : ({ secure: true } as const);
  if (unix !== undefined)
    return Object.freeze({ id, host: '', port: 0, socketPath: unix.socketPath, ...secure });
  const { address: host, port } = bound.address() as AddressInfo;
  return Object.freeze({ id, host, port, ...secure });
}

/** Whether what is sent is HTTP from the first byte on, as a native door reads it. */
function isPlain({ tls, proxyProtocol }: ListenerPlan): boolean {
  return tls === undefined && proxyProtocol === undefined;
}

async function listen(server: NetServer, { host, port, unix }: ListenerPlan): Promise<void> {
  if (unix !== undefined) await listenOnSocket(server, unix.socketPath, unix.mode);
  else {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port }, () => {
        server.off('error', reject);
        resolve();
      });
    });
  }
  // Failures of a single accept (EMFILE): Node goes on accepting.
  server.on('error', () => {});
}

function changeMode({ unix: before }: ListenerPlan, { unix }: ListenerPlan): void {
  if (unix === undefined || unix.mode === before?.mode) return;
  try {
    chmodSync(unix.socketPath, unix.mode);
  } catch {
    // Somebody has removed the socket: nobody can connect in any case.
  }
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
    onExhausted: (code) => handlers.onExhausted(plan.id, code),
    onVisit(visit, firstBytes) {
      const address = plainAddress(visit.address === '' ? undefined : visit.address);
      const trusted = plan.isTrusted(address);
      // Written out: to spread other facts into it costs more than all else here (bench, handshake).
      const peer = {
        address,
        secure: false,
        via: 'h1',
        listener: plan.id,
        trusted,
        isTrusted: plan.isTrusted,
      } as const;
      // A reload may have brought TLS or PROXY headers.
      if (!isPlain(plan) || !handlers.onVisit(visit, firstBytes, peer, plan.maxHeaderBytes)) {
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
