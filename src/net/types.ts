import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ProxyError } from '../base/errors.js';
import type { RequestHead } from '../protocol/http/head.js';

/** The client of one connection, as its listener sees it. */
export interface ClientPeer {
  /** IP address without port (IPv4-mapped IPv6 addresses as IPv4), or `unix`. */
  readonly address: string;
  /** Whether the client speaks TLS to us. */
  readonly secure: boolean;
  /** Whether the peer is a proxy whose `X-Forwarded-*` we keep. */
  readonly trusted: boolean;
}

/** What a listener hands up. The head has been read strictly: its `Host` is valid, its target in origin form or `*`. */
export interface ClientHandlers {
  /** Plain HTTP. Any `Upgrade` it asked for is not to be answered: drop the header. */
  onRequest(head: RequestHead, req: IncomingMessage, res: ServerResponse, peer: ClientPeer): void;
  /**
   * A request with `Connection: upgrade` naming `websocket`. The socket is ours from here on; `early` is what came
   * behind the head in the same packet.
   */
  onUpgrade(head: RequestHead, socket: Duplex, early: Buffer, peer: ClientPeer): void;
  /** A request refused by the reader; it has been answered already. */
  onRefused(error: ProxyError, peer: ClientPeer, head: RequestHead | undefined): void;
}
