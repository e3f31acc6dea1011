/** A named group of servers, compiled and frozen. */
export interface UpstreamPlan {
  readonly id: string;
  readonly servers: readonly ServerPlan[];
  readonly connectTimeoutMs: number;
  /** Further servers tried after a failure, while nothing has gone to the client. */
  readonly retries: number;
  /** Idle keep-alive connections kept for plain HTTP, per server. */
  readonly maxIdleConnections: number;
  /** How long such a connection is kept idle. */
  readonly keepAliveTimeoutMs: number;
  /** Limit for response heads. */
  readonly maxHeaderBytes: number;
  readonly tls: UpstreamTls;
}

export interface UpstreamTls {
  /** Whether the server’s certificate must be valid. */
  readonly verify: boolean;
  /** PEM text of the certificates to trust instead of the public ones. */
  readonly ca: string | undefined;
  /** Name for SNI and verification instead of the URL’s host. */
  readonly serverName: string | undefined;
}

export interface ServerPlan {
  /** As shown in logs: the configured URL. */
  readonly id: string;
  readonly address: { readonly host: string; readonly port: number } | { readonly socketPath: string };
  readonly secure: boolean;
  /** The server’s own `Host` value: host, and port unless it is the default. */
  readonly host: string;
}
