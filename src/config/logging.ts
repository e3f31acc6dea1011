import { z } from 'zod';
import { expected } from './leaf.js';

export const accessLogFormats = ['auto', 'json', 'human'] as const;
export const logLevels = ['error', 'warn', 'info', 'debug', 'silent'] as const;

/** The least serious kind of message that is written. */
export type LogLevel = (typeof logLevels)[number];

const accessLogSettings = z.strictObject({
  format: z
    .enum(accessLogFormats)
    .prefault('auto')
    .describe(
      '`json` for machines, `human` for people; `auto` is `human` on a terminal and `json` otherwise.',
    ),
  file: z
    .string({ error: expected('the name of a file') })
    .min(1, { error: 'expected the name of a file, found an empty text' })
    .optional()
    .meta({ label: 'file name' })
    .describe(
      'Where the lines go; they are added at its end. SIGUSR1 opens it again, for `logrotate`. Absent: standard output.',
    ),
});

/** `false` becomes undefined: no access log. */
export const accessLog = z
  .union(
    [
      z.literal(false).transform(() => undefined),
      z
        .literal(true)
        .transform(() => ({}))
        .pipe(accessLogSettings),
      accessLogSettings,
    ],
    { error: expected('true, false, or an object with `format` and `file`') },
  )
  .prefault({})
  .describe(
    'One line for every finished request and session, on standard output or into a file; `false` writes none.',
  )
  .meta({ label: 'object, or `false`', example: 'accessLog: { format: json }' });

export const log = z
  .strictObject({
    level: z.enum(logLevels).prefault('info').describe('The least serious kind of message that is written.'),
  })
  .prefault({})
  .describe('Messages about the proxy itself, on standard error.')
  .meta({ example: 'log: { level: warn }' });
