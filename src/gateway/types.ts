import type { Generation } from '../protocol/handshake/types.js';
import type { Prepared } from '../channels/types.js';

/** The client’s end of a WebSocket that ends here, whatever generation and library is behind it. */
export interface ClientEndpoint {
  readonly generation: Generation;
  readonly subprotocol: string | undefined;
  /** Bytes that wait in this process for the client to take them. */
  readonly bufferedBytes: number;
  /** Whether more waits for the client than its connection holds; `onDrain` tells when that is over. */
  readonly isBlocked: boolean;
  /** Whether messages still reach it: open, with no Close sent. */
  readonly isOpen: boolean;
  send(type: 'text' | 'binary', content: Buffer): void;
  /** The same bytes for everybody where that can be (RFC 6455 without compression), else as `send`. */
  sendPrepared(message: Prepared): void;
  /** Nothing for generations that know no pings. */
  ping(content: Buffer): void;
  pong(content: Buffer): void;
  /** Sends a Close; the peer has `closeTimeoutMs` to answer. `code` undefined: one without. Must be legal on the wire. */
  close(code: number | undefined, reason: string): void;
  /** Ends it at once; the client sees 1006. */
  cut(): void;
  /** Stops and starts reading the client, so that it stops sending. */
  pause(): void;
  resume(): void;
}

/** What the client does. Calls come in order; none after `onEnd`. */
export interface ClientHandler {
  onMessage(type: 'text' | 'binary', content: Buffer): void;
  /** Has been answered at the edge already, unless the route forwards pings. */
  onPing(content: Buffer): void;
  onPong(content: Buffer): void;
  /** What had waited for the client has gone out, after more had waited than the connection holds. */
  onDrain(): void;
  /** The client’s Close; code and reason as they came. It is answered by whoever listens, with `close`. */
  onClose(code: number | undefined, reason: Buffer): void;
  /** The connection is gone; told once. */
  onEnd(end: EndpointEnd): void;
}

/** How the client’s connection ended: after Close frames both ways (or a Hixie end), or not. */
export interface EndpointEnd {
  readonly how: 'closed' | 'lost';
  /** The rule that the client broke, with the code of the Close that it got. */
  readonly fault?: { readonly code: number; readonly reason: string };
}
