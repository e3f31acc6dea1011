/** The PROXY protocol: who a connection is for, said by a proxy at its beginning (HAProxy's proxy-protocol.txt). */

export interface Endpoint {
  /** An IPv4 address, or an IPv6 address in its short form; never an IPv4-mapped one. */
  readonly address: string;
  readonly port: number;
}

/** What a proxy says of the TLS between its client and itself (version 2 only). */
export interface HeaderTls {
  /** Such as `TLSv1.3`. */
  readonly version: string | undefined;
  /** The certificate that the client has shown; undefined without one. */
  readonly certificate: HeaderCertificate | undefined;
}

export interface HeaderCertificate {
  readonly isVerified: boolean;
  readonly commonName: string | undefined;
}

/** For whom the connection is. */
export type Whose =
  /** The sender's own, a health check: `LOCAL`. Version 1 has no word for it. */
  | { readonly kind: 'local' }
  /** Somebody's whom the sender cannot name: `UNKNOWN`, `AF_UNSPEC`, or a protocol that is not TCP. */
  | { readonly kind: 'unknown' }
  /** Somebody's who came to the sender by a unix socket (version 2 only). */
  | { readonly kind: 'unix' }
  /** A client's, which dialled `destination`. */
  | { readonly kind: 'tcp'; readonly source: Endpoint; readonly destination: Endpoint };

export type ProxyHeader = Whose & {
  /** Undefined: the client speaks no TLS, or the sender does not say. */
  readonly tls?: HeaderTls;
  /** The host name that the client asked the sender for (SNI). */
  readonly authority?: string;
};

export const proxyVersions = ['v1', 'v2'] as const;
export type ProxyVersion = (typeof proxyVersions)[number];

/** Bytes that are no PROXY header; the message says why, in words that fit behind "the PROXY header". */
export class ProxyHeaderError extends Error {
  override readonly name = 'ProxyHeaderError';
}
