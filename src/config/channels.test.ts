import { describe, expect, it } from 'vitest';
import { parseConfig } from './parse.js';

const routes = [{ to: 'http://127.0.0.1:3000' }];
const read = (channels: unknown) => parseConfig({ routes, channels }).channels;

describe('channels', () => {
  it('are a list of rules, with defaults', () => {
    expect(
      read([
        { match: 'room', history: true },
        { match: 'chat:*', presence: true },
      ]),
    ).toEqual({
      rules: [
        {
          match: 'room',
          history: { maxMessages: 100, maxAge: 300_000, maxBytes: 262_144 },
          presence: false,
        },
        { match: 'chat:*', history: undefined, presence: true },
      ],
      maxHistoryChannels: 100_000,
      maxHistoryBytes: 268_435_456,
    });
  });

  it('are an object where the bounds of all of them are set', () => {
    const rules = [{ match: '*', history: { maxMessages: 5, maxAge: '1h', maxBytes: '1MiB' } }];
    expect(read({ rules, maxHistoryChannels: 10, maxHistoryBytes: '8MiB' })).toMatchObject({
      rules: [{ match: '*', history: { maxMessages: 5, maxAge: 3_600_000, maxBytes: 1_048_576 } }],
      maxHistoryChannels: 10,
      maxHistoryBytes: 8_388_608,
    });
  });

  it.each([
    [{ match: 'a' }, 'channels.match: unknown key here'],
    ['room', 'channels: expected a list of rules, or an object with `rules`'],
    [[{ match: '' }], 'channels[0].match: expected the name of a channel, such as room or chat:*, found ""'],
    [[{ history: true }], 'channels[0].match'],
    [[{ match: 'a', history: { maxMessages: 0 } }], 'channels[0].history.maxMessages: expected'],
    [[{ match: 'a', history: { maxMesages: 1 } }], 'did you mean "maxMessages"'],
    [[{ match: 'a', history: 'yes' }], 'channels[0].history: expected true, false, or an object'],
    [{ rules: [], maxHistoryBytes: 0 }, 'channels.maxHistoryBytes: expected a size from 1B'],
  ])('%j: %s', (channels, message) => {
    expect(() => read(channels)).toThrow(message);
  });
});
