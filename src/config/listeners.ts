import { isIP } from 'node:net';
import { z } from 'zod';
import { expected, leaf, leafOrNumber, oneOrMany, right, show, wrong } from './leaf.js';
import { limits } from './limits.js';
import { parseListenAddress } from './listen-address.js';
import { duration, size } from './quantities.js';

const KiB = 1024;
const MiB = 1024 * KiB;

const address = () => leafOrNumber('[HOST:]PORT', parseListenAddress);

const network = () =>
  leaf('an address or a network such as 10.0.0.0/8', (text) =>
    isNetwork(text)
      ? right(text)
      : wrong(`expected an address or a network such as 10.0.0.0/8 or 2001:db8::/32, found ${show(text)}`),
  );

const listener = z
  .strictObject({
    address: address().describe(
      'Where to listen. A bare port listens on every address, IPv6 and IPv4; port 0 takes any free one.',
    ),
    trustedProxies: oneOrMany(network(), 'an address, a network, or a list of them', 0)
      .prefault([])
      .describe(
        'Addresses and networks of proxies in front of this one. What they say in `X-Forwarded-*` and `Forwarded` is kept and added to; from everybody else it is dropped.',
      ),
    maxHeaderBytes: size(KiB, MiB)
      .prefault('16KiB')
      .describe('The largest request head taken; a larger one is answered 431.'),
    headerTimeout: duration()
      .prefault('10s')
      .describe('How long a request head may take to arrive; then it is answered 408.'),
    keepAliveTimeout: duration()
      .prefault('75s')
      .describe('How long an idle connection is kept for the next request.'),
    limits: limits('this listener'),
  })
  .meta({ label: 'listener' });

const shorthand = z
  .union([z.string(), z.number()])
  .transform((address) => ({ address }))
  .pipe(listener);

export const listeners = z
  .array(z.union([shorthand, listener], { error: expected('[HOST:]PORT, or an object with `address`') }), {
    error: expected('a list of listeners'),
  })
  .meta({
    label: 'list of listeners',
    example: `listeners:
  - 127.0.0.1:9000                  # just the address
  - address: 0.0.0.0:8080
    trustedProxies: [10.0.0.0/8, 192.0.2.7]
    headerTimeout: 5s`,
  });

function isNetwork(text: string): boolean {
  const [address, bits, ...rest] = text.split('/');
  const family = isIP(address ?? '');
  if (family === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}
