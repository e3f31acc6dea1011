import { z } from 'zod';
import { forwardedStyles } from '../protocol/http/forwarded.js';
import { parseHostPattern } from './host-pattern.js';
import { gateway } from './gateway.js';
import { expected, leaf, oneOrMany } from './leaf.js';
import { limits } from './limits.js';
import { parsePathPattern } from './path-pattern.js';
import { duration, durationOrNever, sizeOrUnlimited } from './quantities.js';
import { redirect } from './redirect.js';

import { target, type Target } from './target.js';
import { NAME } from './upstreams.js';
import { websocket } from './websocket.js';

const TiB = 1024 ** 4;

const match = z
  .strictObject({
    host: oneOrMany(leaf('host name', parseHostPattern), 'a host name, or a list of them')
      .optional()
      .describe(
        'One host or a list: `chat.example.com`, or `*.example.com` for every name below it at any depth (not `example.com` itself). Upper and lower case, port and trailing dot make no difference. Absent: every host.',
      ),
    path: oneOrMany(leaf('path', parsePathPattern), 'a path, or a list of them')
      .optional()
      .describe(
        'One path or a list: `/live` is exactly that; `/chat/*` is `/chat`, `/chat/` and everything below; a `*` in the middle is any one segment (`/rooms/*/events`); `/*` is everything. Absent: every path.',
      ),
  })
  .prefault({})
  .describe(
    'Which requests the route takes; both must fit. Paths are compared without query, with `.` and `..` resolved and needless percent-escapes decoded once; `//` and upper and lower case make a difference. The request is forwarded as it was sent.',
  )
  .meta({
    example: `routes:
  - match: { host: [chat.example.com, "*.chat.example.com"], path: /rooms/*/events }
    to: http://127.0.0.1:3001`,
  });

const to = target
  .optional()
  .describe('Where the requests go: the name of an upstream, a URL, or a list of URLs.')
  .meta({ label: 'upstream, URL, or list of URLs' });

const route = z
  .strictObject({
    name: z
      .string()
      .regex(NAME, { error: 'a name consists of letters, digits, `_`, `.` and `-`' })
      .optional()
      .meta({ label: 'name' })
      .describe('What logs call the route. Absent: `routes[0]` and so on, by its place.'),
    match,
    to,
    gateway,
    redirect,
    websocket,
    limits: limits('this route'),
    responseTimeout: duration()
      .prefault('60s')
      .describe('Plain HTTP: from the whole request having been sent to the head of the server’s response.'),
    maxBodyBytes: sizeOrUnlimited(1, TiB)
      .prefault('unlimited')
      .describe(
        'Plain HTTP: the largest request body. A larger one is answered 413 `REQUEST_BODY_TOO_LARGE`: before the server hears of it where its length is known, else as soon as it is exceeded, and the server’s connection is cut.',
      ),
    idleTimeout: durationOrNever()
      .prefault('5m')
      .describe('Plain HTTP: ends an exchange when no byte of a body has moved either way for so long.'),
    hostHeader: z
      .enum(['client', 'server'])
      .prefault('client')
      .describe('Whose `Host` the server sees: the one that the `client` asked for, or the `server`’s own.'),
    forwarded: z
      .enum(forwardedStyles)
      .prefault('x-forwarded')
      .describe(
        'How the server learns about the client: `X-Forwarded-For/-Proto/-Host`, `Forwarded` (RFC 7239), both, or neither.',
      ),
  })
  .superRefine(({ to, gateway, redirect }, ctx) => {
    const written = Object.entries({ to, gateway, redirect }).filter(([, value]) => value !== undefined);
    if (written.length === 0) {
      const message =
        'is missing; expected the name of an upstream, a URL, or a list of URLs (or `gateway`, or `redirect: https`)';
      ctx.addIssue({ code: 'custom', path: ['to'], message });
    } else if (written.length > 1) {
      const names = written.map(([name]) => `\`${name}\``);
      const message = `a route has one of \`to\`, \`gateway\` and \`redirect\`, found ${names.join(' and ')}`;
      ctx.addIssue({ code: 'custom', path: [written.at(-1)![0]], message });
    }
  });

/** Where a route leads, in either way; undefined: nowhere, it redirects. */
export function targetOf({ to, gateway }: { to?: Target | undefined; gateway?: { to: Target } | undefined }) {
  return to ?? gateway?.to;
}

/** Every key that a route may have. */
export const routeKeys: readonly string[] = Object.keys(route.shape);

export const routes = z
  .array(route, { error: expected('a list of routes') })
  .min(1, { error: 'expected at least one route, found an empty list' })
  .meta({
    label: 'list of routes',
    example: `upstreams:
  chat: [http://127.0.0.1:3001, http://127.0.0.1:3002]
routes:
  - name: chat
    match: { host: chat.example.com, path: /socket.io/* }
    to: chat                        # an upstream
    hostHeader: server
  - to: http://127.0.0.1:3000       # or a server of its own`,
  });
