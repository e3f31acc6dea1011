import type { Duplex } from 'node:stream';
import { dial, type DialOptions } from '../net/dial.js';
import type { Generation } from '../protocol/handshake/types.js';
import type { Server } from '../upstream/upstream.js';

/**
 * Step 5: what a handshake is written to. A stream of HTTP/2 where the upstream and the server have it so, which looks
 * like a connection (net/http2/upstream-socket.ts); else a connection.
 */
export async function connectFor(
  { plan, own }: Server,
  generation: Generation,
  options: DialOptions,
): Promise<Duplex> {
  const stream = isForHttp2(generation) ? await own.http2?.openTunnel(options.signal) : undefined;
  return stream ?? dial(plan, options);
}

/** RFC 8441 knows no other. */
export function isForHttp2(generation: Generation): boolean {
  return generation === 'rfc6455';
}
