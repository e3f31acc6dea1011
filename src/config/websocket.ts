import { z } from 'zod';
import { generations } from '../protocol/handshake/types.js';
import { upstreamGenerations } from '../protocol/translate/generations.js';
import { expected } from './leaf.js';
import { onOff } from './on-off.js';
import { perSide } from './per-side.js';
import { percentage } from './percentage.js';
import { ping } from './ping.js';
import {
  countOrUnlimited,
  duration,
  durationOrNever,
  rateOrUnlimited,
  size,
  sizeOrUnlimited,
} from './quantities.js';

const MiB = 1024 ** 2;
const TiB = 1024 ** 4;

const settings = z.strictObject({
  generations: z
    .union([z.literal('all'), z.array(z.enum(generations)).min(1)], {
      error: expected(`all, or a list of ${generations.join(', ')}`),
    })
    .transform((written): readonly (typeof generations)[number][] =>
      written === 'all' ? generations : written,
    )
    .prefault('all')
    .describe(
      `Which handshakes are taken, others are answered 426: \`all\`, or a list of ${list(generations)}.`,
    )
    .meta({ label: '`all` or list' }),
  upstreamGeneration: z
    .enum(upstreamGenerations)
    .prefault('same')
    .describe(
      'What the servers are spoken to in: the `same` as each client, or `rfc6455` or `hixie-76` whatever the client speaks. Handshake and messages are translated then; [translation.md](../translation.md) says what has no words in the other. Clients of `hybi-01`, `hybi-04` and `unknown` cannot be translated and are answered 426.',
    ),
  maxTranslatedBytes: size(1, 1024 * MiB)
    .prefault('1MiB')
    .describe(
      'The largest message that is translated; it is held until it is whole. A larger one closes the session with 1009. Without effect where nothing is translated.',
    ),
  maxTranslatedFragments: countOrUnlimited()
    .prefault(10_000)
    .describe(
      'In how many fragments a message that is translated may come; more close the session with 1009.',
    ),
  handshakeTimeout: duration()
    .prefault('10s')
    .describe(
      'From the request head to the answered handshake: key bytes, dialling and the server’s answer included.',
    ),
  idleTimeout: durationOrNever()
    .prefault('1h')
    .describe(
      'Ends a session when no byte has moved either way for so long, with a Close frame (1001 `idle`) to both sides where there is one.',
    ),
  halfCloseTimeout: durationOrNever()
    .prefault('30s')
    .describe('After one side has ended, how long the other may stay silent.'),
  maxAge: durationOrNever()
    .prefault('never')
    .describe('Closes a session at this age, with a Close frame (1001) to the client where there is one.'),
  maxAgeJitter: percentage(100)
    .prefault('10%')
    .describe(
      'By which share of `maxAge` a session may end earlier, at random, so that those that began together do not end together.',
    ),
  closeTimeout: durationOrNever()
    .prefault('10s')
    .describe(
      'How long a side may take to answer a Close frame; then both are ended. A side that has sent and received one has its connection ended by Tidegate. `never`: only the peers end connections.',
    ),
  ping,
  maxMessageBytes: perSide(sizeOrUnlimited(1, TiB), 'a size such as 1MiB, or unlimited').describe(
    'The largest message that the client may send, all fragments together, as on the wire. A larger one closes the session: 1009 to its sender, 1001 to the other side. Needs frames to be looked at.',
  ),
  maxMessagesPerSecond: perSide(rateOrUnlimited(), 'a number, or unlimited').describe(
    'Messages that the client may send each second; one second’s worth may come at once. One more closes the session: 1008 to its sender, 1001 to the other side. Needs frames to be looked at.',
  ),
  maxBytesPerSecond: perSide(sizeOrUnlimited(1, TiB), 'a size such as 1MiB, or unlimited').describe(
    'Bytes that are read of the client each second; one second’s worth may come at once. Who sends more is read slower.',
  ),
  maxEarlyBytes: size(1, 16 * MiB)
    .prefault('64KiB')
    .describe('How many bytes a client may send ahead of the server’s answer; beyond it we stop reading.'),
  observe: z
    .boolean()
    .prefault(true)
    .describe(
      'Whether frames are looked at in passing, so that the log has message counts and close codes. Bytes are never changed.',
    ),
});

/** `false` takes no WebSockets. */
export const websocket = onOff(settings)
  .prefault({})
  .describe(
    'What the route does with WebSockets; `false` takes none: the upgrade is removed and the request goes on as plain HTTP.',
  )
  .meta({
    label: 'object, or `false`',
    example: `routes:
  - match: { path: /socket.io/* }
    to: http://127.0.0.1:3001
    websocket:
      generations: [hixie-76, rfc6455]
      idleTimeout: 10m
      maxAge: 12h
      ping: { interval: 20s }
      maxMessageBytes: 1MiB
      maxMessagesPerSecond: { client: 50, upstream: 500 }
  - to: http://127.0.0.1:3000
    websocket: false`,
  });

function list(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(', ');
}
