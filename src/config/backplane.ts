import { z } from 'zod';
import { expected, leaf, oneOrMany, right, show, wrong } from './leaf.js';
import { duration } from './quantities.js';

const REDIS = /^rediss?:\/\/[^\s/]+/;
const NATS = /^(?:nats|tls):\/\/[^\s/]+/;
const EXPECTED = 'redis://HOST:PORT or nats://HOST:PORT';

const url = () =>
  leaf(EXPECTED, (text) =>
    REDIS.test(text) || NATS.test(text) ? right(text) : wrong(`expected ${EXPECTED}, found ${show(text)}`),
  );

const settings = z
  .strictObject({
    url: oneOrMany(url(), `${EXPECTED}, or a list of them`).describe(
      'Where the nodes meet: `redis://[[user]:password@]host[:port][/database]`, `rediss://` with TLS, `nats://[user:password@]host[:port]`, `tls://`. Several are servers of one cluster.',
    ),
    cluster: z
      .boolean({ error: expected('true or false') })
      .prefault(false)
      .describe('Redis: whether it is a cluster (Redis 7 or later); pub/sub is sharded then.'),
    prefix: z
      .string({ error: expected('a name') })
      .regex(/^[A-Za-z0-9_-]+$/, { error: 'a prefix consists of letters, digits, `_` and `-`' })
      .prefault('tidegate')
      .meta({ label: 'name' })
      .describe(
        'What all names there begin with, so that several can share a server. The same for all nodes.',
      ),
    connectTimeout: duration().prefault('5s').describe('How long a connection to a server there may take.'),
    answerTimeout: duration()
      .prefault('5s')
      .describe(
        'How long another node may take to answer: where a session is asked for by its id, or who is in a channel.',
      ),
    lostAfter: duration()
      .prefault('10s')
      .describe(
        'A node that has given no sign of life for so long is lost, and the others tell backends of the end of its sessions. Signs are given five times as often. The same for all nodes.',
      ),
  })
  .superRefine(({ url, cluster }, ctx) => {
    const isNats = url.map((one) => NATS.test(one));
    if (isNats.includes(true) && isNats.includes(false)) {
      ctx.addIssue({
        code: 'custom',
        path: ['url'],
        message: 'expected servers of Redis or of NATS, found both',
      });
    } else if (cluster && isNats.includes(true)) {
      ctx.addIssue({
        code: 'custom',
        path: ['cluster'],
        message: 'has a meaning for Redis only; leave it out',
      });
    }
  });

const shorthand = url()
  .transform((written): z.input<typeof settings> => ({ url: written }))
  .pipe(settings);

/** Absent: this node alone. */
export const backplane = z
  .union([shorthand, settings], { error: expected(`${EXPECTED}, or an object with \`url\``) })
  .optional()
  .describe(
    'Several nodes as one: what is published at any of them reaches subscribers at all, and sessions are addressed wherever they live. Through Redis (package `redis`) or NATS (`@nats-io/transport-node`, `@nats-io/jetstream`); an object, or just its URL. Absent: each node is alone.',
  )
  .meta({
    label: 'URL, or object',
    example: `publish: 127.0.0.1:5561
backplane: redis://127.0.0.1:6379`,
  });

/** Which of the two it is. */
export function backplaneKind(urls: readonly string[]): 'redis' | 'nats' {
  return urls.some((one) => NATS.test(one)) ? 'nats' : 'redis';
}
