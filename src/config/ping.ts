import { z } from 'zod';
import { onOff } from './on-off.js';
import { duration } from './quantities.js';

const settings = z.strictObject({
  interval: duration()
    .prefault('30s')
    .describe('A side that has been silent for so long is sent a ping. Accurate to about a second.'),
  timeout: duration()
    .prefault('10s')
    .describe('A side that stays silent for so long after that is taken for lost, and the session ends.'),
  sides: z
    .enum(['client', 'upstream', 'both'])
    .prefault('both')
    .describe('Which sides are asked: the `client`, the `upstream` server, or `both`.'),
});

/** `false` becomes undefined: no pings. */
export const ping = onOff(settings, 'an object with `interval`, `timeout` and `sides`')
  .prefault(false)
  .describe(
    'Pings of our own, put in between frames; their pongs are not passed on. For RFC 6455 and the drafts from HyBi-07 on, where frames are looked at; others have no ping.',
  )
  .meta({ label: 'object, `true` or `false`' });
