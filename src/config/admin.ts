import { z } from 'zod';
import { formatAdminAddress, isLocal, parseAdminAddress, type AdminAddress } from './admin-address.js';
import { normalizeHost } from '../protocol/http/normalize.js';
import { expected, leaf, leafOrNumber, oneOrMany, right, show, wrong } from './leaf.js';
import { duration } from './quantities.js';

const MIN_TOKEN_CHARS = 16;
/** RFC 6750 §2.1: what may stand behind `Bearer`. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;

/** What is wrong with a token, or undefined. Never repeats it. */
export function tokenProblem(token: string): string | undefined {
  if (token.length < MIN_TOKEN_CHARS) {
    return `expected a token of ${MIN_TOKEN_CHARS} characters or more, found ${token.length}`;
  }
  return TOKEN.test(token)
    ? undefined
    : 'a token consists of letters, digits and `.`, `_`, `~`, `+`, `/`, `-`';
}

const hostName = () =>
  leaf('a host name without port', (text) =>
    /^[^\s:/]+$|^\[[\da-fA-F:.]+\]$/.test(text)
      ? right(normalizeHost(text))
      : wrong(`expected a host name without port, such as admin.example.com, found ${show(text)}`),
  );

const settings = z
  .strictObject({
    address: leafOrNumber('127.0.0.1:PORT or unix:PATH', parseAdminAddress).describe(
      'Where the admin API listens: `127.0.0.1:9090`, or `unix:/run/tidegate.sock` (a relative path starts at the folder of the configuration file), which only its owner may open. Any other address than loopback needs a token.',
    ),
    token: leaf(`a token of ${MIN_TOKEN_CHARS} characters or more`, (text) => {
      const problem = tokenProblem(text);
      return problem === undefined ? right(text) : wrong(problem);
    })
      .optional()
      .describe('What callers must show, as `Authorization: Bearer TOKEN`. Absent: nothing.'),
    tokenFile: z
      .string({ error: expected('the name of a file') })
      .min(1)
      .optional()
      .meta({ label: 'file' })
      .describe(
        'A file that holds the token, instead of `token`; relative to the folder of the configuration file.',
      ),
    hosts: oneOrMany(hostName(), 'a host name, or a list of them', 0)
      .prefault([])
      .describe(
        'Further names by which the admin API may be called. Others than `localhost`, loopback addresses and its own address are refused, so that no web page can reach it under a name of its own (DNS rebinding).',
      ),
    headerTimeout: duration()
      .prefault('5s')
      .describe('How long a request head may take to arrive, and again a request as a whole.'),
    idleTimeout: duration()
      .prefault('5s')
      .describe('How long an idle connection is kept for the next request.'),
  })
  .superRefine(({ address, token, tokenFile }, ctx) => {
    if (token !== undefined && tokenFile !== undefined) {
      ctx.addIssue({
        code: 'custom',
        path: ['tokenFile'],
        message: 'expected `token` or `tokenFile`, found both',
      });
    }
    if (token === undefined && tokenFile === undefined && !isLocal(address)) {
      ctx.addIssue({ code: 'custom', path: ['address'], message: needsToken(address) });
    }
  });

function needsToken(address: AdminAddress): string {
  const shown = formatAdminAddress(address);
  const bare = 'host' in address && address.host === undefined ? ' (every address)' : '';
  return `others than this machine can reach ${shown}${bare}: expected a \`token\` or \`tokenFile\` with it, or a loopback address or unix socket`;
}

const shorthand = z
  .union([z.string(), z.number()])
  .transform((address) => ({ address }))
  .pipe(settings);

/** Absent: no admin API. */
export const admin = z
  .union([shorthand, settings], { error: expected('an address, or an object with `address`') })
  .optional()
  .describe(
    'The admin API behind `tidegate status`, `connections`, `close`, `drain` and `reload`; an object, or just its address. Absent: there is none.',
  )
  .meta({
    label: 'object, or an address',
    example: `admin:
  address: 0.0.0.0:9090
  tokenFile: admin.token
  hosts: admin.internal`,
  });
