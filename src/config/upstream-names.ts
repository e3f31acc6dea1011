import { isIP } from 'node:net';
import { z } from 'zod';
import { leaf, oneOrMany, right, show, wrong } from './leaf.js';
import { onOff } from './on-off.js';
import { duration } from './quantities.js';

const resolveSettings = z.strictObject({
  family: z
    .enum(['auto', 'ipv4', 'ipv6', 'both'])
    .prefault('auto')
    .describe('Which addresses count; `auto`: IPv4, and IPv6 for a name that has no IPv4.'),
  minTtl: duration()
    .prefault('1s')
    .describe(
      'A name is asked for again no sooner, whatever its TTL; after failures, each time twice as late.',
    ),
  maxTtl: duration().prefault('5m').describe('And no later.'),
  nameservers: oneOrMany(
    leaf('address of a name server', parseNameserver),
    'an address, or a list of them',
    0,
  )
    .prefault([])
    .describe('The name servers to ask, `ADDRESS` or `ADDRESS:PORT`. Absent: those of the system.'),
});

/** `false` becomes undefined: names are left to each dial. */
export const resolve = onOff(resolveSettings)
  .prefault(false)
  .meta({
    label: 'object, or `true`',
    example: `upstreams:
  chat:
    servers: http://chat.internal:3001   # each of its addresses is a server
    resolve: { maxTtl: 30s }
  live:
    servers: http://_ws._tcp.live.internal`,
  })
  .describe(
    'Looks names up in DNS, again whenever their TTL is over, and makes every address a server of its own; what cannot be resolved keeps its last addresses. `false`: each connection looks its name up, as one server. SRV names are always looked up so.',
  );

function parseNameserver(text: string) {
  const found = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text);
  const address = isIP(text) ? text : (found?.[1] ?? found?.[2] ?? '');
  const port = Number(isIP(text) ? 53 : (found?.[3] ?? 53));
  if (isIP(address) && port >= 1 && port <= 65_535) return right(text);
  return wrong(
    `expected the address of a name server, such as 10.0.0.2 or 10.0.0.2:5353, found ${show(text)}`,
  );
}
