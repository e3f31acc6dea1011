import { z } from 'zod';
import { readSelectionExpression } from '../protocol/aws/routes.js';
import { expected, leaf, oneOrMany, right, show, wrong } from './leaf.js';

const selection = leaf('`$request.body.FIELD`', (text) => {
  const field = readSelectionExpression(text);
  return field === undefined
    ? wrong(`expected \`$request.body.FIELD\` or \`$request.body.OUTER.INNER\`, found ${show(text)}`)
    : right(field);
});

const routeName = leaf('the name of a route', (text) =>
  text === '' || text.startsWith('$')
    ? wrong(
        `expected the name of a route, without \`$\` in front, found ${show(text)}; \`$connect\`, \`$disconnect\` and \`$default\` are always there`,
      )
    : right(text),
);

const path = leaf('a path that begins with `/`', (text) =>
  /^\/[\x21-\x7e]*$/.test(text) && !text.includes('#')
    ? right(text)
    : wrong(`expected a path that begins with \`/\`, found ${show(text)}`),
);

const text = (label: string) => z.string({ error: expected(label) }).min(1, { error: `expected ${label}` });

const settings = z.strictObject({
  routeSelectionExpression: selection
    .prefault('$request.body.action')
    .describe('The field of a message that names its route, `routeKey` in the event.'),
  routes: oneOrMany(routeName, 'the name of a route, or a list of them', 0)
    .optional()
    .describe(
      'The routes that messages can name; all others are `$default`, as is whatever is no JSON. Absent: every name is a route.',
    ),
  twoWay: z
    .boolean({ error: expected('true or false') })
    .prefault(false)
    .describe('Whether the body of an answer to a message is sent to the client, where there is one.'),
  answers: z
    .enum(['http', 'lambda'])
    .prefault('http')
    .describe(
      'What answers are: `http`, where status and body speak for themselves, or `lambda`, what a function returned, `{ "statusCode": 200, "body": "…" }`, in the body of a 200.',
    ),
  path: path
    .optional()
    .describe(
      'Where events are sent on the servers; for the runtime interface emulator of Lambda, `/2015-03-31/functions/function/invocations`. Absent: the path and the query of the handshake.',
    ),
  stage: text('a name').prefault('production').meta({ label: 'name' }).describe('The `stage` in events.'),
  apiId: text('a name').prefault('tidegate').meta({ label: 'name' }).describe('The `apiId` in events.'),
  domainName: text('a host')
    .optional()
    .meta({ label: 'host' })
    .describe(
      'The `domainName` in events, from which many servers make the address of `@connections`: `https://DOMAIN/STAGE`. Absent: the `Host` of the handshake.',
    ),
});

/** `gateway.aws`: for `dialect: aws`. */
export const gatewayAws = settings
  .optional()
  .describe('The settings of `dialect: aws`.')
  .meta({ label: 'object' });

export const awsDefaults = settings.parse({});
