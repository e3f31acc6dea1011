import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { plainAddress } from '../net/sockets.js';
import { normalizeHost } from '../protocol/http/normalize.js';
import { AdminFailure } from './failure.js';

export interface GateOptions {
  /** Undefined: callers need not show one. */
  readonly token: string | undefined;
  /** Names beside the loopback ones, as `normalizeHost` writes them. */
  readonly hosts: readonly string[];
}

/** Who may speak to the admin API at all. Throws an AdminFailure for everybody else. */
export class Gate {
  readonly #hosts: ReadonlySet<string>;
  readonly #tokenDigest: Buffer | undefined;

  constructor({ token, hosts }: GateOptions) {
    this.#hosts = new Set(['localhost', ...hosts]);
    this.#tokenDigest = token === undefined ? undefined : digest(token);
  }

  check(req: IncomingMessage): void {
    this.#checkHost(req);
    this.#checkToken(req.headers.authorization);
  }

  /**
   * A web page can make its own name resolve to our address (DNS rebinding) and then reads our answers as its own.
   * Only names that nobody else can give away are taken. An address is none of those: no page has it as its name but
   * the one that we serve.
   */
  #checkHost({ headers, socket }: IncomingMessage): void {
    const name = normalizeHost(headers.host ?? '');
    if (this.#hosts.has(name)) return;
    const address = name.replace(/^\[|\]$/g, '');
    const isOurs = isLoopback(address) || address === plainAddress(socket.localAddress);
    if (isIP(address) !== 0 && isOurs) return;
    const given = headers.host === undefined ? 'no Host header' : `Host ${JSON.stringify(headers.host)}`;
    throw new AdminFailure(
      'HOST_NOT_ALLOWED',
      `expected localhost, a loopback address, the address itself or one of \`admin.hosts\`, found ${given}`,
    );
  }

  #checkToken(authorization: string | undefined): void {
    if (this.#tokenDigest === undefined) return;
    const shown = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
    // Digests have one length, so that the comparison tells nothing about the token's.
    if (shown !== undefined && timingSafeEqual(digest(shown), this.#tokenDigest)) return;
    const what =
      shown === undefined ? 'a token is required: Authorization: Bearer TOKEN' : 'this is not the token';
    throw new AdminFailure('TOKEN_REQUIRED', what, { 'WWW-Authenticate': 'Bearer realm="tidegate"' });
  }
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
