import { describe, expect, it } from 'vitest';
import { Listener, subscription, textItem } from '../../test/fixtures/channels.js';
import { Inbox } from '../../test/fixtures/inbox.js';
import { ManualClock } from '../base/manual-clock.js';
import { systemRandom } from '../base/system.js';
import { MemoryBackplane } from './backplane/memory.js';
import { MemoryHistory } from './history.js';
import { Hub } from './hub.js';
import { resume } from './resume.js';
import type { BackplaneHandlers, Recovery, Since } from './types.js';

/** A backplane whose history takes its time to be read. */
class SlowBackplane extends MemoryBackplane {
  before: (() => Promise<void>) | undefined;
  after: (() => Promise<void>) | undefined;

  override async since(channel: string, from: Since | undefined): Promise<Recovery> {
    await this.before?.();
    const recovery = await super.since(channel, from);
    await this.after?.();
    return recovery;
  }
}

async function setUp() {
  const clock = new ManualClock();
  const rule = () => ({ maxMessages: 5000, maxAgeMs: 60_000, maxBytes: 1_000_000 });
  const history = new MemoryHistory({ deps: { clock, random: systemRandom }, rule });
  const backplane = new SlowBackplane('n1', history);
  const hub = new Hub({ clock, backplane });
  const onPublish: BackplaneHandlers['onPublish'] = (item, place) => hub.receive(item, place);
  await backplane.open({ onPublish } as BackplaneHandlers);
  const say = async (...texts: string[]) => {
    for (const text of texts) await hub.publish(textItem('c', text));
  };
  const start = history.since('c', undefined).place;
  return { hub, backplane, say, start };
}

describe('going on', () => {
  it('gives what was missed, then what comes', async () => {
    const { hub, say, start } = await setUp();
    await say('a', 'b');
    const listener = new Listener('x');
    const told: boolean[] = [];
    const resumed = await resume(hub, listener, subscription('c'), start, ({ recovered }) => {
      told.push(recovered);
      expect(listener.texts).toEqual([]);
    });
    expect(resumed).toEqual({ recovered: true, messages: 2 });
    await say('c');
    expect(listener.texts).toEqual(['a', 'b', 'c']);
    expect(listener.items.map(({ place }) => place!.offset)).toEqual([1, 2, 3]);
    expect(told).toEqual([true]);
  });

  it('gives each message once that is published while the past is read', async () => {
    const { hub, say, start, backplane } = await setUp();
    await say('a');
    backplane.before = () => say('b');
    backplane.after = () => say('c');
    const listener = new Listener('x');
    await resume(hub, listener, subscription('c'), start);
    await say('d');
    expect(listener.texts).toEqual(['a', 'b', 'c', 'd']);
  });

  it('gives nothing of the past where that is not whole, and all that comes', async () => {
    const { hub, say, start, backplane } = await setUp();
    await say('a');
    backplane.after = () => say('b');
    const listener = new Listener('x');
    const resumed = await resume(hub, listener, subscription('c'), { ...start!, epoch: 'other' });
    expect(resumed).toEqual({ recovered: false, messages: 0 });
    expect(listener.texts).toEqual(['b']);
  });

  it('puts the past in the order of its ids, and drops what came twice', async () => {
    const { hub, start } = await setUp();
    for (const [id, prevId] of [['1'], ['3', '2'], ['2', '1'], ['2', '1'], ['9', '8']] as const) {
      await hub.publish(textItem('c', id, { id, prevId }));
    }
    const listener = new Listener('x');
    expect(await resume(hub, listener, subscription('c'), start)).toMatchObject({ messages: 4 });
    expect(listener.texts).toEqual(['1', '2', '3', '9']);
  });

  it('gives out what was held where the history cannot be read', async () => {
    const { hub, say, start, backplane } = await setUp();
    backplane.before = async () => {
      await say('a');
      throw new Error('no history today');
    };
    const listener = new Listener('x');
    await expect(resume(hub, listener, subscription('c'), start)).rejects.toThrow('no history today');
    expect(listener.texts).toEqual(['a']);
  });

  it('gives up the past where too much comes meanwhile: nothing of that is lost', async () => {
    const { hub, say, start, backplane } = await setUp();
    await say('past');
    const many = Array.from({ length: 1001 }, (_, i) => `${i}`);
    backplane.before = () => say(...many);
    const listener = new Listener('x');
    expect((await resume(hub, listener, subscription('c'), start)).recovered).toBe(false);
    expect(listener.texts).toEqual(many);
  });

  it('gives nothing to one that has gone meanwhile', async () => {
    const { hub, say, start, backplane } = await setUp();
    await say('a');
    const listener = new Listener('x');
    backplane.after = async () => {
      await say('b');
      hub.leaveAll(listener);
    };
    await resume(hub, listener, subscription('c'), start);
    expect(listener.texts).toEqual([]);
  });

  it('goes on behind an item by its id, in the order of its sequence', async () => {
    const { hub } = await setUp();
    for (const [id, prevId] of [['1'], ['3', '2'], ['2', '1'], ['4', '3']] as const) {
      await hub.publish(textItem('c', id, { id, prevId }));
    }
    for (const [id, texts] of [
      ['1', ['2', '3', '4']],
      ['2', ['3', '4']],
      ['3', ['4']],
      ['4', []],
    ] as const) {
      const listener = new Listener(id);
      const resumed = await resume(hub, listener, subscription('c'), { id });
      expect([resumed.recovered, listener.texts]).toEqual([true, texts]);
    }
    const stranger = new Listener('x');
    const resumed = await resume(hub, stranger, subscription('c'), { id: '0' });
    expect([resumed.recovered, stranger.texts]).toEqual([false, []]);
  });

  it('gives the past no faster than it is taken, and what comes behind it', async () => {
    const { hub, say, start } = await setUp();
    await say('a', 'b');
    const listener = new SlowListener('x');
    const resuming = resume(hub, listener, subscription('c'), start);
    await listener.asked.next();
    await say('c');
    expect(listener.texts).toEqual([]);
    listener.takeOne();
    await listener.asked.next();
    expect(listener.texts).toEqual(['a']);
    listener.takeOne();
    await resuming;
    expect(listener.texts).toEqual(['a', 'b', 'c']);
  });

  it('tells one that is too slow for the past so, and gives it no more of that', async () => {
    const { hub, say, start } = await setUp();
    await say('a', 'b');
    const listener = new SlowListener('x');
    const resuming = resume(hub, listener, subscription('c'), start);
    await listener.asked.next();
    await say(...Array.from({ length: 1001 }, () => 'new'));
    listener.takeOne();
    await resuming;
    expect(listener.wasTooSlow).toBe(true);
    expect(listener.texts).not.toContain('a');
  });
});

class SlowListener extends Listener {
  readonly asked = new Inbox<true>('questions whether it is ready');
  wasTooSlow = false;
  takeOne!: () => void;

  ready(): Promise<void> {
    this.asked.push(true);
    return new Promise((resolve) => (this.takeOne = resolve));
  }

  tooSlow(): void {
    this.wasTooSlow = true;
  }
}
