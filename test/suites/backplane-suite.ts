/** What nodes must do that hear of each other through a server, whatever that is. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Deps } from '../../src/base/deps.js';
import { systemDeps } from '../../src/base/system.js';
import type { Backplane } from '../../src/channels/types.js';
import { mortal, numbers, openNode, quickNodes, type TestNode } from '../fixtures/backplanes.js';
import { subscription, textItem } from '../fixtures/channels.js';
import type { Need } from '../fixtures/need.js';
import { quietPort } from '../fixtures/ports.js';

export interface BackplaneUnderTest {
  /** As its errors say it. */
  readonly label: string;
  readonly need: Need;
  /** One for all tests; each has names of its own on it. */
  start(): Promise<{ readonly url: string; stop(): Promise<void> }>;
  make(url: string, options: MakeOptions): Backplane;
  /** Whether all hear a channel in one order; else only what each publisher says is in order. */
  readonly hasOneOrder: boolean;
  /** Whether what a lost node kept is told with its loss. */
  readonly keepsSessions: boolean;
}

export interface MakeOptions {
  readonly deps: Deps;
  readonly node: string;
  readonly prefix: string;
}

export function backplaneSuite(kind: BackplaneUnderTest): void {
  const { label, need, keepsSessions } = kind;
  let server: Awaited<ReturnType<BackplaneUnderTest['start']>>;
  beforeAll(async () => {
    if (!need.missing) server = await kind.start();
  });
  afterAll(() => server?.stop());

  let tests = 0;
  /** The nodes of one test, by their names. */
  function group(): (name: string, deps?: Deps) => Promise<TestNode> {
    const prefix = `test${++tests}`;
    return async (name, deps = systemDeps) => {
      const opened = await openNode(kind.make(server.url, { deps, node: name, prefix }));
      onTestFinished(() => opened.close());
      return opened;
    };
  }

  async function two(): Promise<[TestNode, TestNode]> {
    const node = group();
    return [await node('n1'), await node('n2')];
  }

  describe.skipIf(need.missing)(`nodes on ${label}${need.note}`, () => {
    it.each(['kept', 'gone'])(
      'carry what is published on any to all that listen, in order (%s)',
      async (channel) => {
        const node = group();
        const nodes = await Promise.all(['n1', 'n2', 'n3'].map((name) => node(name)));
        const listeners = await Promise.all(nodes.map((each) => each.listen(channel)));
        await Promise.all(
          nodes.map((each, i) => each.say(channel, ...numbers(1, 200).map((n) => `${i}:${n}`))),
        );
        await nodes[0]!.say(channel, 'end');
        await Promise.all(listeners.map(({ heard }) => heard.next((text) => text === 'end')));
        for (const { texts } of listeners) {
          expect(texts).toHaveLength(601);
          if (kind.hasOneOrder) expect(texts).toEqual(listeners[0]!.texts);
          for (const i of [0, 1, 2]) {
            const ofOne = texts.filter((text) => text.startsWith(`${i}:`));
            expect(ofOne).toEqual(numbers(1, 200).map((n) => `${i}:${n}`));
          }
        }
        for (const each of nodes) expect([each.gaps.all, each.trouble]).toEqual([[], []]);
      },
    );

    it('say what became of an item where it was published', async () => {
      const [a, b] = await two();
      await a.listen('c');
      await b.listen('c');
      await b.listen('c');
      expect(await a.hub.publish(textItem('c', 'x'))).toEqual({
        delivered: 1,
        dropped: 0,
        sequence: 'in-order',
      });
      expect(await b.hub.publish(textItem('c', 'x'))).toMatchObject({ delivered: 2 });
      expect(await b.hub.publish(textItem('nobody', 'x'))).toMatchObject({ delivered: 0 });
      expect(await a.hub.publish(textItem('c', 'x', { id: '1' }))).toMatchObject({ sequence: 'in-order' });
      expect(await b.hub.publish(textItem('c', 'x', { id: '1' }))).toMatchObject({ sequence: 'duplicate' });
    });

    it.each(['a.b', '>', '*', 'x y\tz', 'ü.*.>', '%', "(!~')", 'kept {x}{} % ü\n*'])(
      'know the channel %j as its own, with filters and bytes unchanged',
      async (channel) => {
        const [a, b] = await two();
        const listener = await b.listen(channel);
        const other = await b.listen('other');
        const content = Buffer.from([0, 255, 10, 13]);
        const item = textItem(channel, '', {
          meta: { sender: 'me' },
          wsMessage: { action: 'send', type: 'binary', content, contentFilters: ['build-id'] },
        });
        await a.hub.publish(item);
        await a.say('other', 'for the other');
        await Promise.all([listener.heard.next(), other.heard.next()]);
        expect(listener.items.map((each) => each.item)).toEqual([item]);
        expect(other.texts).toEqual(['for the other']);
      },
    );

    it('hear nothing more of a channel that the last one left', async () => {
      const [a, b] = await two();
      const listener = await b.listen('c');
      b.hub.leaveAll(listener);
      await b.hub.subscribe(listener, subscription('c'));
      await a.say('c', 'one');
      await listener.heard.next();
      b.hub.leaveAll(listener);
      await a.say('c', 'two');
      const other = await b.listen('c');
      await a.say('c', 'three');
      await other.heard.next();
      expect([listener.texts, other.texts]).toEqual([['one'], ['three']]);
    });

    it('ask each other for sessions, lists and members', async () => {
      const [a, b] = await two();
      await expect.poll(() => [a.backplane.nodes(), b.backplane.nodes()]).toEqual([['n2'], ['n1']]);
      const said: unknown[] = [];
      const id = b.directory.newId();
      b.directory.add({
        id,
        send: (type, content) => (said.push([type, content]), { ok: true }),
        close: () => ({ ok: false, why: 'closing' }),
        info: () => ({ remote: '192.0.2.1' }),
      });
      const content = Buffer.from([1, 255]);
      expect(await a.directory.ask({ id, what: 'send', type: 'binary', content })).toEqual({ ok: true });
      expect(said).toEqual([['binary', content]]);
      const answer = await a.directory.ask({ id, what: 'close', code: 4000, reason: '' });
      expect(answer).toEqual({ ok: false, why: 'closing' });
      for (const nobody of ['n2.nobody', 'n9.nobody', 'no node.nobody', '>.nobody']) {
        expect(await a.directory.ask({ id: nobody, what: 'info' })).toBeUndefined();
      }
      expect((await a.directory.page(10)).sessions).toEqual([{ id, remote: '192.0.2.1' }]);
      expect(await a.directory.count()).toEqual({ sessions: 1, missing: [] });
      const listener = await b.listen('c');
      expect(await a.presence.of('c', 10)).toMatchObject({ total: 1, members: [{ id: listener.id }] });
      expect((await a.list.page(10)).channels).toEqual([{ channel: 'c', subscribers: 1 }]);
    });

    it(`refuse to start where there is no ${label}, in one line without the password`, async () => {
      const url = `${new URL(server.url).protocol}//user:secret@127.0.0.1:${await quietPort()}`;
      const opening = openNode(kind.make(url, { deps: systemDeps, node: 'n1', prefix: 'none' }));
      await expect(opening).rejects.toThrow(
        new RegExp(
          `^${label} at 127\\.0\\.0\\.1:\\d+ cannot be reached: .*(ECONNREFUSED|connection refused)`,
        ),
      );
      await expect(opening).rejects.not.toThrow(/secret/);
    });
  });

  describe.skipIf(need.missing)(`a node that dies beside ${label}${need.note}`, () => {
    it('is told of once, on one of the others, with what it kept where that is known', async () => {
      const node = group();
      const { deps, die } = mortal();
      const dead = await node('dead', deps);
      const others = await Promise.all(['n1', 'n2', 'n3'].map((name) => node(name)));
      dead.backplane.keep('dead.1', () => 'old');
      dead.backplane.keep('dead.1', () => 'one');
      dead.backplane.keep('dead.2', () => 'two');
      dead.backplane.keep('dead.3', () => 'three');
      dead.backplane.forget('dead.3');
      const knowIt = () => others.map((each) => each.backplane.nodes().includes('dead'));
      await expect.poll(knowIt).toEqual([true, true, true]);
      die();
      const lost = await Promise.race(others.map((each) => each.lost.next()));
      expect(lost.node).toBe('dead');
      const kept = [
        { id: 'dead.1', record: 'one' },
        { id: 'dead.2', record: 'two' },
      ];
      const told = [...lost.sessions].sort((x, y) => x.id.localeCompare(y.id));
      expect(told).toEqual(keepsSessions ? kept : []);
      // The others have looked again since, more than once.
      await expect.poll(knowIt).toEqual([false, false, false]);
      await sleep(5 * quickNodes.beatMs);
      expect(others.flatMap((each) => each.lost.all)).toHaveLength(1);
    });

    it('is not lost when it says goodbye', async () => {
      const [a, b] = await two();
      await expect.poll(() => a.backplane.nodes()).toEqual(['n2']);
      b.backplane.keep('n2.1', () => 'x');
      await b.close();
      await expect.poll(() => a.backplane.nodes()).toEqual([]);
      await sleep(quickNodes.lostAfterMs + 3 * quickNodes.beatMs);
      expect(a.lost.all).toEqual([]);
    });
  });
}
