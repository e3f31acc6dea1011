import { z } from 'zod';
import { gatewayAws } from './gateway-aws.js';
import { expected, leaf, oneOrMany, right, show, wrong } from './leaf.js';
import { onOff } from './on-off.js';
import { countOrUnlimited, duration, size } from './quantities.js';
import { target } from './target.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const MIN_KEY_CHARS = 8;

const grip = onOff(
  z.strictObject({
    key: z
      .string({ error: expected('a key') })
      .min(MIN_KEY_CHARS, { error: `expected a key of ${MIN_KEY_CHARS} characters or more` })
      .optional()
      .meta({ label: 'key' })
      .describe(
        'What requests to the servers are signed with (`Grip-Sig`, a JWT): a secret that they know, as text or `base64:…` (HS256), or a private key in PEM (RS256, ES256). Absent: they are not signed, and servers that insist on it refuse them.',
      ),
    keyFile: z
      .string({ error: expected('the name of a file') })
      .min(1)
      .optional()
      .meta({ label: 'file' })
      .describe(
        'A file that holds the key, instead of `key`; relative to the folder of the configuration file.',
      ),
    issuer: z
      .string({ error: expected('a name') })
      .min(1)
      .prefault('tidegate')
      .meta({ label: 'name' })
      .describe('Who signs: the `iss` in the signature.'),
  }),
)
  .prefault(true)
  .describe(
    'GRIP: servers subscribe clients to channels and hold responses open, by what they answer. `false`: they cannot, and nothing of it is told to them.',
  )
  .meta({ label: 'object, `true` or `false`' });

const slowConsumer = z
  .strictObject({
    policy: z
      .enum(['close', 'drop-oldest', 'drop-newest'])
      .prefault('close')
      .describe(
        'What becomes of a client that does not take what is sent to it: `close` ends its connection (1013), `drop-oldest` and `drop-newest` lose messages, which are counted.',
      ),
    maxBytes: size(1, 1024 * MiB)
      .prefault('1MiB')
      .describe(
        'How much may wait for one client in the memory of Tidegate. A message is always taken for one whose socket takes more.',
      ),
  })
  .prefault({})
  .describe('Clients that are slower than what is sent to them.');

const retries = z
  .strictObject({
    attempts: z
      .int({ error: expected('a whole number from 0 to 20') })
      .min(0)
      .max(20)
      .prefault(5)
      .describe(
        'How often a request is sent again; the waits are 1, 2, 4, 8, 16 s and so on, each up to a second longer.',
      ),
    statuses: z
      .array(z.int().min(500).max(599), { error: expected('a list of statuses from 500 to 599') })
      .prefault([502, 503, 504])
      .meta({ label: 'list of statuses' })
      .describe(
        'Answers after which a request is sent again, as it is where the server could not be reached. A server may have seen it: the field `Tidegate-Request-Seq` tells repeats.',
      ),
  })
  .prefault({})
  .describe('What becomes of a request of an open WebSocket that has failed; later events wait for it.');

const settings = z
  .strictObject({
    to: target.describe('The servers that are asked: the name of an upstream, a URL, or a list of URLs.'),
    dialect: z
      .enum(['websocket-over-http', 'aws'])
      .prefault('websocket-over-http')
      .describe(
        'What servers are asked in: `websocket-over-http`, or `aws`, the events and `@connections` of WebSockets on Amazon API Gateway, with the settings in `aws`.',
      ),
    aws: gatewayAws,
    grip,
    channelPrefix: z
      .string({ error: expected('a text') })
      .prefault('')
      .meta({ label: 'text' })
      .describe('Put before the name of every channel that a server of this route names.'),
    subscribe: oneOrMany(
      leaf('a channel', (text) =>
        text === '' ? wrong(`expected a channel, found ${show(text)}`) : right(text),
      ),
      'a channel, or a list of them',
      0,
    )
      .prefault([])
      .describe(
        'Channels that every WebSocket is subscribed to from the start; `channelPrefix` is put before them.',
      ),
    maxSubscriptions: countOrUnlimited()
      .prefault(100)
      .describe(
        'How many channels one client may be subscribed to. Further ones are refused, which is logged.',
      ),
    compression: z
      .boolean({ error: expected('true or false') })
      .prefault(false)
      .describe(
        'Whether messages are compressed for clients that can (permessage-deflate). It takes memory and time for each client.',
      ),
    maxMessageBytes: size(1, 128 * MiB)
      .prefault('1MiB')
      .describe(
        'The largest message of a client, all its fragments together; a larger one closes with 1009.',
      ),
    maxBufferedBytes: size(1, 128 * MiB)
      .prefault('256KiB')
      .describe('How much of what a client sends waits for the server; beyond it the client is not read.'),
    maxResponseBytes: size(1, 128 * MiB)
      .prefault('1MiB')
      .describe('The largest answer of a server to one request of a WebSocket.'),
    pings: z
      .enum(['edge', 'forward'])
      .prefault('edge')
      .describe(
        'Whether pings of clients are answered here, or become events for the server, which has to answer them.',
      ),
    requestTimeout: duration()
      .prefault('60s')
      .describe('How long one request of a WebSocket may take, from its first byte to the whole answer.'),
    retries,
    slowConsumer,
  })
  .superRefine(({ dialect, aws }, ctx) => {
    if (aws === undefined || dialect === 'aws') return;
    ctx.addIssue({ code: 'custom', path: ['aws'], message: 'is for `dialect: aws`, which is not there' });
  });

/** In place of a route’s `to`. */
export const gateway = settings
  .optional()
  .describe(
    'Instead of `to`: WebSockets end here, and servers are asked and answer in plain HTTP (WebSocket-over-HTTP), and push through `publish`. Plain requests go to the same servers. See [gateway.md](../gateway.md).',
  )
  .meta({
    label: 'object with `to`',
    example: `routes:
  - match: { path: /chat }
    gateway: { to: http://127.0.0.1:3000 }
publish: 127.0.0.1:5561`,
  });
