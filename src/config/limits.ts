import { z } from 'zod';
import { countOrUnlimited, rateOrUnlimited } from './quantities.js';

/** Limits on WebSockets, read as numbers; 0 is unlimited. */
export interface Limits {
  readonly connections: number;
  readonly connectionsPerAddress: number;
  readonly handshakesPerSecondPerAddress: number;
}

/** @param where whose connections are counted, for the reference. */
export function limits(where: string) {
  return z
    .strictObject({
      connections: countOrUnlimited()
        .prefault('unlimited')
        .describe('WebSockets at one time, from the handshake on; one more is answered 503.'),
      connectionsPerAddress: countOrUnlimited()
        .prefault('unlimited')
        .describe(
          'The same from one client: an IPv4 address, or an IPv6 /64 network; one more is answered 429. Behind trusted proxies the client is the one that they name.',
        ),
      handshakesPerSecondPerAddress: rateOrUnlimited()
        .prefault('unlimited')
        .describe(
          'Handshakes each second from one client; one second’s worth may come at once. One more is answered 429. A part of one is fine: `0.2` is one in 5 seconds.',
        ),
    })
    .prefault({})
    .describe(`Limits on the WebSockets of ${where}. Every limit that applies must be kept.`);
}
