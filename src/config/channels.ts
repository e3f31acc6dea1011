import { z } from 'zod';
import { expected, leaf, right, show, wrong } from './leaf.js';
import { onOff } from './on-off.js';
import { duration, size } from './quantities.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const MAX_MESSAGES = 100_000;
const MAX_CHANNELS = 10_000_000;

const pattern = leaf('the name of a channel, `*` for any characters', (text) =>
  text === ''
    ? wrong(`expected the name of a channel, such as room or chat:*, found ${show(text)}`)
    : right(text),
);

const wholeNumber = (max: number) =>
  z
    .int({ error: expected(`a whole number from 1 to ${max}`) })
    .min(1)
    .max(max);

const history = onOff(
  z.strictObject({
    maxMessages: wholeNumber(MAX_MESSAGES).prefault(100).describe('How many messages are kept of a channel.'),
    maxAge: duration().prefault('5m').describe('How long a message is kept.'),
    maxBytes: size(1, GiB)
      .prefault('256KiB')
      .describe('How much is kept of a channel: the content of its messages.'),
  }),
)
  .prefault(false)
  .describe(
    'Whether the last messages are kept, for clients that come back: `true`, or how many. All bounds hold at once.',
  )
  .meta({ label: 'object, `true` or `false`' });

const rule = z.strictObject({
  match: pattern
    .describe(
      'Which channels are meant, by their whole name, the prefix of their route included: `room`, `chat:*`. The first rule that fits a channel counts.',
    )
    .meta({ label: 'pattern' }),
  history,
  presence: z
    .boolean({ error: expected('true or false') })
    .prefault(false)
    .describe(
      'Whether `GET /v1/channels/NAME` of the publish API says who listens: session, user and since when.',
    ),
});

const settings = z.strictObject({
  rules: z
    .array(rule, { error: expected('a list of rules, each an object with `match`') })
    .prefault([])
    .meta({ label: 'list of rules' })
    .describe('What is kept and told of which channels.'),
  maxHistoryChannels: wholeNumber(MAX_CHANNELS)
    .prefault(100_000)
    .describe(
      'How many channels have a history in the memory of this process; one more, and that of the channel that was used longest ago is forgotten. Without meaning where Redis keeps it.',
    ),
  maxHistoryBytes: size(1, 1024 * GiB)
    .prefault('256MiB')
    .describe('The same for the content of all of them together.'),
});

const { maxHistoryChannels, maxHistoryBytes } = settings.parse({});

const shorthand = z.array(rule).transform((rules) => ({ rules, maxHistoryChannels, maxHistoryBytes }));

/** Absent: nothing is kept, and nobody is told of others. */
export const channels = z
  .union([shorthand, settings], { error: expected('a list of rules, or an object with `rules`') })
  .prefault([])
  .describe(
    'History and presence of the channels of `gateway` routes; an object, or just its rules. See [channels.md](../channels.md).',
  )
  .meta({
    label: 'list of rules, or object',
    example: `channels:
  - match: 'chat:*'
    history: { maxMessages: 500, maxAge: 10m }
    presence: true`,
  });
