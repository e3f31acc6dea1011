import { describe, expect, it } from 'vitest';
import { Listener, subscription, textItem } from '../../test/fixtures/channels.js';
import { ManualClock } from '../base/manual-clock.js';
import { MemoryBackplane } from './backplane/memory.js';
import { Hub } from './hub.js';
import type { BackplaneHandlers, Place } from './types.js';

class WatchedBackplane extends MemoryBackplane {
  readonly calls: string[] = [];

  override join(channel?: string): Promise<void> {
    this.calls.push(`join ${channel}`);
    return super.join();
  }

  override leave(channel?: string): void {
    this.calls.push(`leave ${channel}`);
  }
}

async function setUp() {
  const clock = new ManualClock();
  const backplane = new WatchedBackplane('n1');
  const hub = new Hub({ clock, backplane });
  const onPublish: BackplaneHandlers['onPublish'] = (item, place) => hub.receive(item, place);
  await backplane.open({ onPublish } as BackplaneHandlers);
  return { clock, backplane, hub };
}

describe('who is given what', () => {
  it('gives an item to all that listen to its channel, and to nobody else', async () => {
    const { hub } = await setUp();
    const [a, b, c] = [new Listener('a'), new Listener('b'), new Listener('c')];
    for (const listener of [a, b]) void hub.subscribe(listener, subscription('one'));
    void hub.subscribe(c, subscription('two'));
    const result = await hub.publish(textItem('one', 'hi'));
    expect(result).toEqual({ delivered: 2, dropped: 0, sequence: 'in-order' });
    expect([a.texts, b.texts, c.texts]).toEqual([['hi'], ['hi'], []]);
  });

  it('counts what was dropped, and what was not meant for a subscriber not at all', async () => {
    const { hub } = await setUp();
    for (const outcome of ['delivered', 'dropped', 'skipped'] as const) {
      const listener = new Listener(outcome);
      listener.onReceive = () => outcome;
      void hub.subscribe(listener, subscription('one'));
    }
    expect(await hub.publish(textItem('one', 'x'))).toMatchObject({ delivered: 1, dropped: 1 });
  });

  it('hands over the subscription as it was last said', async () => {
    const { hub } = await setUp();
    const listener = new Listener('a');
    const said: unknown[] = [];
    listener.onReceive = (_, { filters }) => void said.push(filters);
    void hub.subscribe(listener, subscription('one'));
    void hub.subscribe(listener, subscription('one', ['skip-self']));
    expect((await hub.publish(textItem('one', 'x'))).delivered).toBe(1);
    expect(said).toEqual([['skip-self']]);
    expect(hub.channelsOf(listener)).toEqual(['one']);
  });

  it('makes one frame for all', async () => {
    const { hub } = await setUp();
    const frames = new Set<Buffer | undefined>();
    for (let i = 0; i < 100; i++) {
      const listener = new Listener(`${i}`);
      listener.onReceive = (item) => void frames.add(item.wsFrame());
      void hub.subscribe(listener, subscription('one'));
    }
    await hub.publish(textItem('one', 'hi'));
    expect([...frames]).toEqual([Buffer.from([0x81, 2, 0x68, 0x69])]);
  });

  it('has no frame for a close', async () => {
    const { hub } = await setUp();
    const listener = new Listener('a');
    void hub.subscribe(listener, subscription('one'));
    await hub.publish(textItem('one', '', { wsMessage: { action: 'close', code: 4000, reason: '' } }));
    expect(listener.items[0]!.wsFrame()).toBeUndefined();
  });
});

describe('who comes and goes', () => {
  it('tells the backplane of the first that comes and the last that goes', async () => {
    const { hub, backplane } = await setUp();
    const [a, b] = [new Listener('a'), new Listener('b')];
    for (const listener of [a, b]) void hub.subscribe(listener, subscription('one'));
    void hub.subscribe(a, subscription('two'));
    expect(backplane.calls).toEqual(['join one', 'join two']);
    expect(hub.unsubscribe(a, 'one')).toBe(true);
    expect(hub.unsubscribe(a, 'one')).toBe(false);
    hub.leaveAll(b);
    expect(backplane.calls).toEqual(['join one', 'join two', 'leave one']);
    hub.leaveAll(a);
    hub.leaveAll(a);
    expect(backplane.calls).toEqual(['join one', 'join two', 'leave one', 'leave two']);
    expect([hub.channelCount, hub.count('one'), hub.channelsOf(a)]).toEqual([0, 0, []]);
  });

  it('lists channels with their counts, and the subscribers of one', async () => {
    const { hub } = await setUp();
    const [a, b] = [new Listener('a'), new Listener('b')];
    for (const listener of [a, b]) void hub.subscribe(listener, subscription('one'));
    void hub.subscribe(b, subscription('two'));
    expect([...hub.channels()]).toEqual([
      { channel: 'one', subscribers: 2 },
      { channel: 'two', subscribers: 1 },
    ]);
    expect([...hub.subscriptionsOf('one')].map(({ subscriber }) => subscriber.id)).toEqual(['a', 'b']);
    expect([...hub.subscriptionsOf('none')]).toEqual([]);
    expect([hub.isSubscribed(b, 'two'), hub.isSubscribed(a, 'two')]).toEqual([true, false]);
    expect(hub.channelsOf(b)).toEqual(['one', 'two']);
  });

  it('delivers to those that were there when it began, and are there still', async () => {
    const { hub } = await setUp();
    const [a, b, c, late] = ['a', 'b', 'c', 'late'].map((id) => new Listener(id)) as [
      Listener,
      Listener,
      Listener,
      Listener,
    ];
    a.onReceive = () => {
      hub.leaveAll(a);
      hub.leaveAll(b);
      void hub.subscribe(late, subscription('one'));
      return undefined;
    };
    for (const listener of [a, b, c]) void hub.subscribe(listener, subscription('one'));
    expect((await hub.publish(textItem('one', 'first'))).delivered).toBe(2);
    await hub.publish(textItem('one', 'second'));
    expect([a.texts, b.texts, c.texts, late.texts]).toEqual([['first'], [], ['first', 'second'], ['second']]);
  });

  it('survives that the last one goes while it is delivered to, and comes again', async () => {
    const { hub } = await setUp();
    const a = new Listener('a');
    a.onReceive = () => {
      hub.leaveAll(a);
      void hub.subscribe(a, subscription('one'));
      return undefined;
    };
    void hub.subscribe(a, subscription('one'));
    await hub.publish(textItem('one', 'first'));
    expect(a.texts).toEqual(['first']);
    await hub.publish(textItem('one', 'second'));
    expect(a.texts).toEqual(['first', 'second']);
  });

  it('keeps one order for all when a subscriber publishes in its turn', async () => {
    const { hub } = await setUp();
    const [a, b] = [new Listener('a'), new Listener('b')];
    const nested: unknown[] = [];
    a.onReceive = () => {
      if (a.items.length === 1) nested.push(hub.publish(textItem('one', 'answer')));
      return undefined;
    };
    for (const listener of [a, b]) void hub.subscribe(listener, subscription('one'));
    await hub.publish(textItem('one', 'question'));
    expect(await nested[0]).toMatchObject({ delivered: 2 });
    expect([a.texts, b.texts]).toEqual([
      ['question', 'answer'],
      ['question', 'answer'],
    ]);
  });
});

describe('ids', () => {
  it('drops what comes twice and parks what comes early', async () => {
    const { hub, clock } = await setUp();
    const a = new Listener('a');
    void hub.subscribe(a, subscription('one'));
    const sequences = [];
    for (const [id, prevId] of [
      ['1', undefined],
      ['3', '2'],
      ['2', '1'],
      ['2', '1'],
      ['5', '4'],
    ] as const) {
      sequences.push((await hub.publish(textItem('one', id, { id, prevId }))).sequence);
    }
    expect(sequences).toEqual(['in-order', 'parked', 'in-order', 'duplicate', 'parked']);
    expect(a.texts).toEqual(['1', '2', '3']);
    clock.advance(5000);
    expect(a.texts).toEqual(['1', '2', '3', '5']);
  });

  it('asks nothing of an item that is outside the sequence', async () => {
    const { hub } = await setUp();
    const a = new Listener('a');
    void hub.subscribe(a, subscription('one'));
    await hub.publish(textItem('one', 'x', { id: '1' }));
    await hub.publish(textItem('one', 'y', { id: '1', noSeq: true }));
    await hub.publish(textItem('one', 'z', { id: '9', prevId: '8', noSeq: true }));
    expect(a.texts).toEqual(['x', 'y', 'z']);
  });

  it('forgets a channel with its last subscriber, and what waits in it', async () => {
    const { hub, clock } = await setUp();
    const a = new Listener('a');
    void hub.subscribe(a, subscription('one'));
    await hub.publish(textItem('one', 'x', { id: '1' }));
    await hub.publish(textItem('one', 'y', { id: '3', prevId: '2' }));
    hub.leaveAll(a);
    expect(clock.pending).toBe(0);
    void hub.subscribe(a, subscription('one'));
    expect((await hub.publish(textItem('one', 'again', { id: '1' }))).sequence).toBe('in-order');
  });
});

describe('places in a history', () => {
  it('says where to go on: behind an item, but before one that waits', async () => {
    const { hub } = await setUp();
    const a = new Listener('a');
    void hub.subscribe(a, subscription('one'));
    const place = (offset: number): Place => ({ offset, epoch: 'e' });
    hub.receive(textItem('one', 'a', { id: 'a' }), place(1));
    hub.receive(textItem('one', 'c', { id: 'c', prevId: 'b' }), place(2));
    hub.receive(textItem('one', 'other'), place(3));
    hub.receive(textItem('one', 'b', { id: 'b', prevId: 'a' }), place(4));
    hub.receive(textItem('one', 'd', { id: 'd', prevId: 'c' }), place(5));
    expect(a.items.map((prepared) => prepared.place?.offset)).toEqual([1, 1, 1, 4, 5]);
    expect(a.texts).toEqual(['a', 'other', 'b', 'c', 'd']);
  });
});
