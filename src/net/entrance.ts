import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { factsOf } from './client-facts.js';
import type { ListenerPlan } from './plan.js';
import { ProxyStage } from './proxy-stage.js';
import { TlsStage } from './tls-stage.js';
import type { ClientHandlers } from './types.js';

/**
 * The way of a connection from accept to HTTP (step 0), one stage after the other:
 *
 * ```
 *   accepted ──▶ (PROXY header) ──▶ (TLS) ──▶ HTTP/1.1
 * ```
 */
export class Entrance {
  readonly #http1: Server;
  readonly #proxied: ProxyStage;
  readonly #tls: TlsStage;
  readonly #plan: ListenerPlan;

  /** @param plan is looked at with each connection, so that it may change. */
  constructor(http1: Server, plan: ListenerPlan, handlers: ClientHandlers) {
    this.#http1 = http1;
    this.#proxied = new ProxyStage(
      (socket) => this.#enterAsClient(socket),
      (error, facts) => {
        const { id, isTrusted } = plan;
        handlers.onRefused(error, { ...facts, listener: id, trusted: false, isTrusted }, undefined);
      },
    );
    this.#tls = new TlsStage(
      () => ({ 'http/1.1': (socket) => void http1.emit('connection', socket) }),
      (reason, address) => handlers.onTlsFailed(reason, { listener: plan.id, address }),
    );
    this.#plan = plan;
  }

  /** Takes in a connection that has just been accepted. */
  enter(socket: Socket): void {
    const { proxyProtocol } = this.#plan;
    const isProxied = proxyProtocol?.isFrom(factsOf(socket).address);
    if (isProxied) this.#proxied.enter(socket, proxyProtocol!);
    else this.#enterAsClient(socket);
  }

  /** Behind the PROXY header, if there was one. */
  #enterAsClient(socket: Socket): void {
    const { tls, headerTimeoutMs } = this.#plan;
    if (tls !== undefined) this.#tls.enter(socket, tls, headerTimeoutMs);
    else this.#http1.emit('connection', socket);
  }

  /** Cuts what is in mid-handshake. */
  close(): void {
    this.#proxied.close();
    this.#tls.close();
  }
}
