import { z } from 'zod';
import { isToken } from '../protocol/http/grammar.js';
import { expected, leaf, right, show, wrong } from './leaf.js';
import { durationOrNever } from './quantities.js';

const name = (label: string) =>
  leaf(label, (text) =>
    isToken(text) ? right(text) : wrong(`expected ${label}, found ${show(text)}`),
  ).optional();

const hashObject = z
  .strictObject({
    header: name('the name of a header').describe('A request header, by its name.'),
    cookie: name('the name of a cookie').describe('A cookie, by its name.'),
    query: z
      .string()
      .min(1)
      .optional()
      .meta({ label: 'the name of a query parameter' })
      .describe('A parameter of the query, by its name.'),
  })
  .transform((written, ctx) => {
    const given = (['header', 'cookie', 'query'] as const).filter((kind) => written[kind] !== undefined);
    const kind = given[0];
    if (given.length === 1 && kind !== undefined) return { kind, name: written[kind]! };
    ctx.addIssue({ code: 'custom', message: 'expected exactly one of header, cookie and query' });
    return z.NEVER;
  });

/** What consistent hashing goes by. */
export const hash = z
  .union([z.enum(['client-address', 'path']).transform((kind) => ({ kind })), hashObject], {
    error: expected('client-address, path, or an object with header, cookie or query'),
  })
  .prefault('client-address')
  .meta({
    label: '`client-address`, `path`, or an object',
    example: `upstreams:
  rooms:
    servers: [http://10.0.0.1:4000, http://10.0.0.2:4000]
    balance: hash
    hash: { query: room }             # everyone in a room meets at one server`,
  })
  .describe(
    'What `balance: hash` goes by: `client-address`, `path`, or `{ header: NAME }`, `{ cookie: NAME }`, `{ query: NAME }`. A request without it is balanced by `round-robin`.',
  );

const stickySettings = z.strictObject({
  cookie: z
    .string()
    .refine(isToken, { error: 'expected the name of a cookie: letters, digits, `-`, `_` and the like' })
    .prefault('tidegate')
    .meta({ label: 'the name of a cookie' })
    .describe('The name of the cookie. Where one host leads to several upstreams, give each its own.'),
  key: z
    .string()
    .min(16, { error: 'expected a secret of 16 characters or more' })
    .optional()
    .meta({ label: 'secret text' })
    .describe(
      'The secret that signs the cookie. Absent: one that lasts as long as the process, so that clients lose their server at a restart; several proxies side by side need the same one.',
    ),
  path: z
    .string()
    .regex(/^\/[^;\s]*$/, { error: 'expected a path that begins with `/`' })
    .prefault('/')
    .meta({ label: 'path' })
    .describe('The cookie’s `Path`.'),
  secure: z
    .union([z.boolean(), z.literal('auto')], { error: expected('true, false or auto') })
    .prefault('auto')
    .meta({ label: '`true`, `false` or `auto`' })
    .describe('The cookie’s `Secure`; `auto` for clients that come over TLS.'),
  httpOnly: z.boolean().prefault(true).describe('The cookie’s `HttpOnly`: scripts do not see it.'),
  sameSite: z
    .enum(['lax', 'strict', 'none'])
    .prefault('lax')
    .describe('The cookie’s `SameSite`. Pages of other sites need `none`, and then `Secure`.'),
  maxAge: durationOrNever()
    .prefault('never')
    .describe('The cookie’s `Max-Age`; `never`: it lasts until the browser is closed.'),
  whenGone: z
    .enum(['move', 'refuse'])
    .prefault('move')
    .describe(
      'When the client’s server has left, is down or (with `move`) ejected: `move` the client to another one, with a new cookie, or `refuse` it with 503.',
    ),
});

/** `false` becomes undefined: nobody sticks to a server. */
export const sticky = z
  .union(
    [
      z.literal(false).transform(() => undefined),
      z
        .literal(true)
        .transform(() => ({}))
        .pipe(stickySettings),
      stickySettings,
    ],
    { error: expected('true, false, or an object of settings') },
  )
  .prefault(false)
  .meta({
    label: 'object, or `true`',
    example: `upstreams:
  chat:                                # socket.io: polling and WebSocket have to meet one server
    servers: [http://10.0.0.1:3001, http://10.0.0.2:3001, http://10.0.0.3:3001]
    sticky: { key: "4cf2…at-least-16-characters", whenGone: move }`,
  })
  .describe(
    'Brings a client back to the server it had, by a signed cookie that shows nothing of the server. `true` takes the defaults.',
  );
