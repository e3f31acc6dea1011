import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { createSecureContext, createServer, type SecureContext, type Server } from 'node:tls';
import { ACME_PROTOCOL } from '../../protocol/tls/client-hello.js';

const HTTP_PATH = '/.well-known/acme-challenge/';

/** What proves to an authority that a name is ours, while it may look: answers for HTTP-01, certificates for TLS-ALPN-01. */
export class AcmeChallenges {
  /** By token. */
  readonly #answers = new Map<string, string>();
  /** By host name. */
  readonly #contexts = new Map<string, SecureContext>();
  #server: Server | undefined;

  /** Whether requests are to be looked at. */
  get awaitsHttp(): boolean {
    return this.#answers.size > 0;
  }

  /** Whether TLS handshakes are. */
  get awaitsTls(): boolean {
    return this.#contexts.size > 0;
  }

  /** Answers for HTTP-01 (RFC 8555 §8.3). Returns what takes it away again. */
  answerHttp(token: string, keyAuthorization: string): () => void {
    this.#answers.set(token, keyAuthorization);
    return () => void this.#answers.delete(token);
  }

  /** Shows a certificate for TLS-ALPN-01 (RFC 8737 §3), PEM text. Returns what takes it away again. */
  answerTls(name: string, identity: { readonly cert: string; readonly key: string }): () => void {
    const context = createSecureContext(identity);
    this.#contexts.set(name, context);
    return () => {
      if (this.#contexts.get(name) === context) this.#contexts.delete(name);
    };
  }

  /**
   * Answers a request that asks for a token that is awaited.
   *
   * @returns whether it was one; if not, nothing was done
   */
  answer(method: string, target: string, res: ServerResponse): boolean {
    if (!target.startsWith(HTTP_PATH) || (method !== 'GET' && method !== 'HEAD')) return false;
    const answer = this.#answers.get(target.slice(HTTP_PATH.length).replace(/\?.*/s, ''));
    if (answer === undefined) return false;
    res.req.resume();
    res.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': answer.length });
    res.end(answer);
    return true;
  }

  /** Whether who offers these by ALPN is a validator, and is awaited. */
  isFor(protocols: readonly string[]): boolean {
    return this.awaitsTls && protocols.length === 1 && protocols[0] === ACME_PROTOCOL;
  }

  /** Shakes hands with a validator, whose ClientHello has been put back. That is all it came for. */
  takeTls(socket: Socket): void {
    this.#server ??= this.#open();
    this.#server.emit('connection', socket);
  }

  #open(): Server {
    const server = createServer({
      ALPNProtocols: [ACME_PROTOCOL],
      // Without a context of its own there is no certificate, and so no handshake.
      SNICallback: (name, done) => done(null, this.#contexts.get(name.toLowerCase())),
      handshakeTimeout: 0,
    });
    server.on('secureConnection', (socket) => void socket.on('error', () => {}).end());
    server.on('tlsClientError', (_error, socket) => void socket.destroy());
    return server;
  }
}
