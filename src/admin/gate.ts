import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isOwnHost, showHost } from '../net/api-host.js';
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
    this.#hosts = new Set(hosts);
    this.#tokenDigest = token === undefined ? undefined : digest(token);
  }

  check(req: IncomingMessage): void {
    this.#checkHost(req);
    this.#checkToken(req.headers.authorization);
  }

  #checkHost(req: IncomingMessage): void {
    if (isOwnHost(req, this.#hosts)) return;
    throw new AdminFailure(
      'HOST_NOT_ALLOWED',
      `expected localhost, a loopback address, the address itself or one of \`admin.hosts\`, found ${showHost(req)}`,
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

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
