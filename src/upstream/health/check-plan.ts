/** What an active check does to a server. */
export type CheckKind =
  /** A connection is accepted; with `https:`, TLS too. */
  | { readonly kind: 'tcp' }
  /** GET, answered with one of these statuses. */
  | {
      readonly kind: 'http';
      readonly path: string;
      readonly statuses: readonly StatusRange[];
      /** Further fields of the request; `Host` replaces the server’s own. */
      readonly headers: readonly (readonly [name: string, value: string])[];
    }
  /** An RFC 6455 handshake, its answer verified as a client’s would be; then a Close frame, 1000. */
  | {
      readonly kind: 'websocket';
      readonly path: string;
      readonly headers: readonly (readonly [name: string, value: string])[];
    };

/** Both ends included. */
export interface StatusRange {
  readonly from: number;
  readonly to: number;
}

/** When servers are checked, and how many results in a row count. */
export interface CheckPlan {
  readonly check: CheckKind;
  /** From the end of one check to the begin of the next, a tenth more or less. */
  readonly intervalMs: number;
  readonly timeoutMs: number;
  /** Good checks in a row that bring a server up. */
  readonly rise: number;
  /** Failed checks in a row that take it down. */
  readonly fall: number;
}
