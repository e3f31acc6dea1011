import { describe, expect, it } from 'vitest';
import { Listener, subscription } from '../../test/fixtures/channels.js';
import { ManualClock } from '../base/manual-clock.js';
import { MemoryBackplane } from './backplane/memory.js';
import { ChannelList } from './channel-list.js';
import { Hub } from './hub.js';
import { PresenceBook } from './presence.js';
import type { NodeQuestion } from './types.js';

/** Nodes that ask each other without a network; `deaf` ones do not answer. */
function cluster(...names: readonly string[]) {
  const clock = new ManualClock(Date.UTC(2026, 0, 1));
  const deaf = new Set<string>();
  const nodes = new Map<string, { hub: Hub; presence: PresenceBook; list: ChannelList }>();
  for (const name of names) {
    const backplane = {
      nodes: () => names.filter((other) => other !== name),
      query: async (to: string, question: NodeQuestion) => {
        if (deaf.has(to)) throw new Error('no answer');
        const { presence, list } = nodes.get(to)!;
        const answer = presence.answerQuery(question) ?? list.answerQuery(question);
        return JSON.parse(JSON.stringify(answer)) as unknown;
      },
    };
    const hub = new Hub({ clock, backplane: new MemoryBackplane(name) });
    const presence = new PresenceBook({ hub, backplane, isOn: (channel) => channel !== 'off' });
    nodes.set(name, { hub, presence, list: new ChannelList(hub, backplane) });
  }
  const join = (name: string, channel: string, id: string, user?: string) =>
    nodes.get(name)!.hub.subscribe(new Listener(id, user), subscription(channel));
  return { clock, deaf, join, at: (name: string) => nodes.get(name)! };
}

describe('who is in a channel', () => {
  it('is told over all nodes, with since when', async () => {
    const { join, at, clock } = cluster('n1', 'n2');
    void join('n1', 'c', 'n1.a', 'alice');
    clock.advance(1500);
    void join('n2', 'c', 'n2.b');
    expect(await at('n1').presence.of('c', 10)).toEqual({
      members: [
        { id: 'n1.a', user: 'alice', since: '2026-01-01T00:00:00.000Z' },
        { id: 'n2.b', since: '2026-01-01T00:00:01.500Z' },
      ],
      total: 2,
      missing: [],
    });
  });

  it('is cut to a limit, with the whole number', async () => {
    const { join, at } = cluster('n1', 'n2');
    for (const node of ['n1', 'n2']) {
      for (const id of ['a', 'b', 'c']) void join(node, 'c', `${node}.${id}`);
    }
    const presence = await at('n1').presence.of('c', 4);
    expect(presence!.members.map(({ id }) => id)).toEqual(['n1.a', 'n1.b', 'n1.c', 'n2.a']);
    expect(presence!.total).toBe(6);
  });

  it('names the nodes that did not answer', async () => {
    const { join, at, deaf } = cluster('n1', 'n2');
    void join('n1', 'c', 'n1.a');
    deaf.add('n2');
    expect(await at('n1').presence.of('c', 4)).toMatchObject({ total: 1, missing: ['n2'] });
  });

  it('is nobody’s business where it is off', async () => {
    expect(await cluster('n1').at('n1').presence.of('off', 4)).toBeUndefined();
  });
});

describe('the list of channels', () => {
  it('has each once, with its subscribers on all nodes, in pages by name', async () => {
    const { join, at } = cluster('n1', 'n2');
    for (const channel of ['b', 'd', 'a']) void join('n1', channel, `n1.${channel}`);
    for (const channel of ['c', 'a', 'e']) void join('n2', channel, `n2.${channel}`);
    const first = await at('n2').list.page(2);
    expect(first).toEqual({
      channels: [
        { channel: 'a', subscribers: 2 },
        { channel: 'b', subscribers: 1 },
      ],
      next: 'b',
      missing: [],
    });
    const second = await at('n1').list.page(2, first.next);
    expect(second.channels.map(({ channel }) => channel)).toEqual(['c', 'd']);
    const third = await at('n1').list.page(2, second.next);
    expect([third.channels.map(({ channel }) => channel), third.next]).toEqual([['e'], undefined]);
    expect(await at('n1').list.count('a')).toEqual({ subscribers: 2, missing: [] });
  });
});
