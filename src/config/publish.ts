import { z } from 'zod';
import { formatAdminAddress, isLocal, parseAdminAddress } from './admin-address.js';
import { tokenProblem } from './admin.js';
import { expected, leaf, leafOrNumber, oneOrMany, right, wrong } from './leaf.js';
import { countOrUnlimited, duration, size } from './quantities.js';

const MiB = 1024 ** 2;

const file = () =>
  z
    .string({ error: expected('the name of a file') })
    .min(1)
    .optional()
    .meta({ label: 'file' });

const token = () =>
  leaf('a token of 16 characters or more', (text) => {
    const problem = tokenProblem(text);
    return problem === undefined ? right(text) : wrong(problem);
  });

const jwt = z
  .strictObject({
    issuer: z
      .string({ error: expected('a name') })
      .min(1)
      .optional()
      .meta({ label: 'name' })
      .describe('The `iss` that a token must have. Absent: any.'),
    key: z
      .string({ error: expected('a key') })
      .min(8, { error: 'expected a key of 8 characters or more' })
      .optional()
      .meta({ label: 'key' })
      .describe('A secret, as text or `base64:…` (HS256), or a public key in PEM (RS256, ES256).'),
    keyFile: file().describe('A file that holds the key, instead of `key`.'),
  })
  .superRefine(({ key, keyFile }, ctx) => {
    if ((key === undefined) === (keyFile === undefined)) {
      const found = key === undefined ? 'neither' : 'both';
      ctx.addIssue({
        code: 'custom',
        path: ['key'],
        message: `expected \`key\` or \`keyFile\`, found ${found}`,
      });
    }
  });

const basic = z.strictObject({
  user: z
    .string({ error: expected('a name') })
    .regex(/^[^:]+$/, { error: 'a name has no colon' })
    .meta({ label: 'name' })
    .describe('The name.'),
  password: z
    .string({ error: expected('a password') })
    .min(8, { error: 'expected a password of 8 characters or more' })
    .meta({ label: 'password' })
    .describe('The password.'),
});

const aws = z
  .strictObject({
    accessKeyId: z
      .string({ error: expected('an access key id') })
      .regex(/^[\w+=,.@-]{1,128}$/, {
        error: 'expected an access key id: 1 to 128 letters, digits and `_+=,.@-`',
      })
      .meta({ label: 'access key id' })
      .describe('The name of the key.'),
    secretAccessKey: z
      .string({ error: expected('a secret') })
      .min(16, { error: 'expected a secret of 16 characters or more' })
      .optional()
      .meta({ label: 'secret' })
      .describe('The secret that requests are signed with.'),
    secretAccessKeyFile: file().describe('A file that holds the secret, instead of `secretAccessKey`.'),
  })
  .superRefine(({ secretAccessKey, secretAccessKeyFile }, ctx) => {
    if ((secretAccessKey === undefined) === (secretAccessKeyFile === undefined)) {
      const found = secretAccessKey === undefined ? 'neither' : 'both';
      ctx.addIssue({
        code: 'custom',
        path: ['secretAccessKey'],
        message: `expected \`secretAccessKey\` or \`secretAccessKeyFile\`, found ${found}`,
      });
    }
  });

const auth = z
  .strictObject({
    tokens: oneOrMany(token(), 'a token, or a list of them', 0)
      .prefault([])
      .describe('Shown as `Authorization: Bearer TOKEN`. Several, so that they can be changed one by one.'),
    tokenFile: file().describe('A file that holds one more token.'),
    jwt: z
      .union([jwt.transform((one) => [one]), z.array(jwt)], {
        error: expected('an object with `key`, or a list'),
      })
      .prefault([])
      .describe(
        'Keys of signed tokens (JWT), which must expire; `GRIP_URL` with `iss` and `key` makes such tokens.',
      )
      .meta({ label: 'object with `key`, or list' }),
    basic: z
      .union([basic.transform((one) => [one]), z.array(basic)], {
        error: expected('an object with `user` and `password`, or a list'),
      })
      .prefault([])
      .describe('Names and passwords, shown as `Authorization: Basic …`.')
      .meta({ label: 'object with `user`, or list' }),
    aws: z
      .union([aws.transform((one) => [one]), z.array(aws)], {
        error: expected('an object with `accessKeyId`, or a list'),
      })
      .prefault([])
      .describe(
        'Keys that requests to `@connections`, and no others, are signed with as SDKs of AWS do (SigV4, service `execute-api`, any region).',
      )
      .meta({ label: 'object with `accessKeyId`, or list' }),
  })
  .prefault({})
  .describe(
    'Who may publish; one of these is enough. Nobody needs any of it where it is empty, which only loopback allows.',
  );

const settings = z
  .strictObject({
    address: leafOrNumber('127.0.0.1:PORT or unix:PATH', parseAdminAddress).describe(
      'Where messages are published: `127.0.0.1:5561`, or `unix:/run/tidegate-publish.sock`. Any other address than loopback needs `auth`.',
    ),
    auth,
    maxBodyBytes: size(1, 128 * MiB)
      .prefault('1MiB')
      .describe('The largest request body.'),
    maxConnections: countOrUnlimited()
      .prefault(4096)
      .describe(
        'How many connections it takes at a time; backends keep theirs between publishes. Further ones are closed at once.',
      ),
    headerTimeout: duration()
      .prefault('5s')
      .describe('How long a request head may take to arrive, and again a request as a whole.'),
    idleTimeout: duration()
      .prefault('60s')
      .describe('How long an idle connection is kept for the next request.'),
  })
  .superRefine(({ address, auth }, ctx) => {
    const isOpen =
      auth.tokens.length === 0 &&
      auth.tokenFile === undefined &&
      auth.jwt.length === 0 &&
      auth.basic.length === 0 &&
      auth.aws.length === 0;
    if (isOpen && !isLocal(address)) {
      const message = `others than this machine can reach ${formatAdminAddress(address)}: expected \`tokens\`, \`tokenFile\`, \`jwt\`, \`basic\` or \`aws\` in \`auth\`, or a loopback address or unix socket`;
      ctx.addIssue({ code: 'custom', path: ['auth'], message });
    }
  });

const shorthand = z
  .union([z.string(), z.number()])
  .transform((address) => ({ address }))
  .pipe(settings);

/** Absent: nobody publishes. */
export const publish = z
  .union([shorthand, settings], { error: expected('an address, or an object with `address`') })
  .optional()
  .describe(
    'Where backends push to clients of `gateway` routes: `POST /publish/`, as GRIP has it, and the small API at `/v1/`; an object, or just its address. Absent: nowhere.',
  )
  .meta({
    label: 'address, or object',
    example: `publish:
  address: 0.0.0.0:5561
  auth: { jwt: { issuer: chat, keyFile: publish.key } }`,
  });
