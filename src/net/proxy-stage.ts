import type { Socket } from 'node:net';
import { ProxyError } from '../base/errors.js';
import { ProxyHeaderReader } from '../protocol/proxy-header/read.js';
import { ProxyHeaderError, type ProxyHeader } from '../protocol/proxy-header/types.js';
import { type ClientFacts, factsOf, noteFacts } from './client-facts.js';
import { reset } from './sockets.js';

/** From whom connections to one listener begin with a PROXY header. */
export interface ProxyProtocolPlan {
  /** Whether the connections of this peer do, all of them; nobody else's do. */
  readonly isFrom: (address: string) => boolean;
  /** From accept to a whole header. */
  readonly timeoutMs: number;
  readonly maxHeaderBytes: number;
}

/** Told of each connection that was cut for want of a good header; `facts` are those of the proxy's connection. */
export type OnProxyHeaderRefused = (error: ProxyError, facts: ClientFacts) => void;

/**
 * The PROXY protocol at one listener (the first part of step 0). Nothing is read, and nothing answered, before a whole
 * and valid header has come: its absence is never guessed at (proxy-protocol.txt §2).
 */
export class ProxyStage {
  readonly #pass: (socket: Socket) => void;
  readonly #onRefused: OnProxyHeaderRefused;
  readonly #waiting = new Set<Socket>();

  /** @param pass takes connections behind their header; what is known from it has been noted. */
  constructor(pass: (socket: Socket) => void, onRefused: OnProxyHeaderRefused) {
    this.#pass = pass;
    this.#onRefused = onRefused;
  }

  enter(socket: Socket, { timeoutMs, maxHeaderBytes }: ProxyProtocolPlan): void {
    // While they can be told: a socket that has been closed does not know its peer any more.
    const facts = factsOf(socket);
    const reader = new ProxyHeaderReader({ maxBytes: maxHeaderBytes });
    const leave = (): void => {
      clearTimeout(timer);
      this.#waiting.delete(socket);
      socket.off('readable', read).off('end', onEnd).off('error', ignore).off('close', leave);
    };
    const refuse = (error: ProxyError): void => {
      leave();
      socket.on('error', ignore);
      reset(socket);
      this.#onRefused(error, facts);
    };
    const read = (): void => {
      for (;;) {
        const chunk = socket.read() as Buffer | null;
        if (chunk === null) return;
        let found;
        try {
          found = reader.push(chunk);
        } catch (thrown) {
          refuse(headerProblem(thrown, facts));
          return;
        }
        if (found === undefined) continue;
        leave();
        if (found.rest.length > 0) socket.unshift(found.rest);
        noteFacts(socket, { ...facts, ...factsFrom(found.header) });
        this.#pass(socket);
        return;
      }
    };
    const onEnd = (): void => {
      // A balancer that only looks whether anybody listens.
      if (reader.isEmpty) {
        leave();
        socket.on('error', ignore).destroy();
      } else refuse(invalid(facts, 'ends in the middle'));
    };
    const timer = setTimeout(() => {
      const late = `the PROXY header from ${facts.address} was not complete within ${timeoutMs} ms`;
      refuse(new ProxyError('PROXY_HEADER_TIMEOUT', late));
    }, timeoutMs).unref();
    this.#waiting.add(socket);
    socket.on('error', ignore).on('close', leave).on('end', onEnd).on('readable', read);
    if (socket.destroyed) leave();
  }

  /** Cuts the connections whose header has not come yet. */
  close(): void {
    for (const socket of [...this.#waiting]) socket.destroy();
  }
}

function factsFrom(header: ProxyHeader): Partial<ClientFacts> {
  if (header.kind === 'local') return {};
  return {
    ...(header.kind === 'tcp' && { address: header.source.address }),
    ...(header.kind === 'unix' && { address: 'unix' }),
    ...(header.tls && { secure: true }),
    proxied: header,
  };
}

/** Anything else is a fault of ours, which costs this connection. */
function headerProblem(thrown: unknown, facts: ClientFacts): ProxyError {
  return thrown instanceof ProxyHeaderError ? invalid(facts, thrown.message) : ProxyError.from(thrown);
}

function invalid({ address }: ClientFacts, why: string): ProxyError {
  return new ProxyError('PROXY_HEADER_INVALID', `the PROXY header from ${address} ${why}`);
}

function ignore(): void {}
