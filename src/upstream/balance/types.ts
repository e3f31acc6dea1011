/** A server as balancing sees it. */
export interface Balanced {
  readonly id: string;
  /** `hashText(id)`: its place in consistent hashing. */
  readonly seed: number;
  /** Its part of the work, above 0. */
  readonly weight: number;
  /** Live leases: handshakes, requests and tunnels. */
  readonly load: number;
  /** How far its slow start is: above 0, at most 1. */
  readonly share: number;
  /** Round-robin’s own account; nobody else writes it. Starts at 0. */
  turn: number;
}

/** A way to choose. It keeps no list of its own: servers may come, go and change between any two picks. */
export interface Balancer {
  /**
   * The server whose turn it is among those that may be used now. Called again without the one that failed, it says who
   * comes next. Undefined only when there are none.
   *
   * @param key what consistent hashing goes by; the others do not look at it.
   */
  pick<S extends Balanced>(servers: readonly S[], key: string | undefined): S | undefined;
}

/** How much of the work a server is up to: its weight, less while it starts slowly. */
export function strength({ weight, share }: Balanced): number {
  return weight * share;
}

/**
 * What one more tunnel would make of a server’s load. The one to come is counted, so that among idle servers the
 * strong come first and one that starts slowly is not flooded for being empty.
 */
export function cost(server: Balanced): number {
  return (server.load + 1) / strength(server);
}
