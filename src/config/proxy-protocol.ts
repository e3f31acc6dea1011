import { z } from 'zod';
import { expected } from './leaf.js';
import { networks } from './networks.js';
import { duration, size } from './quantities.js';

const KiB = 1024;

const details = z.strictObject({
  from: networks()
    .optional()
    .describe(
      'Addresses and networks of the proxies that send it; `unix` for those that come by a unix socket. Default: `trustedProxies`, which must not be empty then.',
    ),
  timeout: duration()
    .optional()
    .describe('How long the header may take to arrive. Default: the listener’s `headerTimeout`.'),
  maxBytes: size(0.5 * KiB, 64 * KiB + 15)
    .prefault('4KiB')
    .describe('The largest header of version 2 that is taken; of version 1 it is 107 bytes.'),
});

/** What a listener takes of the PROXY protocol; undefined: nothing. */
export const proxyProtocol = z
  .union(
    [
      z.literal(false).transform(() => undefined),
      z
        .literal(true)
        .transform(() => ({}))
        .pipe(details),
      details,
    ],
    { error: expected('true, false, or an object with `from`') },
  )
  .prefault(false)
  .meta({
    label: 'true, false, or object',
    example: `listeners:
  - address: 0.0.0.0:8080
    proxyProtocol: { from: 10.0.0.0/8, timeout: 5s }
  - address: unix:/run/tidegate.sock
    trustedProxies: unix
    proxyProtocol: true             # from the trusted proxies`,
  })
  .describe(
    'Whether connections begin with a PROXY header (version 1 or 2) that says who the client is. From the proxies named here it has to come first, or the connection is cut; from everybody else nothing of the kind is taken. See [the PROXY protocol](../proxy-protocol.md).',
  );

export type ProxyProtocol = z.output<typeof proxyProtocol>;

/** What an upstream gets of the PROXY protocol; undefined: nothing. */
export const sendProxyProtocol = z
  .union([z.literal(false).transform(() => undefined), z.enum(['v1', 'v2'])], {
    error: expected('v1, v2 or false'),
  })
  .prefault(false)
  .meta({ label: '`v1`, `v2` or `false`' })
  .describe(
    'Whether each connection to a server begins with a PROXY header, which says who the client is; the servers must be set to expect it. No connection is used for a second request then. See [the PROXY protocol](../proxy-protocol.md).',
  );
