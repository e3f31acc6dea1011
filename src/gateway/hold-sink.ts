import type { ClientResponse } from '../protocol/grip/hold.js';

/** The response that a client of plain HTTP waits for, in whichever HTTP. */
export interface HoldSink {
  /** Bytes that wait in this process for the client to take them. */
  readonly bufferedBytes: number;
  /** Whether more waits than its connection holds; `onDrain` tells when that is over. */
  readonly isBlocked: boolean;
  /** Called when what had waited has gone out; set by whoever holds the client. */
  onDrain: () => void;
  /** The whole response; an undefined body is an empty one. Throws a ProxyError where the head cannot be written. */
  respond(response: ClientResponse): void;
  /** The head of a response that goes on, at once. Returns whether a body may follow it; throws as `respond`. */
  begin(response: ClientResponse): boolean;
  /** More of what has begun. */
  write(content: Buffer): void;
  /** What has begun is whole. */
  end(): void;
}
