import type { ListenerAddress } from '../net/listener.js';

/**
 * What the admin API speaks for. Names are those of the access log; times are ISO 8601, durations milliseconds. What a
 * method throws as `AdminFailure` or `ConfigError` reaches the caller as one line; anything else is a 500.
 */
export interface AdminTarget {
  status(): Status;
  connections(filter: ConnectionFilter, paging: Paging): ConnectionPage;
  /** Undefined: no open session has this id. */
  connection(id: string): Connection | undefined;
  /** Closes a session; resolves once it has ended. Undefined: no open session has this id. */
  close(id: string, order: CloseOrder): Promise<CloseResult | undefined>;
  /** Begins to let go of every session, and ends the proxy when all are gone. */
  drain(order: DrainOrder): Promise<DrainProgress>;
  /** Reads the configuration again; a ConfigError has changed nothing. Absent: answered 501. */
  reload?: (() => Promise<ReloadResult>) | undefined;
}

export interface Status {
  readonly version: string;
  /** `draining` from the moment on that no new work is taken. */
  readonly state: 'running' | 'draining';
  /** How far that has come; absent while it runs. */
  readonly drain?: DrainProgress;
  /** When it began. */
  readonly time: string;
  readonly uptimeMs: number;
  readonly pid: number;
  readonly engine: {
    readonly name: string;
    /** Why the native engine is not in use although it was wanted. */
    readonly missing?: string;
  };
  readonly listeners: readonly ListenerAddress[];
  readonly routes: readonly RouteStatus[];
  readonly upstreams: readonly UpstreamStatus[];
  readonly sessions: {
    readonly open: number;
    /** Ever opened, open ones included. */
    readonly total: number;
    /** Ended ones, by how they ended. */
    readonly outcomes: Readonly<Record<string, number>>;
    /** Messages for clients that were lost as these were too slow (`gateway.slowConsumer`). */
    readonly messagesDropped: number;
  };
  /** The way to other nodes; absent where there is none. */
  readonly backplane?: {
    readonly state: 'up' | 'down';
    /** Since the start: how often the link was lost. */
    readonly linksLost: number;
    /** How often messages of other nodes may have been missed, and how many, as far as that is known. */
    readonly gaps: number;
    readonly messagesMissed: number;
    /** Lost nodes whose sessions this one has told backends of, and how many those were. */
    readonly nodesLost: number;
    readonly sessionsTold: number;
    /** Sessions of this node that ended because others had taken it for lost. */
    readonly sessionsOutcast: number;
  };
  /** Connections that came to nothing in their TLS handshake: no request was read. */
  readonly tls: { readonly failed: number };
  readonly handshakes: {
    /** Refused, or failed before the switch, by error code. */
    readonly refused: Readonly<Record<string, number>>;
    /** Answered by the server with plain HTTP (a 403, a redirect) instead of a switch. */
    readonly answeredAsHttp: number;
  };
  readonly requests: {
    readonly active: number;
    /** Finished plain requests, by status class: `2xx`. */
    readonly statuses: Readonly<Record<string, number>>;
    /** Those of them that failed, by error code. */
    readonly failed: Readonly<Record<string, number>>;
  };
}

export interface RouteStatus {
  readonly route: string;
  readonly upstream: string;
  readonly sessions: Status['sessions'];
}

export interface UpstreamStatus {
  readonly upstream: string;
  /** Clients that wait for room at a server. */
  readonly waiting: number;
  readonly servers: readonly ServerStatus[];
}

export interface ServerStatus {
  readonly server: string;
  /** `leaving`: taken from the list, and goes with its last session. The others: see `ServerChange`. */
  readonly state: 'up' | 'down' | 'ejected' | 'leaving';
  /** When it became so. */
  readonly since: string;
  /** One line. */
  readonly reason: string;
  /** Handshakes, open sessions and plain requests that it has now; what `maxConnections` limits. */
  readonly active: number;
  readonly weight: number;
  /** Below 1 during a slow start: the part of its weight that counts. */
  readonly share: number;
  readonly sessions: { readonly open: number };
}

/** An open session, with what it has carried until now. */
export interface Connection {
  readonly id: string;
  /** When it was opened. */
  readonly time: string;
  readonly client: string;
  readonly host: string;
  readonly path: string;
  readonly via: string;
  readonly generation: string;
  /** Where the server is spoken to in another. */
  readonly upstreamGeneration?: string | undefined;
  readonly subprotocol?: string | undefined;
  readonly route: string;
  readonly upstream: string;
  readonly server: string;
  /** Its age. */
  readonly durationMs: number;
  readonly bytesFromClient: number;
  readonly bytesFromUpstream: number;
  /** Absent when frames are not read. */
  readonly messagesFromClient?: number | undefined;
  readonly messagesFromUpstream?: number | undefined;
  /** For this client, lost as it was too slow; absent where none was. */
  readonly messagesDropped?: number | undefined;
  /** Of a Close frame that has been seen already. */
  readonly closeCodeFromClient?: number | undefined;
  readonly closeCodeFromUpstream?: number | undefined;
}

/** Only sessions that fit everything that is given. */
export interface ConnectionFilter {
  readonly route?: string | undefined;
  readonly client?: string | undefined;
  readonly upstream?: string | undefined;
}

export interface Paging {
  readonly limit: number;
  /** What the page before gave as `next`: a number that grows with every session opened; 0 is the beginning. */
  readonly after: number;
}

export interface ConnectionPage {
  /** Oldest first. */
  readonly connections: readonly Connection[];
  /** How many open sessions fit, on this page or not. */
  readonly total: number;
  /** `after` of the next page; absent on the last one. */
  readonly next?: number;
}

export interface CloseOrder {
  readonly code: number;
  readonly reason: string;
  /** How long the Close handshake may take; then the session is cut. */
  readonly timeoutMs: number;
}

export interface CloseResult {
  readonly id: string;
  /** `closed`: both sides ended in order; `cut`: they had no Close frame to be told with, or did not answer in time. */
  readonly ended: 'closed' | 'cut';
}

/** What is left out is as the configuration says. */
export interface DrainOrder {
  readonly timeoutMs?: number | undefined;
  readonly spreadMs?: number | undefined;
  readonly code?: number | undefined;
  readonly reason?: string | undefined;
}

export interface DrainProgress {
  readonly state: Status['state'];
  readonly sessions: {
    readonly open: number;
    /** Sent a Close, and not ended yet. Absent when nothing drains, as are the next two. */
    readonly told?: number;
    /** To be sent one. */
    readonly waiting?: number;
    /** Without a Close frame, or with frames that are not read: they end by themselves, or are cut. */
    readonly untold?: number;
  };
  readonly requests: { readonly active: number };
  /** When what is left is cut; absent when nothing drains. */
  readonly deadline?: string;
}

export interface ReloadResult {
  /** One line for each change, none when the configuration is the same. */
  readonly changes: readonly string[];
  /** One line for each warning. */
  readonly warnings: readonly string[];
}
