import { z } from 'zod';
import { expected, leaf, oneOrMany } from './leaf.js';
import { upstreamHttp2 as http2 } from './http2.js';
import { sendProxyProtocol } from './proxy-protocol.js';
import { duration, size } from './quantities.js';
import { parseServerUrl } from './server-url.js';
import { fileName, passphrase } from './tls-files.js';
import { serverOperations, upstreamOperations } from './upstream-operations.js';

const KiB = 1024;
const MiB = 1024 * KiB;

/** Names of upstreams and routes: no colon, so that `to` can tell a name from a URL. */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

export const serverUrl = () => leaf('URL of a server', parseServerUrl);

const serverEntry = z.strictObject({
  url: serverUrl().describe(
    '`http://HOST[:PORT]`, `https://HOST[:PORT]` or `unix:PATH` (a relative path starts at the folder of the configuration file).',
  ),
  ...serverOperations,
});

const server = z
  .union(
    [
      z
        .string()
        .transform((url): z.input<typeof serverEntry> => ({ url }))
        .pipe(serverEntry),
      serverEntry,
    ],
    { error: expected('the URL of a server, or an object with `url`') },
  )
  .meta({ label: 'URL, or an object with `url`' });

const tls = z
  .strictObject({
    verify: z
      .boolean()
      .prefault(true)
      .describe(
        'Whether a server’s certificate must be valid. Turn it off only where nobody else can reach the wire.',
      ),
    ca: fileName('PEM file')
      .optional()
      .describe(
        'A PEM file with the certificates to trust instead of the public ones; relative to the folder of the configuration file.',
      ),
    serverName: z
      .string({ error: expected('a host name') })
      .min(1)
      .optional()
      .meta({ label: 'host name' })
      .describe('The name to ask for (SNI) and to find in the certificate, instead of the URL’s host.'),
    cert: fileName('PEM file')
      .optional()
      .describe('A PEM file with the certificate that we show to servers, and what leads to its authority.'),
    key: fileName('PEM file')
      .optional()
      .describe('A PEM file with its private key; it may be the same file.'),
    passphrase: passphrase(),
  })
  .superRefine(({ cert, key }, ctx) => {
    if ((cert === undefined) === (key === undefined)) return;
    const [missing, other] = cert === undefined ? ['cert', 'key'] : ['key', 'cert'];
    const message = `is missing; \`${other}\` needs it`;
    ctx.addIssue({ code: 'custom', path: [missing], message });
  })
  .prefault({})
  .describe('How `https:` servers are spoken to.')
  .meta({
    example: `upstreams:
  chat:
    servers: https://chat.internal:8443
    tls:
      ca: internal-ca.pem
      serverName: chat.example.com
      cert: tidegate.crt            # shown to servers that ask for one
      key: tidegate.key`,
  });

const upstream = z.strictObject({
  servers: oneOrMany(server, 'a URL, or a list of servers').describe(
    'The servers of the group: each a URL, or an object with `url`.',
  ),
  ...upstreamOperations,
  connectTimeout: duration()
    .prefault('3s')
    .describe('How long a server may take to accept a connection, TLS included; then the next one is tried.'),
  retries: z
    .int()
    .min(0)
    .max(100)
    .prefault(2)
    .describe(
      'How many further servers are tried after one failed, as long as nothing has gone to the client.',
    ),
  maxIdleConnections: z
    .int()
    .min(0)
    .max(65_535)
    .prefault(128)
    .describe(
      'How many idle connections are kept per server for plain HTTP; 0 keeps none. WebSockets never use them.',
    ),
  keepAliveTimeout: duration().prefault('30s').describe('How long such a connection is kept idle.'),
  maxHeaderBytes: size(KiB, MiB)
    .prefault('64KiB')
    .describe('The largest response head taken from a server; a larger one is answered 502.'),
  proxyProtocol: sendProxyProtocol,
  http2,
  tls,
});

const shorthand = z
  .union([z.string(), z.array(z.string())])
  .transform((servers): z.input<typeof upstream> => ({ servers }))
  .pipe(upstream);

export const upstreams = z
  .record(
    z.string().regex(NAME, { error: 'a name consists of letters, digits, `_`, `.` and `-`' }),
    z.union([shorthand, upstream], { error: expected('a URL, a list of URLs, or an object with `servers`') }),
    { error: expected('an object of upstreams by name') },
  )
  .meta({
    label: 'upstreams by name',
    example: `upstreams:
  pages: http://127.0.0.1:3000      # just the URL of its server
  live: [http://10.0.0.1:4000, http://10.0.0.2:4000]
  chat:
    servers:
      - url: http://127.0.0.1:3001
      - unix:/run/chat.sock
    connectTimeout: 1s
    retries: 1
  rooms:
    servers:
      - http://10.0.0.3:5000
      - { url: http://10.0.0.4:5000, weight: 3, maxConnections: 20000 }
    balance: least-connections
    slowStart: 30s`,
  });
