import { z } from 'zod';
import { isFieldValue, isToken } from '../protocol/http/grammar.js';
import { expected, leafOrNumber, oneOrMany, right, show, wrong } from './leaf.js';
import { onOff } from './on-off.js';
import { percentage } from './percentage.js';
import { duration } from './quantities.js';

const headers = z
  .record(
    z.string().refine(isToken, { error: 'expected the name of a header' }),
    z.string().refine(isFieldValue, { error: 'expected the value of a header, without control characters' }),
    { error: expected('an object of headers by name') },
  )
  .prefault({})
  .meta({ label: 'headers by name' })
  .describe('Further headers of the check, for `http` and `websocket`; `Host` replaces the server’s own.');

const statusRange = leafOrNumber('a status such as 200, or 200-299', (written) => {
  const found = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(String(written));
  const from = Number(found?.[1]);
  const to = Number(found?.[2] ?? found?.[1]);
  if (found === null || from > to || from < 200) {
    return wrong(`expected a status from 200 to 599, or a range such as 200-299, found ${show(written)}`);
  }
  return right({ from, to });
});

const healthSettings = z.strictObject({
  type: z
    .enum(['http', 'tcp', 'websocket'])
    .prefault('http')
    .describe(
      'What a check does: `http` a GET, `tcp` just a connection (TLS included), `websocket` a whole handshake, verified, and a Close.',
    ),
  path: z
    .string()
    .regex(/^\/[\x21-\x7e]*$/, { error: 'expected a path that begins with `/`' })
    .prefault('/')
    .meta({ label: 'path' })
    .describe('The path to ask for, with its query, for `http` and `websocket`.'),
  statuses: oneOrMany(statusRange, 'a status, a range, or a list of them')
    .prefault('200-399')
    .meta({ label: 'status, range, or list of them' })
    .describe('The answers to an `http` check that are good: `200`, `200-399`, or a list.'),
  headers,
  interval: duration()
    .prefault('5s')
    .describe('From the end of one check to the next, a tenth more or less so that checks spread.'),
  timeout: duration().prefault('2s').describe('How long a check may take, connecting included.'),
  rise: z.int().min(1).max(100).prefault(2).describe('How many good checks in a row bring a server up.'),
  fall: z
    .int()
    .min(1)
    .max(100)
    .prefault(3)
    .describe('How many failed checks in a row take a server down. The first check of all decides alone.'),
  whenAllDown: z
    .enum(['refuse', 'try'])
    .prefault('refuse')
    .describe(
      'When every server is down: `refuse` clients with 503, or `try` the servers all the same, for checks that may be wrong themselves.',
    ),
});

/** `false` becomes undefined: no active checks. */
export const health = onOff(healthSettings)
  .prefault(false)
  .meta({
    label: 'object, or `true`',
    example: `upstreams:
  chat:
    servers: [http://10.0.0.1:3001, http://10.0.0.2:3001]
    health: { path: /healthz, interval: 2s, timeout: 1s, rise: 2, fall: 3 }
    onServerDown: close
  live:
    servers: http://10.0.0.3:4000
    health: { type: websocket, path: "/socket.io/?EIO=4&transport=websocket" }`,
  })
  .describe(
    'Checks the servers actively; `true` is a GET of `/`. Every server counts as up until a check fails.',
  );

const ejectSettings = z.strictObject({
  failures: z
    .int()
    .min(1)
    .max(1000)
    .prefault(5)
    .describe(
      'So many failures in a row eject a server: no connection, no answer, or an answer that is none. After its return one is enough, until something has succeeded.',
    ),
  window: duration().prefault('10s').describe('The time within which they count.'),
  time: duration()
    .prefault('10s')
    .describe('How long a server is out the first time; each further time it is twice as long.'),
  maxTime: duration().prefault('5m').describe('The longest that a server is out.'),
  maxShare: percentage(100)
    .prefault('50%')
    .describe(
      'How many of the servers may be out at a time, rounded down; so one server alone is never ejected.',
    ),
});

/** `false` becomes undefined: nobody is ejected. */
export const passiveHealth = z
  .union([z.literal(false).transform(() => undefined), ejectSettings], {
    error: expected('false, or an object of settings'),
  })
  .prefault({})
  .meta({
    label: 'object, or `false`',
    example: `upstreams:
  chat:
    servers: [http://10.0.0.1:3001, http://10.0.0.2:3001]
    passiveHealth: { failures: 2, window: 5s, time: 30s }`,
  })
  .describe(
    'Ejects servers at which clients’ own handshakes and requests fail: for a while they are used only when no other is left, and their tunnels go on. `false` ejects nobody.',
  );
