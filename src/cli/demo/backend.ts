import type { Server } from 'node:http';

/** One of the small servers that the demo puts behind Tidegate. */
export interface Backend {
  /** Id of its upstream, as the table of the page shows it. */
  readonly name: string;
  /** What it is, for people. */
  readonly what: string;
  /** Paths that are routed to it, in the notation of `routes[].match.path`. */
  readonly paths: readonly string[];
  /** Its WebSockets end at Tidegate, which asks it in plain HTTP. */
  readonly isGateway?: boolean;
  /** Where it listens: `http://127.0.0.1:PORT`. */
  readonly url: string;
  /** Says goodbye to its clients and closes. */
  stop(): Promise<void>;
}

/** Starts an HTTP server on an ephemeral port of the loopback interface; the origin it can be reached at. */
export async function listenLocally(server: Server): Promise<string> {
  server.on('clientError', (_, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a demo backend has no port');
  return `http://127.0.0.1:${address.port}`;
}

/** Closes the server and whatever connections are left. */
export async function closeServer(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
