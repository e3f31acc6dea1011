import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { factsOf } from './client-facts.js';
import { Http2Door } from './http2/door.js';
import { sniffHttp2 } from './http2/sniff.js';
import type { ListenerPlan } from './plan.js';
import { ProxyStage } from './proxy-stage.js';
import { type Takers, TlsStage } from './tls-stage.js';
import type { ClientHandlers } from './types.js';

/**
 * The way of a connection from accept to HTTP (step 0), one stage after the other:
 *
 * ```
 *   accepted ──▶ (PROXY header) ──▶ (TLS) ──▶ HTTP/1.1
 *                                          └──▶ HTTP/2 ──each stream──▶ HTTP/1.1
 * ```
 */
export class Entrance {
  readonly #http1: Server;
  readonly #http2: Http2Door;
  readonly #proxied: ProxyStage;
  readonly #tls: TlsStage;
  readonly #plan: ListenerPlan;

  /** @param plan is looked at with each connection, so that it may change. */
  constructor(http1: Server, plan: ListenerPlan, handlers: ClientHandlers) {
    this.#http1 = http1;
    this.#http2 = new Http2Door(http1, plan, handlers);
    this.#proxied = new ProxyStage(
      (socket) => this.#enterAsClient(socket),
      (error, facts) => {
        const { id, isTrusted } = plan;
        handlers.onRefused(error, { ...facts, listener: id, trusted: false, isTrusted }, undefined);
      },
    );
    this.#tls = new TlsStage(
      () => this.#byProtocol(),
      (reason, address) => handlers.onTlsFailed(reason, { listener: plan.id, address }),
      handlers.challenges,
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
    const { tls, http2, headerTimeoutMs } = this.#plan;
    if (tls !== undefined) {
      this.#tls.enter(socket, tls, headerTimeoutMs);
      return;
    }
    if (http2 === undefined) {
      this.#http1.emit('connection', socket);
      return;
    }
    sniffHttp2(socket, headerTimeoutMs, (speaksHttp2) => {
      if (speaksHttp2) return this.#http2.enter(socket);
      this.#http1.emit('connection', socket);
      // What was put back comes now.
      socket.resume();
    });
  }

  /** The protocols that are offered to clients of TLS (ALPN, RFC 7301), and who takes which. */
  #byProtocol(): Takers {
    const http1 = (socket: Socket): void => void this.#http1.emit('connection', socket);
    const http2 = (socket: Socket): void => this.#http2.enter(socket);
    return this.#plan.http2 === undefined ? { 'http/1.1': http1 } : { h2: http2, 'http/1.1': http1 };
  }

  /** Lets what is of HTTP/2 go in order, cuts what is in mid-handshake; resolves when HTTP/2 has gone. */
  close(): Promise<void> {
    this.#proxied.close();
    this.#tls.close();
    return this.#http2.close();
  }

  cut(): void {
    this.#http2.cut();
  }
}
