import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { ProxyError } from '../base/errors.js';
import { readUpgrade } from '../protocol/handshake/read.js';
import { renderError } from '../protocol/http/error-answer.js';
import type { RequestHead } from '../protocol/http/head.js';
import { factsOf, isNameless } from './client-facts.js';
import type { ListenerPlan } from './plan.js';
import { readRequestHead } from './request-head.js';
import { endWith, errorBytes } from './sockets.js';
import type { ClientHandlers, ClientPeer } from './types.js';

/** How often Node looks for heads that are overdue. */
const TIMEOUT_CHECK_MS = 500;

/** An HTTP/1.1 server for one listener, its requests and handshakes handed to `handlers`. Not yet listening. */
export function createHttp1Server(plan: ListenerPlan, handlers: ClientHandlers): Server {
  const server = createServer({
    maxHeaderSize: plan.maxHeaderBytes,
    headersTimeout: plan.headerTimeoutMs,
    // Bodies may take as long as they keep moving: the route's idle timeout watches them.
    requestTimeout: 0,
    keepAliveTimeout: plan.keepAliveTimeoutMs,
    connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    insecureHTTPParser: false,
    // We answer a missing Host ourselves, saying what is wrong.
    requireHostHeader: false,
    noDelay: true,
  });
  // 0 = all. Node would silently drop those above its default of 2000; maxHeaderSize is the limit that counts.
  server.maxHeadersCount = 0;
  attachHttp1(server, plan, handlers);
  return server;
}

/** Other limits and time-outs for an open server: Node looks them up with each connection, head and answer. */
export function retuneHttp1Server(server: Server, plan: ListenerPlan): void {
  Object.assign(server, { maxHeaderSize: plan.maxHeaderBytes });
  server.headersTimeout = plan.headerTimeoutMs;
  server.keepAliveTimeout = plan.keepAliveTimeoutMs;
}

/** What is known of where clients come in, read anew for each; without an id on a server that somebody else made. */
export type DoorPlan = Pick<ListenerPlan, 'isTrusted'> & Partial<Pick<ListenerPlan, 'id'>>;

/** What `attachHttp1` takes over of a server that somebody else made. */
export interface AttachOptions {
  /** Plain HTTP too, or only the WebSocket handshakes. */
  readonly requests: boolean;
}

/** Listens to the events of an HTTP server. Returns the undo. */
export function attachHttp1(
  server: Server,
  plan: DoorPlan,
  handlers: ClientHandlers,
  options: AttachOptions = { requests: true },
): () => void {
  const door = new Http1Door(server, plan, handlers);
  const listeners: Record<string, (...args: never[]) => void> = { upgrade: door.onUpgrade };
  if (options.requests) {
    Object.assign(listeners, {
      request: door.onRequest,
      // Answering 100 is the upstream's business; so is any other expectation.
      checkContinue: door.onRequest,
      checkExpectation: door.onRequest,
      connect: door.onConnect,
      clientError: door.onClientError,
    });
  }
  for (const [name, listener] of Object.entries(listeners)) server.on(name, listener as never);
  return () => {
    for (const [name, listener] of Object.entries(listeners)) server.off(name, listener as never);
  };
}

/** Reads what Node's server emits; answers what is refused at the door. */
export class Http1Door {
  readonly #server: Server | undefined;
  readonly #plan: DoorPlan;
  readonly #handlers: ClientHandlers;
  /** Sockets with an answer under way: nothing else may be written to them. */
  readonly #answering = new WeakSet<Duplex>();
  /** Sockets whose last answer was a refusal of ours. What came in the same packet must not be acted on. */
  readonly #refused = new WeakSet<Duplex>();

  /** @param server gets requests back that turn out to be plain HTTP; without one they are refused. */
  constructor(server: Server | undefined, plan: DoorPlan, handlers: ClientHandlers) {
    this.#server = server;
    this.#plan = plan;
    this.#handlers = handlers;
  }

  readonly onRequest = (req: IncomingMessage, res: ServerResponse): void => {
    const { socket } = req;
    if (this.#refused.has(socket)) return;
    const peer = this.#peerOf(socket);
    this.#answering.add(socket);
    res.once('close', () => this.#answering.delete(socket));
    let head: RequestHead;
    try {
      head = readRequestHead(req);
    } catch (thrown) {
      const error = ProxyError.from(thrown);
      const { status, headers, body } = renderError(error);
      headers.append('Connection', 'close');
      this.#refused.add(socket);
      res.sendDate = false;
      res.writeHead(status, headers.toRaw()).end(body);
      this.#handlers.onRefused(error, peer, undefined);
      return;
    }
    this.#handlers.onRequest(head, req, res, peer);
  };

  readonly onUpgrade = (req: IncomingMessage, socket: Duplex, firstBytes: Buffer): void => {
    const peer = this.#peerOf(socket);
    let head: RequestHead;
    try {
      head = readRequestHead(req);
    } catch (thrown) {
      this.#refuse(socket, ProxyError.from(thrown), peer, undefined);
      return;
    }
    const asPlainHttp = () => this.#giveBack(req, socket, firstBytes, peer, head);
    const read = readUpgrade(head);
    if (read.kind === 'plain') {
      asPlainHttp();
      return;
    }
    // A view into Node's shared read buffer would pin all of it for as long as the bytes wait.
    const early = Buffer.from(firstBytes);
    this.#handlers.onUpgrade({ head, read, socket, early, peer, asPlainHttp });
  };

  readonly onConnect = (_req: IncomingMessage, socket: Duplex): void => {
    const error = new ProxyError(
      'REQUEST_METHOD_UNSUPPORTED',
      'CONNECT is for forward proxies; this is none',
    );
    this.#refuse(socket, error, this.#peerOf(socket), undefined);
  };

  readonly onClientError = (cause: Error & { code?: string }, socket: Duplex): void => {
    if (!socket.writable || this.#answering.has(socket) || !isParserError(cause)) {
      socket.destroy();
      return;
    }
    this.#refuse(socket, readError(cause), this.#peerOf(socket), undefined);
  };

  #refuse(socket: Duplex, error: ProxyError, peer: ClientPeer, head: RequestHead | undefined): void {
    endWith(socket, errorBytes(error));
    this.#handlers.onRefused(error, peer, head);
  }

  /**
   * Node raises 'upgrade' for any token and for HTTP/1.0. What asks for no WebSocket goes through the server again
   * without its upgrade (RFC 9110 §7.8: a server may ignore it), body and all.
   */
  #giveBack(
    req: IncomingMessage,
    socket: Duplex,
    firstBytes: Buffer,
    peer: ClientPeer,
    head: RequestHead,
  ): void {
    if (this.#server === undefined) {
      this.#refuse(
        socket,
        new ProxyError('HANDSHAKE_INVALID', 'only WebSocket upgrades are taken here'),
        peer,
        head,
      );
      return;
    }
    if (firstBytes.length > 0) socket.unshift(firstBytes);
    socket.unshift(headWithoutUpgrade(req));
    this.#server.emit('connection', socket);
  }

  #peerOf(socket: Duplex): ClientPeer {
    const { id, isTrusted } = this.#plan;
    const facts = factsOf(socket);
    const trusted = isTrusted(facts.address) && !isNameless(facts);
    return { ...facts, listener: id, trusted, isTrusted };
  }
}

/** The request as it came, from parsed fields, but asking for no switch. */
function headWithoutUpgrade(req: IncomingMessage): Buffer {
  let text = `${req.method} ${req.url} HTTP/${req.httpVersion}\r\n`;
  for (let i = 0; i + 1 < req.rawHeaders.length; i += 2) {
    const name = req.rawHeaders[i]!;
    const lower = name.toLowerCase();
    if (lower === 'upgrade' || lower === 'http2-settings') continue;
    const value = req.rawHeaders[i + 1]!;
    text += `${name}: ${lower === 'connection' ? withoutUpgradeTokens(value) : value}\r\n`;
  }
  return Buffer.from(`${text}\r\n`, 'latin1');
}

function withoutUpgradeTokens(connection: string): string {
  const kept = connection.split(',').filter((token) => !/^\s*(?:upgrade|http2-settings)\s*$/i.test(token));
  return kept.join(',').trim();
}

function isParserError({ code }: { code?: string }): boolean {
  return code !== undefined && (code.startsWith('HPE_') || code === 'ERR_HTTP_REQUEST_TIMEOUT');
}

function readError({ code, message }: Error & { code?: string }): ProxyError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new ProxyError('REQUEST_HEAD_TOO_LARGE', 'the request head is too large');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new ProxyError('REQUEST_HEAD_TIMEOUT', 'the request head took too long');
    default:
      return new ProxyError('REQUEST_HEAD_MALFORMED', message.replace(/^Parse Error:?\s*/, ''));
  }
}
