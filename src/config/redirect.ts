import { z } from 'zod';
import { expected } from './leaf.js';

const target = z
  .strictObject({
    to: z
      .literal('https')
      .meta({ label: '`https`' })
      .describe('The only place there is: the same host and path over TLS.'),
    port: z
      .int()
      .min(1)
      .max(65_535)
      .prefault(443)
      .describe('The port of the listener with TLS, as clients see it.'),
    status: z
      .union([z.literal(301), z.literal(302), z.literal(307), z.literal(308)], {
        error: expected('301, 302, 307 or 308'),
      })
      .prefault(308)
      .meta({ label: '301, 302, 307 or 308' })
      .describe('308 and 307 make clients send the same method and body again.'),
  })
  .meta({ label: 'object with `to`' });

const shorthand = z
  .literal('https')
  .transform((to): z.input<typeof target> => ({ to }))
  .pipe(target);

/** In place of a route’s `to`. */
export const redirect = z
  .union([shorthand, target], { error: expected('`https`, or an object with `to: https`') })
  .optional()
  .describe(
    'Instead of `to`: answers requests that did not come over TLS with a redirect to the same host and path at `https:`; handshakes too, whose clients mostly do not follow. What came over TLS, or over a trusted proxy that says so, goes on to the routes behind.',
  )
  .meta({
    label: '`https`, or an object with `to`',
    example: `listeners:
  - 80
  - { address: 443, tls: { certificates: { cert: example.crt, key: example.key } } }
routes:
  - redirect: https
  - to: http://127.0.0.1:3000`,
  });
