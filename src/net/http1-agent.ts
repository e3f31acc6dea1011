import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { callbackify } from 'node:util';
import type { ClientIdentity } from './dial.js';

export interface Http1PoolOptions {
  readonly secure: boolean;
  readonly tls: {
    readonly verify: boolean;
    readonly ca: string | undefined;
    readonly serverName: string | undefined;
    readonly identity?: ClientIdentity | undefined;
  };
  /** Idle connections kept; 0 = none, every request gets its own. */
  readonly maxIdleConnections: number;
  /** How long a connection is kept idle; a shorter `Keep-Alive: timeout` of the server counts. 0 = no limit. */
  readonly keepAliveTimeoutMs: number;
}

/** The connections to one server, for plain HTTP. Never for upgrades. */
export class Http1Pool {
  /** Takes an idle connection if there is one and keeps it afterwards. */
  readonly agent: HttpAgent;
  /** Opens a connection for each request and keeps none. */
  readonly freshAgent: HttpAgent;
  #closed = false;

  constructor(options: Http1PoolOptions) {
    this.freshAgent = makeAgent(options, 0);
    this.agent = makeAgent(options, options.maxIdleConnections);
    this.#guardIdleConnections();
  }

  /** Ends the idle connections; those in use end with their exchange. */
  close(): void {
    this.#closed = true;
    for (const idle of Object.values(this.agent.freeSockets)) {
      for (const socket of idle ?? []) socket.destroy();
    }
  }

  /**
   * Bytes on an idle connection answer no request: they must not become the answer to the next one. Node 20 lets them
   * pass, later versions have a guard of their own.
   */
  #guardIdleConnections(): void {
    const { agent } = this;
    // Its type says void; it returns whether to keep the socket.
    const keepSocketAlive: (socket: Duplex) => unknown = agent.keepSocketAlive.bind(agent);
    const reuseSocket = agent.reuseSocket.bind(agent);
    agent.keepSocketAlive = (socket) => {
      if (this.#closed || keepSocketAlive(socket) === false) return false;
      socket.on('data', destroyOnData);
      return true;
    };
    agent.reuseSocket = (socket, request) => {
      socket.off('data', destroyOnData);
      reuseSocket(socket, request);
    };
  }
}

/** A connection of the caller’s own for one request: `connect` opens it, and it stands when that resolves. */
export function oneTimeAgent(secure: boolean, connect: () => Promise<Socket>): HttpAgent {
  const agent = secure ? new HttpsAgent({ keepAlive: false }) : new HttpAgent({ keepAlive: false });
  const open = callbackify(async () => {
    const socket = await connect();
    // The request listens from the next tick on.
    socket.on('error', () => {});
    readOnAfterFailedWrites(socket);
    return socket;
  });
  // Its types do not know that it may take its time.
  const createConnection = (_options: unknown, done: Parameters<typeof open>[0]): void => open(done);
  agent.createConnection = createConnection as unknown as typeof agent.createConnection;
  return agent;
}

function destroyOnData(this: Socket): void {
  this.destroy();
}

function makeAgent(
  { secure, tls, keepAliveTimeoutMs }: Http1PoolOptions,
  maxIdleConnections: number,
): HttpAgent {
  const options = {
    keepAlive: maxIdleConnections > 0,
    maxFreeSockets: Math.max(1, maxIdleConnections),
    // Node destroys a socket on this timeout only while it is idle; the exchange has timers of its own.
    timeout: keepAliveTimeoutMs,
    // The connection used last is the one least likely to have been closed by the server meanwhile.
    scheduling: 'lifo' as const,
  };
  const agent = secure
    ? new HttpsAgent({
        ...options,
        rejectUnauthorized: tls.verify,
        ca: tls.ca,
        servername: tls.serverName,
        ...tls.identity,
      })
    : new HttpAgent(options);
  const createConnection = agent.createConnection.bind(agent);
  agent.createConnection = (...args) => {
    const socket = createConnection(...args);
    if (socket instanceof Socket) readOnAfterFailedWrites(socket);
    return socket;
  };
  return agent;
}

const PEER_GONE: ReadonlySet<string | undefined> = new Set(['EPIPE', 'ECONNRESET', 'ECONNABORTED']);

/**
 * Keeps a socket readable when a write meets a server that has closed. Node would destroy it, and with it the answer
 * that is waiting in the receive buffer: a `413` to an upload, sent and closed behind, is lost nine times out of ten.
 * Whether the server has gone for good the read side tells at once.
 */
export function readOnAfterFailedWrites(socket: Socket): void {
  type Done = (error?: Error | null) => void;
  const forgiving = (done: Done): Done => {
    return (error) => {
      // Behind the end there is nothing to read, and who writes may be asking how it ended (`ifOrderly`).
      const isForgiven =
        PEER_GONE.has((error as NodeJS.ErrnoException | null)?.code) && !socket.readableEnded;
      done(isForgiven ? null : error);
    };
  };
  // oxlint-disable no-underscore-dangle -- the documented hooks of a Writable
  const write = socket._write.bind(socket);
  const writev = socket._writev?.bind(socket);
  socket._write = (chunk, encoding, done) => write(chunk, encoding, forgiving(done));
  if (writev !== undefined) socket._writev = (chunks, done) => writev(chunks, forgiving(done));
  // oxlint-enable no-underscore-dangle
}
