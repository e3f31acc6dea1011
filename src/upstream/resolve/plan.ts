/** How names become servers. */
export interface ResolvePlan {
  /** `auto`: IPv4 addresses, and IPv6 ones where there are none. */
  readonly family: 'auto' | 'ipv4' | 'ipv6' | 'both';
  /** A name is asked for again no sooner, whatever its TTL; also the first pause after a failure. */
  readonly minTtlMs: number;
  /** And no later. */
  readonly maxTtlMs: number;
  /** Name servers to ask, `ADDRESS` or `ADDRESS:PORT`; empty: those of the system. */
  readonly nameservers: readonly string[];
}

/** For servers with `srv` in an upstream that says nothing about it. */
export const defaultResolve: ResolvePlan = Object.freeze({
  family: 'auto',
  minTtlMs: 1000,
  maxTtlMs: 300_000,
  nameservers: Object.freeze([]),
});
