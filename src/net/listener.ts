import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createHttp1Server } from './http1.js';
import { IdleConnections } from './idle-connections.js';
import type { ListenerPlan } from './plan.js';
import type { ClientHandlers } from './types.js';

/** An open listener. */
export interface Listener {
  readonly id: string;
  readonly host: string;
  readonly port: number;
  /** Takes no more connections and ends idle ones; resolves when every HTTP connection has ended. */
  close(): Promise<void>;
  /** Cuts what HTTP connections are left. Upgraded sockets are not among them. */
  cut(): void;
}

/** Starts to accept clients (step 0). Rejects with Node's own error (`EADDRINUSE`, `EACCES`, …). */
export async function openListener(plan: ListenerPlan, handlers: ClientHandlers): Promise<Listener> {
  const server = createHttp1Server(plan, handlers);
  const connections = new IdleConnections(server);
  await listen(server, plan);
  const { address, port } = server.address() as AddressInfo;
  return {
    id: plan.id,
    host: address,
    port,
    close: () => connections.close(),
    cut: () => server.closeAllConnections(),
  };
}

function listen(server: Server, { host, port }: ListenerPlan): Promise<void> {
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
