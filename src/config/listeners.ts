import { z } from 'zod';
import { expected, leafOrNumber } from './leaf.js';
import { http2 } from './http2.js';
import { limits } from './limits.js';
import { LISTEN_ADDRESS, parseListenAddress } from './listen-address.js';
import { networks } from './networks.js';
import { proxyProtocol } from './proxy-protocol.js';
import { duration, size } from './quantities.js';
import { tls } from './tls.js';
import { socketMode } from './socket-mode.js';

const KiB = 1024;
const MiB = 1024 * KiB;

const address = () => leafOrNumber(LISTEN_ADDRESS, parseListenAddress);

const listener = z
  .strictObject({
    address: address().describe(
      'Where to listen. A bare port listens on every address, IPv6 and IPv4; port 0 takes any free one. `unix:PATH` is a unix socket; a relative path starts at the folder of the configuration file.',
    ),
    mode: socketMode()
      .optional()
      .describe(
        'The permissions of a unix socket: who may write to it may connect. In quotes; `0660` by default.',
      ),
    trustedProxies: networks()
      .prefault([])
      .describe(
        'Addresses and networks of proxies in front of this one; `unix` for those that come by a unix socket. What they say in `X-Forwarded-*` and `Forwarded` is kept and added to; from everybody else it is dropped.',
      ),
    proxyProtocol,
    tls,
    maxHeaderBytes: size(KiB, MiB)
      .prefault('16KiB')
      .describe('The largest request head taken; a larger one is answered 431.'),
    headerTimeout: duration()
      .prefault('10s')
      .describe(
        'How long a request head may take to arrive; then it is answered 408. A TLS handshake before it may take as long again; then the connection is cut.',
      ),
    keepAliveTimeout: duration()
      .prefault('75s')
      .describe('How long an idle connection is kept for the next request.'),
    http2,
    limits: limits('this listener'),
  })
  .meta({ label: 'listener' });

const shorthand = z
  .union([z.string(), z.number()])
  .transform((address) => ({ address }))
  .pipe(listener);

export const listeners = z
  .array(
    z.union([shorthand, listener], { error: expected(`${LISTEN_ADDRESS}, or an object with \`address\``) }),
    {
      error: expected('a list of listeners'),
    },
  )
  .meta({
    label: 'list of listeners',
    example: `listeners:
  - 127.0.0.1:9000                  # just the address
  - address: 0.0.0.0:8080
    trustedProxies: [10.0.0.0/8, 192.0.2.7]
    headerTimeout: 5s
  - { address: unix:/run/tidegate.sock, mode: '0666', trustedProxies: unix }`,
  });
