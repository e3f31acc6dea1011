import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { AdminAddress } from '../config/admin-address.js';
import { endWith } from './sockets.js';
import { listenOnSocket } from './unix-socket.js';

/** The largest request head. */
export const MAX_HEAD_BYTES = 16 * 1024;
/** The mode of a unix socket. */
const PRIVATE = 0o600;
/** How often Node looks for connections that are over time. */
const CHECK_INTERVAL_MS = 500;
/** How long answers under way may take when the API closes. */
const CLOSE_GRACE_MS = 1000;

export interface ApiPlan {
  readonly address: AdminAddress;
  /** 0: any number. */
  readonly maxConnections: number;
  /** For a request head, and again for a request as a whole. */
  readonly headerTimeoutMs: number;
  readonly idleTimeoutMs: number;
}

export interface ApiAnswer {
  readonly status: number;
  readonly type: 'application/json' | 'text/plain';
  readonly body: string;
  /** Further header fields. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
}

/** Why a request was not even read. */
export type Unread = 'head-too-large' | 'timeout' | 'malformed';

export interface ApiHandler {
  /** Never rejects. */
  answer(req: IncomingMessage): Promise<ApiAnswer>;
  refuse(why: Unread): ApiAnswer;
}

/** An open API. */
export interface ApiServer {
  /** Where it really listens. */
  readonly address: AdminAddress;
  /** Takes no more calls, lets those under way be answered for a moment, and cuts the rest. Safe to call again. */
  close(): Promise<void>;
}

/**
 * Opens a small HTTP API of our own, beside what is proxied.
 *
 * @throws ListenError, or Node’s own error
 */
export async function openApi(plan: ApiPlan, handler: ApiHandler): Promise<ApiServer> {
  const underWay = new Set<ServerResponse>();
  let closing: Promise<void> | undefined;
  const server = createServer(
    {
      maxHeaderSize: MAX_HEAD_BYTES,
      headersTimeout: plan.headerTimeoutMs,
      // Node wants it to be no shorter than the one for the head.
      requestTimeout: 2 * plan.headerTimeoutMs,
      keepAliveTimeout: plan.idleTimeoutMs,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
      // Who wants one refuses its absence in words of its own.
      requireHostHeader: false,
    },
    (req, res) => {
      underWay.add(res);
      res.once('close', () => underWay.delete(res));
      res.on('error', () => {});
      res.shouldKeepAlive &&= closing === undefined;
      void handler.answer(req).then((answer) => {
        if (closing !== undefined) res.shouldKeepAlive = false;
        res.writeHead(answer.status, fieldsOf(answer)).end(answer.body);
      });
    },
  );
  // To Node, 0 is none at all.
  if (plan.maxConnections > 0) server.maxConnections = plan.maxConnections;
  server.on('clientError', (error, socket) => {
    // Nothing may be written into an answer under way.
    if ([...underWay].some((res) => res.socket === socket)) socket.destroy();
    else refuseUnread(error, socket, handler);
  });
  await listen(server, plan.address);
  return {
    address: boundTo(server, plan.address),
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

function fieldsOf({ status, type, body, headers }: ApiAnswer): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {
    // RFC 9110 §8.6: nothing is there to have a length.
    ...(status === 204 ? {} : { 'Content-Type': type, 'Content-Length': String(Buffer.byteLength(body)) }),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  };
  for (const [name, value] of Object.entries(headers ?? {})) {
    fields[name] = typeof value === 'string' ? value : [...value];
  }
  return fields;
}

/** What Node's parser refused, or what took too long. */
function refuseUnread(error: NodeJS.ErrnoException, socket: Duplex, handler: ApiHandler): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const answer = handler.refuse(unreadReasons[error.code ?? ''] ?? 'malformed');
  const fields = Object.entries({ ...fieldsOf(answer), Connection: 'close' }).flatMap(([name, value]) =>
    [value].flat().map((one) => `${name}: ${one}`),
  );
  const head = [`HTTP/1.1 ${answer.status} Refused`, ...fields].join('\r\n');
  endWith(socket, Buffer.from(`${head}\r\n\r\n${answer.body}`));
}

const unreadReasons: Readonly<Record<string, Unread>> = {
  HPE_HEADER_OVERFLOW: 'head-too-large',
  ERR_HTTP_REQUEST_TIMEOUT: 'timeout',
};

function boundTo(server: Server, address: AdminAddress): AdminAddress {
  if ('socketPath' in address) return address;
  const { address: host, port } = server.address() as AddressInfo;
  return { host, port };
}
