import { z } from 'zod';
import { generations } from '../protocol/handshake/types.js';
import { expected } from './leaf.js';
import { duration, durationOrNever, size } from './quantities.js';

const MiB = 1024 ** 2;

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
  handshakeTimeout: duration()
    .prefault('10s')
    .describe(
      'From the request head to the answered handshake: key bytes, dialling and the server’s answer included.',
    ),
  idleTimeout: durationOrNever()
    .prefault('1h')
    .describe('Ends a session when no byte has moved either way for so long.'),
  halfCloseTimeout: durationOrNever()
    .prefault('30s')
    .describe('After one side has ended, how long the other may stay silent.'),
  maxAge: durationOrNever().prefault('never').describe('Ends a session at this age.'),
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
export const websocket = z
  .union(
    [
      z.literal(false).transform(() => undefined),
      z
        .literal(true)
        .transform(() => ({}))
        .pipe(settings),
      settings,
    ],
    { error: expected('true, false, or an object of settings') },
  )
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
  - to: http://127.0.0.1:3000
    websocket: false`,
  });

function list(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(', ');
}
