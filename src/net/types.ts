import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ProxyError } from '../base/errors.js';
import type { ReadResult } from '../protocol/handshake/types.js';
import type { AcmeChallenges } from './acme/challenges.js';
import type { ClientFacts } from './client-facts.js';
import type { Visit } from './native-door.js';
import type { RequestHead } from '../protocol/http/head.js';

/** The client of one connection, as its listener sees it. */
export interface ClientPeer extends ClientFacts {
  /** Id of the listener; undefined on a server that somebody else made. */
  readonly listener: string | undefined;
  /** Whether the peer is a proxy whose `X-Forwarded-*` we keep. */
  readonly trusted: boolean;
  /** The listener’s judgement of any other address, to find the real client in what trusted proxies say. */
  readonly isTrusted: (address: string) => boolean;
}

/** A handshake as it arrived. The socket is the receiver’s from now on; it has an error handler only if it adds one. */
export interface UpgradeArrival {
  readonly head: RequestHead;
  readonly read: Exclude<ReadResult, { kind: 'plain' }>;
  readonly socket: Duplex;
  /** What came behind the head in the same packet. */
  readonly early: Buffer;
  readonly peer: ClientPeer;
  /** Gives the request back to the HTTP server as plain HTTP, without its upgrade. Only before anything else was done. */
  readonly asPlainHttp: () => void;
}

/** What a listener hands up. The head has been read strictly: its `Host` is valid, its target in origin form or `*`. */
export interface ClientHandlers {
  /** What authorities may look for at listeners with TLS. */
  readonly challenges?: AcmeChallenges;
  /** Whether any route does. Clients of HTTP/2 are told. */
  takesWebSockets(): boolean;
  /** Plain HTTP. Any `Upgrade` it asked for is not to be answered: drop the header. */
  onRequest(head: RequestHead, req: IncomingMessage, res: ServerResponse, peer: ClientPeer): void;
  /** A request that asks for a WebSocket, rightly or not. */
  onUpgrade(arrival: UpgradeArrival): void;
  /**
   * A client at a native door, and what it sent first (gone when the call returns). Returns whether it has been taken;
   * if not, nothing was done with it, and it goes to the HTTP server.
   */
  onVisit(visit: Visit, firstBytes: Buffer, peer: ClientPeer, maxHeaderBytes: number): boolean;
  /** A request refused by the reader; it has been answered already. */
  onRefused(error: ProxyError, peer: ClientPeer, head: RequestHead | undefined): void;
  /** No client can be accepted there for now: out of descriptors or memory. Told once, until one can. */
  onExhausted(listener: string, code: string): void;
  /** A connection that came to nothing in its TLS handshake; it has been cut. `reason` is one line. */
  onTlsFailed(reason: string, client: { readonly listener: string; readonly address: string }): void;
}
