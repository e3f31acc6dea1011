import { describe, expect, it } from 'vitest';
import { textItem, textOf } from '../../test/fixtures/channels.js';
import { ManualClock } from '../base/manual-clock.js';
import { type Placed, Sequencer, sequencerDefaults, type SequencerLimits } from './sequencer.js';

function setUp(limits: Partial<SequencerLimits> = {}) {
  const clock = new ManualClock();
  const out: string[] = [];
  const deliver = ({ item }: Placed) => out.push(textOf(item));
  const sequencer = new Sequencer({ ...sequencerDefaults, ...limits }, clock, deliver);
  const take = (id: string | undefined, prevId?: string, text = id ?? '-') =>
    sequencer.take({ item: textItem('c', text, { id, prevId }), place: undefined }).sequence;
  return { clock, out, sequencer, take };
}

describe('ids that were seen', () => {
  it('are dropped for a minute', () => {
    const { take, clock, out } = setUp();
    take('1');
    clock.advance(59_999);
    expect(take('1')).toBe('duplicate');
    clock.advance(1);
    expect(take('1')).toBe('in-order');
    expect(out).toEqual(['1', '1']);
  });

  it('are so while they wait, too', () => {
    const { take } = setUp();
    take('1');
    expect([take('3', '2'), take('3', '2')]).toEqual(['parked', 'duplicate']);
  });

  it('are forgotten before their time where there are too many', () => {
    const { take } = setUp({ maxRememberedIds: 2 });
    for (const id of ['1', '2', '3']) take(id);
    expect([take('2'), take('3'), take('1')]).toEqual(['duplicate', 'duplicate', 'in-order']);
  });
});

describe('an item whose predecessor is missing', () => {
  it('goes out at once where nothing came before', () => {
    const { take, out } = setUp();
    expect(take('7', '6')).toBe('in-order');
    expect(out).toEqual(['7']);
  });

  it('waits for it, and others wait for itself', () => {
    const { take, out } = setUp();
    take('1');
    expect([take('4', '3'), take('3', '2')]).toEqual(['parked', 'parked']);
    expect(out).toEqual(['1']);
    take('2', '1');
    expect(out).toEqual(['1', '2', '3', '4']);
  });

  it('goes out without it after 5 s, and those behind it follow', () => {
    const { take, out, clock } = setUp();
    take('1');
    take('3', '2');
    clock.advance(3000);
    take('4', '3');
    clock.advance(1999);
    expect(out).toEqual(['1']);
    clock.advance(1);
    expect(out).toEqual(['1', '3', '4']);
    expect(clock.pending).toBe(0);
  });

  it('has its own 5 s where another waits longer', () => {
    const { take, out, clock } = setUp();
    take('1');
    take('3', '2');
    clock.advance(3000);
    take('9', '8');
    clock.advance(2000);
    expect(out).toEqual(['1', '3']);
    clock.advance(3000);
    expect(out).toEqual(['1', '3', '9']);
  });

  it('is not held back by one without an id', () => {
    const { take, out } = setUp();
    take('1');
    take(undefined);
    expect(take('2', '1')).toBe('in-order');
    expect(out).toEqual(['1', '-', '2']);
  });

  it('shares its predecessor with another: both follow, in the order in which they came', () => {
    const { take, out } = setUp();
    take('1');
    take('3', '2');
    take('3b', '2');
    take('2', '1');
    expect(out).toEqual(['1', '2', '3', '3b']);
  });
});

describe('bounds', () => {
  it('lets the oldest out when one more comes than may wait: nothing is lost', () => {
    const { take, out, sequencer } = setUp({ maxParked: 2 });
    take('1');
    for (const [id, prev] of [
      ['3', '2'],
      ['6', '5'],
      ['9', '8'],
    ] as const) {
      take(id, prev);
    }
    expect(out).toEqual(['1', '3']);
    expect(sequencer.parked).toBe(2);
  });

  it('does so for bytes', () => {
    const { take, out, sequencer } = setUp({ maxParkedBytes: 1000 });
    take('1');
    take('3', '2', 'x'.repeat(600));
    take('6', '5', 'y'.repeat(600));
    expect(out[1]).toBe('x'.repeat(600));
    expect(sequencer.parked).toBe(1);
    take('9', '8', 'z'.repeat(1001));
    expect(sequencer.parked).toBe(0);
  });

  it('parks a hundred by default', () => {
    const { take, out, sequencer } = setUp();
    take('0');
    for (let i = 1; i <= 101; i++) take(`${i}`, `no ${i}`);
    expect(sequencer.parked).toBe(100);
    expect(out).toEqual(['0', '1']);
  });

  it('leaves no timer behind', () => {
    const { take, clock, sequencer } = setUp();
    take('1');
    take('3', '2');
    expect(clock.pending).toBe(1);
    sequencer.close();
    expect(clock.pending).toBe(0);
  });
});
