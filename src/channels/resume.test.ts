import { describe, expect, it } from 'vitest';
import { Listener, subscription, textItem } from '../../test/fixtures/channels.js';
import { ManualClock } from '../base/manual-clock.js';
import { systemRandom } from '../base/system.js';
import { MemoryBackplane } from './backplane/memory.js';
import { MemoryHistory } from './history.js';
import { Hub } from './hub.js';
import { resume } from './resume.js';
import type { BackplaneHandlers, Place, Recovery } from './types.js';

/** A backplane whose history takes its time to be read. */
class SlowBackplane extends MemoryBackplane {
  before: (() => Promise<void>) | undefined;
  after: (() => Promise<void>) | undefined;

  override async since(channel: string, place: Place | undefined): Promise<Recovery> {
    await this.before?.();
    const recovery = await super.since(channel, place);
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
  const room = { hub, backplane };
  return { hub, backplane, room, say, start, history };
}

describe('going on', () => {
  it('gives what was missed, then what comes', async () => {
    const { room, say, start } = await setUp();
    await say('a', 'b');
    const listener = new Listener('x');
    const told: boolean[] = [];
    const resumed = await resume(room, listener, subscription('c'), start, ({ recovered }) => {
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
    const { room, say, start, backplane } = await setUp();
    await say('a');
    backplane.before = () => say('b');
    backplane.after = () => say('c');
    const listener = new Listener('x');
    await resume(room, listener, subscription('c'), start);
    await say('d');
    expect(listener.texts).toEqual(['a', 'b', 'c', 'd']);
  });

  it('gives nothing of the past where that is not whole, and all that comes', async () => {
    const { room, say, start, backplane } = await setUp();
    await say('a');
    backplane.after = () => say('b');
    const listener = new Listener('x');
    const resumed = await resume(room, listener, subscription('c'), { ...start!, epoch: 'other' });
    expect(resumed).toEqual({ recovered: false, messages: 0 });
    expect(listener.texts).toEqual(['b']);
  });

  it('puts the past in the order of its ids, and drops what came twice', async () => {
    const { room, hub, start } = await setUp();
    for (const [id, prevId] of [['1'], ['3', '2'], ['2', '1'], ['2', '1'], ['9', '8']] as const) {
      await hub.publish(textItem('c', id, { id, prevId }));
    }
    const listener = new Listener('x');
    expect(await resume(room, listener, subscription('c'), start)).toMatchObject({ messages: 4 });
    expect(listener.texts).toEqual(['1', '2', '3', '9']);
  });

  it('gives out what was held where the history cannot be read', async () => {
    const { room, say, start, backplane } = await setUp();
    backplane.before = async () => {
      await say('a');
      throw new Error('no history today');
    };
    const listener = new Listener('x');
    await expect(resume(room, listener, subscription('c'), start)).rejects.toThrow('no history today');
    expect(listener.texts).toEqual(['a']);
  });

  it('gives up the past where too much comes meanwhile: nothing of that is lost', async () => {
    const { room, say, start, backplane } = await setUp();
    await say('past');
    const many = Array.from({ length: 1001 }, (_, i) => `${i}`);
    backplane.before = () => say(...many);
    const listener = new Listener('x');
    expect((await resume(room, listener, subscription('c'), start)).recovered).toBe(false);
    expect(listener.texts).toEqual(many);
  });

  it('gives nothing to one that has gone meanwhile', async () => {
    const { room, say, start, backplane, hub } = await setUp();
    await say('a');
    const listener = new Listener('x');
    backplane.after = async () => {
      await say('b');
      hub.leaveAll(listener);
    };
    await resume(room, listener, subscription('c'), start);
    expect(listener.texts).toEqual([]);
  });
});
