import type { PoolServer } from './pool-server.js';

/** What a request asks of a pool. */
export interface Want {
  /** What consistent hashing goes by; undefined: its turn. */
  readonly key?: string | undefined;
  /** The id of the server that the client sticks to; one that no server has means that it is gone. */
  readonly server?: string | undefined;
}

/** What a lease tells its pool. */
export interface LeaseKeeper<T> {
  returned(lease: Lease<T>): void;
  succeeded(server: PoolServer<T>): void;
  failed(server: PoolServer<T>, error: unknown): void;
}

/**
 * A place at a server: one handshake and its tunnel, or one plain request. Counts as load until it is released, which
 * whoever holds it must do, whatever happens.
 */
export class Lease<T = unknown> {
  readonly server: PoolServer<T>;
  readonly want: Want;
  /** The servers that the same request was given before, each of which failed. */
  readonly tried: readonly PoolServer<T>[];
  readonly #keeper: LeaseKeeper<T>;
  #isReleased = false;

  constructor(keeper: LeaseKeeper<T>, server: PoolServer<T>, want: Want, tried: readonly PoolServer<T>[]) {
    this.#keeper = keeper;
    this.server = server;
    this.want = want;
    this.tried = tried;
  }

  /** The server gave a valid answer. */
  succeeded(): void {
    this.#keeper.succeeded(this.server);
  }

  /**
   * The server failed, if `error` is a ProxyError of the upstream’s side; anything else says nothing about it. The lease
   * is still to be released.
   */
  failed(error: unknown): void {
    this.#keeper.failed(this.server, error);
  }

  get isReleased(): boolean {
    return this.#isReleased;
  }

  /** Gives the place back; a second call does nothing. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#keeper.returned(this);
  }
}
