import { z } from 'zod';
import { expected } from './leaf.js';
import { percentage } from './percentage.js';
import { duration, durationOrZero } from './quantities.js';
import { hash, sticky } from './upstream-balance.js';
import { health, passiveHealth } from './upstream-health.js';
import { resolve } from './upstream-names.js';

/** The keys of a server besides its `url`. */
export const serverOperations = {
  weight: z
    .int()
    .min(0)
    .max(1000)
    .prefault(1)
    .describe(
      'The server’s part of the work beside the others’. `0`: only clients that stick to it, so that it empties.',
    ),
  maxConnections: z
    .int()
    .min(0)
    .max(10_000_000)
    .prefault(0)
    .describe(
      'How many WebSockets and requests the server may have at a time; `0` is no limit. When all servers are full, clients wait in the upstream’s `queue`.',
    ),
  srv: z
    .boolean()
    .prefault(false)
    .describe(
      'Whether the URL’s host is looked up as SRV records, which bring address and port of each server; a host such as `_ws._tcp.chat.internal` always is.',
    ),
};

const queue = z
  .strictObject({
    size: z
      .int()
      .min(0)
      .max(100_000)
      .prefault(100)
      .describe('How many may wait; further ones are refused with 503. `0`: nobody waits.'),
    timeout: duration().prefault('5s').describe('How long one waits before it is refused with 503.'),
  })
  .prefault({})
  .meta({
    example: `upstreams:
  chat:
    servers: [{ url: http://10.0.0.1:3001, maxConnections: 5000 }]
    queue: { size: 200, timeout: 3s }`,
  })
  .describe('Where clients wait, in order, while every server has its `maxConnections`.');

const retryBudget = z
  .union(
    [
      z.literal(false).transform(() => undefined),
      z.strictObject({
        share: percentage(1000)
          .prefault('20%')
          .describe('Retries within ten seconds, as a share of the requests in that time.'),
        minPerSecond: z
          .number()
          .min(0)
          .max(100_000)
          .prefault(10)
          .meta({ label: 'number from 0 to 100000' })
          .describe('Retries that are allowed on top of it, however few requests there are.'),
      }),
    ],
    { error: expected('false, or an object with `share` and `minPerSecond`') },
  )
  .prefault({})
  .meta({
    label: 'object, or `false`',
    example: `upstreams:
  chat:
    servers: [http://10.0.0.1:3001, http://10.0.0.2:3001]
    retries: 1
    retryBudget: { share: 10%, minPerSecond: 5 }`,
  })
  .describe(
    'Keeps retries from adding to the load of servers that fail because of it. `false`: only `retries` limits them.',
  );

/** The keys of an upstream that say how it is operated. */
export const upstreamOperations = {
  balance: z
    .enum(['round-robin', 'least-connections', 'random-two', 'hash'])
    .prefault('round-robin')
    .describe(
      'How a server is chosen: `round-robin` takes them in turn, `least-connections` the one with the fewest live WebSockets and requests, `random-two` the less loaded of two drawn at random, `hash` always the same for the same `hash`. All heed weights.',
    ),
  hash,
  sticky,
  slowStart: durationOrZero()
    .prefault(0)
    .describe(
      'How long a server that has come up, or is new, takes to its full part of the work; it begins with a tenth. `0`: none.',
    ),
  queue,
  retryBudget,
  health,
  passiveHealth,
  onServerDown: z
    .enum(['keep', 'close'])
    .prefault('keep')
    .describe(
      'What becomes of the WebSockets of a server that `health` finds down: `keep` them, or `close` them so that clients come again.',
    ),
  resolve,
};
