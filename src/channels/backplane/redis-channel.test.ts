import { describe, expect, it } from 'vitest';
import type { Place } from '../types.js';
import { follows, parseLog, parseMessage, RedisChannel, type RedisLog } from './redis-channel.js';

const at = (offset: number, epoch = 'e'): Place => ({ offset, epoch });
const message = (offset: number, epoch = 'e') => ({
  place: at(offset, epoch),
  origin: 'n:1',
  json: `${offset}${epoch}`,
});
const log = (last: Place, ...entries: readonly (readonly [number, string])[]): RedisLog => ({
  place: last,
  entries: entries.map(([offset, epoch]) => message(offset, epoch)),
});

function setUp(hasHistory: boolean, server: { log: RedisLog; isUp?: boolean; failures?: number }) {
  const told: string[] = [];
  const channel = new RedisChannel({
    hasHistory,
    isUp: () => server.isUp ?? true,
    deliver: ({ json }) => told.push(json),
    onGap: (missed) => told.push(`gap ${missed ?? '?'}`),
    onTrouble: (detail) => told.push(detail),
    pause: async () => {},
    read: async (offset) => {
      if ((server.failures ?? 0) > 0) {
        server.failures!--;
        throw new Error('LOADING');
      }
      if (server.isUp === false) throw new Error('no link');
      return { ...server.log, entries: server.log.entries.filter(({ place }) => place.offset >= offset) };
    },
  });
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return { channel, told, settle };
}

describe('with a history', () => {
  it('takes what comes in order, and nothing twice', () => {
    const { channel, told } = setUp(true, { log: log(at(0)) });
    channel.begin(at(4));
    for (const offset of [5, 6, 6, 4, 7]) channel.take(message(offset));
    expect(told).toEqual(['5e', '6e', '7e']);
  });

  it('reads what is missing, and what comes meanwhile follows', async () => {
    const server = { log: log(at(8), [5, 'e'], [6, 'e'], [7, 'e'], [8, 'e']) };
    const { channel, told, settle } = setUp(true, server);
    channel.take(message(5));
    channel.take(message(8));
    channel.take(message(9));
    await settle();
    expect(told).toEqual(['5e', '6e', '7e', '8e', '9e']);
  });

  it('tells how many are missing where they are not kept any more', async () => {
    const { channel, told, settle } = setUp(true, { log: log(at(8), [7, 'e'], [8, 'e']) });
    channel.take(message(4));
    channel.take(message(8));
    await settle();
    expect(told).toEqual(['4e', 'gap 2', '7e', '8e']);
  });

  it('sees that a server that forgot the last ones gave their numbers to others', async () => {
    // 5e was heard, but is not what the server has as 5.
    const server = { log: log(at(6, 'f'), [4, 'e'], [5, 'f'], [6, 'f']) };
    const { channel, told } = setUp(true, server);
    channel.take(message(4));
    channel.take(message(5));
    await channel.check();
    expect(told).toEqual(['4e', '5e', 'gap ?', '5f', '6f']);
  });

  it('goes on over a new epoch where nothing is missing', async () => {
    const server = { log: log(at(6, 'f'), [5, 'e'], [6, 'f']) };
    const { channel, told, settle } = setUp(true, server);
    channel.take(message(5));
    channel.take(message(6, 'f'));
    await settle();
    expect(told).toEqual(['5e', '6f']);
  });

  it('waits for the link where it cannot read, and has lost nothing then', async () => {
    const server = { log: log(at(7), [5, 'e'], [6, 'e'], [7, 'e']), isUp: true };
    const { channel, told, settle } = setUp(true, server);
    channel.take(message(5));
    server.isUp = false;
    channel.take(message(7));
    await settle();
    expect(told).toEqual(['5e']);
    server.isUp = true;
    await channel.check();
    expect(told).toEqual(['5e', '6e', '7e']);
  });

  it('tries again where the server cannot say yet, and tells a gap where it never does', async () => {
    const server = { log: log(at(7), [5, 'e'], [6, 'e'], [7, 'e']), failures: 19 };
    const { channel, told } = setUp(true, server);
    channel.take(message(5));
    await channel.check();
    expect(told).toEqual(['5e', '6e', '7e']);
    server.failures = 20;
    await channel.check();
    expect(told.slice(3)).toEqual(['its history cannot be read: LOADING', 'gap ?']);
    channel.take(message(8));
    expect(told.at(-1)).toBe('8e');
  });

  it('finds what was missed while no message came', async () => {
    const { channel, told } = setUp(true, { log: log(at(6), [5, 'e'], [6, 'e']) });
    channel.begin(at(4));
    await channel.check();
    expect(told).toEqual(['5e', '6e']);
  });
});

describe('without a history', () => {
  it('tells a gap, and delivers what there is', () => {
    const { channel, told } = setUp(false, { log: log(at(0)) });
    for (const offset of [1, 2, 5, 6]) channel.take(message(offset));
    channel.take(message(1, 'f'));
    expect(told).toEqual(['1e', '2e', 'gap 2', '5e', '6e', 'gap ?', '1f']);
  });

  it('tells what was missed while the link was away', async () => {
    const server = { log: log(at(2)) };
    const { channel, told } = setUp(false, server);
    channel.take(message(2));
    await channel.check();
    server.log = log(at(5));
    await channel.check();
    await channel.check();
    channel.take(message(6));
    server.log = log(at(3, 'f'));
    await channel.check();
    expect(told).toEqual(['2e', 'gap 3', '6e', 'gap ?']);
  });

  it('tells a gap where the numbers went back', async () => {
    const { channel, told } = setUp(false, { log: log(at(2)) });
    channel.take(message(5));
    await channel.check();
    expect(told).toEqual(['5e', 'gap ?']);
  });
});

describe('whether a log goes on from a place', () => {
  it.each<[string, Place, RedisLog, boolean]>([
    ['all of it is there', at(2), log(at(4), [2, 'e'], [3, 'e'], [4, 'e']), true],
    ['its own is not kept any more, the next one is', at(2), log(at(4), [3, 'e'], [4, 'e']), true],
    ['the next one is not kept any more', at(2), log(at(4), [4, 'e']), false],
    ['nothing came since', at(4), log(at(4), [4, 'e']), true],
    ['nothing is kept, and nothing came since', at(4), log(at(4)), true],
    ['nothing is kept, and something came', at(3), log(at(4)), false],
    ['it is of the future', at(5), log(at(4), [4, 'e']), false],
    ['its number is another’s now', at(2), log(at(4, 'f'), [2, 'f'], [3, 'f'], [4, 'f']), false],
    ['the last number is another’s now', at(4), log(at(4, 'f'), [4, 'f']), false],
    ['a new epoch follows on it', at(2), log(at(3, 'f'), [2, 'e'], [3, 'f']), true],
    ['a new epoch follows on what is not kept', at(2), log(at(3, 'f'), [3, 'f']), false],
    ['nothing was published ever', at(0), log(at(0)), true],
    ['the first one came', at(0), log(at(1), [1, 'e']), true],
  ])('%s', (_, place, found, isSo) => {
    expect(follows(place, found)).toBe(isSo);
  });
});

it('reads messages and logs as Redis has them', () => {
  const parsed = { place: at(7, '12'), origin: 'n1:3', json: '{"a": "b c"}' };
  expect(parseMessage('7 12 n1:3 {"a": "b c"}')).toEqual(parsed);
  expect(parseLog([7, '12', [['7-12', 'n1:3', '{"a": "b c"}']]])).toEqual({
    place: at(7, '12'),
    entries: [parsed],
  });
});
