import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { AdminAddress } from '../config/admin-address.js';
import { ConfigError, formatIssue } from '../config/issues.js';
import { normalizeHost } from '../protocol/http/normalize.js';
import { endWith } from '../net/sockets.js';
import { listenOnSocket } from '../net/unix-socket.js';
import { answer, type Reply } from './api.js';
import { AdminFailure } from './failure.js';
import { Gate } from './gate.js';
import type { AdminTarget } from './target.js';

const MAX_HEADER_BYTES = 16 * 1024;
const MAX_CONNECTIONS = 100;
/** The mode of its unix socket. */
const PRIVATE = 0o600;
/** How often Node looks for connections that are over time. */
const CHECK_INTERVAL_MS = 500;
/** How long answers under way may take when the API closes. */
const CLOSE_GRACE_MS = 1000;

/** Where the admin API listens and whom it serves, compiled and frozen. */
export interface AdminPlan {
  /** A path is absolute. */
  readonly address: AdminAddress;
  readonly token: string | undefined;
  readonly hosts: readonly string[];
  /** For a request head, and again for a request as a whole. */
  readonly headerTimeoutMs: number;
  readonly idleTimeoutMs: number;
}

/** The open admin API. */
export interface AdminServer {
  /** Where it really listens. */
  readonly address: AdminAddress;
  /** Takes no more calls, lets those under way be answered for a moment, and cuts the rest. Safe to call again. */
  close(): Promise<void>;
}

/**
 * Opens the admin API.
 *
 * @param onFault is told of faults of ours; the caller sees a 500
 * @throws ListenError, or Node’s own error
 */
export async function openAdmin(
  plan: AdminPlan,
  target: AdminTarget,
  onFault: (error: unknown) => void,
): Promise<AdminServer> {
  const { address } = plan;
  const own = 'host' in address && address.host !== undefined ? [normalizeHost(hostOf(address.host))] : [];
  const gate = new Gate({ token: plan.token, hosts: [...own, ...plan.hosts] });
  const underWay = new Set<ServerResponse>();
  let closing: Promise<void> | undefined;

  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: plan.headerTimeoutMs,
      // Node wants it to be no shorter than the one for the head.
      requestTimeout: 2 * plan.headerTimeoutMs,
      keepAliveTimeout: plan.idleTimeoutMs,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
      // We refuse it ourselves, in JSON.
      requireHostHeader: false,
    },
    (req, res) => {
      underWay.add(res);
      res.once('close', () => underWay.delete(res));
      res.on('error', () => {});
      res.shouldKeepAlive &&= closing === undefined;
      void serve(req, res);
    },
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.on('clientError', (error, socket) => {
    // Nothing may be written into an answer under way.
    if ([...underWay].some((res) => res.socket === socket)) socket.destroy();
    else refuseUnread(error, socket);
  });

  async function serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    let reply: Reply;
    let headers: Readonly<Record<string, string>> = {};
    try {
      gate.check(req);
      reply = await answer(req, target);
    } catch (thrown) {
      if (thrown instanceof AdminFailure) ({ headers } = thrown);
      else if (!(thrown instanceof ConfigError)) onFault(thrown);
      reply = describe(thrown);
    }
    if (closing !== undefined) res.shouldKeepAlive = false;
    send(res, reply, headers);
  }

  await listen(server, address);
  return {
    address: boundTo(server, address),
    close: () => (closing ??= closeServer(server, underWay)),
  };
}

async function listen(server: Server, address: AdminAddress): Promise<void> {
  if ('socketPath' in address) await listenOnSocket(server, address.socketPath, PRIVATE);
  else {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(address, resolve);
    });
  }
  // Failures of a single accept (EMFILE): Node goes on accepting.
  server.removeAllListeners('error').on('error', () => {});
}

/** libuv removes the file of a unix socket with it. */
async function closeServer(server: Server, underWay: ReadonlySet<ServerResponse>): Promise<void> {
  for (const res of underWay) res.shouldKeepAlive = false;
  const closed = new Promise((resolve) => server.close(resolve));
  const cut = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS).unref();
  // A connection that has sent half a head is neither idle nor waited for.
  if (underWay.size === 0) server.closeAllConnections();
  await closed;
  clearTimeout(cut);
}

function send(res: ServerResponse, { status, body }: Reply, headers: Readonly<Record<string, string>>): void {
  const text = `${JSON.stringify(body)}\n`;
  res.writeHead(status, { ...fixedHeaders(text), ...headers }).end(text);
}

function fixedHeaders(text: string): Record<string, string> {
  return {
    'Content-Type': 'application/json',
    'Content-Length': String(Buffer.byteLength(text)),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  };
}

/** What Node's parser refused, or what took too long. */
function refuseUnread(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const { status, body } = describe(unreadFailure(error.code));
  const text = `${JSON.stringify(body)}\n`;
  const head = Object.entries({ ...fixedHeaders(text), Connection: 'close' }).map((field) =>
    field.join(': '),
  );
  endWith(socket, Buffer.from(`HTTP/1.1 ${status} Refused\r\n${head.join('\r\n')}\r\n\r\n${text}`));
}

function unreadFailure(code: string | undefined): AdminFailure {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new AdminFailure('HEAD_TOO_LARGE', `expected a request head of at most ${MAX_HEADER_BYTES} bytes`);
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new AdminFailure('TIMEOUT', 'the request was not complete in time');
  }
  return new AdminFailure('BAD_REQUEST', 'this is not a valid HTTP/1.1 request');
}

function describe(thrown: unknown): Reply {
  if (thrown instanceof AdminFailure) {
    return { status: thrown.status, body: { error: { code: thrown.code, message: thrown.message } } };
  }
  if (thrown instanceof ConfigError) {
    const issues = thrown.issues.map(formatIssue);
    const message = `the configuration cannot be used, nothing was changed: ${issues[0]}`;
    return { status: 422, body: { error: { code: 'CONFIG_INVALID', message, issues } } };
  }
  const message = 'a fault in Tidegate itself; its log has the details';
  return { status: 500, body: { error: { code: 'INTERNAL', message } } };
}

function boundTo(server: Server, address: AdminAddress): AdminAddress {
  if ('socketPath' in address) return address;
  const { address: host, port } = server.address() as AddressInfo;
  return { host, port };
}

function hostOf(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
