import { describe, expect, it } from 'vitest';
import { textItem, textOf } from '../../test/fixtures/channels.js';
import { ManualClock } from '../base/manual-clock.js';
import { systemRandom } from '../base/system.js';
import { type HistoryLimits, MemoryHistory } from './history.js';
import type { HistoryRule, Place } from './types.js';

const wide: HistoryRule = { maxMessages: 100, maxAgeMs: 60_000, maxBytes: 1_000_000 };

function setUp(rule: Partial<HistoryRule> = {}, limits: Partial<HistoryLimits> = {}) {
  const clock = new ManualClock();
  const history = new MemoryHistory({
    deps: { clock, random: systemRandom },
    rule: (channel) => (channel === 'off' ? undefined : { ...wide, ...rule }),
    limits,
  });
  const add = (text: string, channel = 'c') => history.append(textItem(channel, text))!;
  const since = (place: Place | undefined, channel = 'c') => {
    const { recovered, messages } = history.since(channel, place);
    return [recovered, messages.map(({ item }) => textOf(item)).join()];
  };
  return { clock, history, add, since };
}

describe('what came after a place', () => {
  it('is all that was published behind it, each with its place', () => {
    const { history, add, since } = setUp();
    const [a, b] = [add('a'), add('b')];
    expect([a.offset, b.offset, a.epoch === b.epoch]).toEqual([1, 2, true]);
    expect(a.epoch).toMatch(/^[A-Za-z0-9]+$/);
    add('c');
    expect(since(a)).toEqual([true, 'b,c']);
    expect(history.since('c', a).messages[0]!.place).toEqual(b);
    expect(history.since('c', a).place).toEqual({ offset: 3, epoch: a.epoch });
    expect(since(history.since('c', a).place)).toEqual([true, '']);
  });

  it('is known from the place that a channel has before its first message, too', () => {
    const { history, add, since } = setUp();
    const { recovered, place } = history.since('c', undefined);
    expect([recovered, place!.offset]).toEqual([false, 0]);
    add('a');
    expect(since(place)).toEqual([true, 'a']);
  });

  it('is nothing, and says so, for a place of another epoch or of the future', () => {
    const { add, since } = setUp();
    const a = add('a');
    add('b');
    expect(since({ ...a, epoch: 'other' })).toEqual([false, '']);
    expect(since({ ...a, offset: 3 })).toEqual([false, '']);
  });

  it('is nothing where the channel has no history', () => {
    const { history } = setUp();
    expect(history.append(textItem('off', 'x'))).toBeUndefined();
    const nothing = { recovered: false, messages: [], place: undefined };
    expect(history.since('off', { offset: 0, epoch: 'x' })).toEqual(nothing);
    expect(history.channelCount).toBe(0);
  });
});

describe('bounds', () => {
  it('keeps so many messages, and never gives a part', () => {
    const { add, since } = setUp({ maxMessages: 2 });
    const [a, b] = [add('a'), add('b')];
    add('c');
    add('d');
    expect(since(a)).toEqual([false, '']);
    expect(since(b)).toEqual([true, 'c,d']);
  });

  it('keeps them for so long', () => {
    const { add, since, clock, history } = setUp({ maxAgeMs: 1000 });
    const a = add('a');
    clock.advance(600);
    const b = add('b');
    clock.advance(400);
    expect(since({ ...a, offset: 0 })).toEqual([false, '']);
    expect(since(a)).toEqual([true, 'b']);
    clock.advance(600);
    expect(since(a)).toEqual([false, '']);
    expect(since(b)).toEqual([true, '']);
    expect(history.bytes).toBe(0);
  });

  it('keeps so many bytes of a channel', () => {
    const { add, since, history } = setUp({ maxBytes: 10 });
    const a = add('12345');
    const b = add('12345');
    add('123456');
    expect([since(a), since(b), history.bytes]).toEqual([[false, ''], [true, '123456'], 6]);
  });

  it('forgets the channel that was used longest ago where there are too many', () => {
    const { add, since, history } = setUp({}, { maxChannels: 2 });
    const x = add('x', 'one');
    const y = add('y', 'two');
    add('z', 'one');
    add('z', 'three');
    expect(history.channelCount).toBe(2);
    expect(since(x, 'one')).toEqual([true, 'z']);
    expect(since(y, 'two')).toEqual([false, '']);
  });

  it('holds all channels together to so many bytes', () => {
    const { add, since, history } = setUp({}, { maxTotalBytes: 10 });
    const x = add('12345', 'one');
    add('12345', 'two');
    add('1', 'three');
    expect(history.bytes).toBe(6);
    expect(since(x, 'one')).toEqual([false, '']);
  });

  it('forgets a quiet channel altogether, and begins another epoch', () => {
    const { add, since, history, clock } = setUp({ maxAgeMs: 60_000 });
    const a = add('a');
    clock.advance(90_000);
    expect([history.channelCount, history.bytes]).toEqual([1, 0]);
    expect(since(a)).toEqual([true, '']);
    clock.advance(60_000);
    expect(history.channelCount).toBe(0);
    expect(since(a)).toEqual([false, '']);
    history.close();
    expect(clock.pending).toBe(0);
  });
});
