/** What becomes of the sessions of a node that is lost, or was thought to be, where the server can keep them. */
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { systemDeps } from '../../src/base/system.js';
import type { BackplaneHandlers } from '../../src/channels/types.js';
import { mortal, numbers, openNode, type TestNode } from '../fixtures/backplanes.js';
import { cuttable, type Cuttable } from '../fixtures/cuttable.js';
import type { BackplaneUnderTest } from './backplane-suite.js';

export interface LostNodesUnderTest extends Pick<BackplaneUnderTest, 'label' | 'need' | 'start' | 'make'> {
  /** How many sessions the server has of a life of a node. */
  count(url: string, prefix: string, life: string): Promise<number>;
  /** The server forgets everything. */
  wipe(url: string, prefix: string): Promise<void>;
}

type Tell = BackplaneHandlers['onNodeLost'];

type Lost = TestNode['lost']['all'][number];

interface Member extends TestNode {
  readonly link: Cuttable;
}

export function lostNodesSuite(kind: LostNodesUnderTest): void {
  const { label, need } = kind;
  let server: Awaited<ReturnType<LostNodesUnderTest['start']>>;
  beforeAll(async () => {
    if (!need.missing) server = await kind.start();
  });
  afterAll(() => server?.stop());

  let tests = 0;
  /** The nodes of one test, each with its own way to the server. */
  class Group {
    readonly prefix = `lost${++tests}`;

    async node(name: string, tell?: Tell, deps = systemDeps): Promise<Member> {
      const link = await cuttable(server.url);
      const { prefix } = this;
      const opened = await openNode(kind.make(link.url, { deps, node: name, prefix }), tell);
      onTestFinished(async () => {
        await opened.close();
        await link.stop();
      });
      return { ...opened, link };
    }

    count(node: string, life = 1): Promise<number> {
      return kind.count(server.url, this.prefix, `${node}.${life}`);
    }

    async kept(node: TestNode, ids: readonly string[]): Promise<void> {
      for (const id of ids) node.backplane.keep(id, () => `of ${id}`);
      await expect.poll(() => this.count(node.backplane.node)).toBe(ids.length);
    }

    wipe(): Promise<void> {
      return kind.wipe(server.url, this.prefix);
    }
  }

  /** Tells of the first, and then of no more. */
  function stuckAfterOne(): { readonly tell: Tell; readonly told: string[] } {
    const told: string[] = [];
    const tell: Tell = async (node, [first], isTold) => {
      if (node !== 'dead' || first === undefined) return;
      told.push(first.id);
      isTold(first.id);
      await new Promise(() => {});
    };
    return { tell, told };
  }

  /** Of two, who is the first to tell of the dead, and what the other has to tell of it later. */
  async function firstOf(tellers: readonly Member[]): Promise<[Member, Promise<Lost>]> {
    const lost = tellers.map((each) => each.lost.next(isOfDead));
    const first = await Promise.race(lost.map(async (each, i) => (await each, i)));
    return [tellers[first]!, lost[1 - first]!];
  }

  const isOfDead = ({ node }: { readonly node: string }) => node === 'dead';
  const idsOf = (lost: Lost) => lost.sessions.map(({ id }) => id).sort();
  const ids = ['dead.1', 'dead.2', 'dead.3'];

  describe.skipIf(need.missing)(`sessions of a lost node beside ${label}${need.note}`, () => {
    it('are told of once, on one of the others, a thousand of them, as they were kept last', async () => {
      const group = new Group();
      const dead = await group.node('dead');
      const others = [await group.node('n1'), await group.node('n2')];
      const many = numbers(1, 1000).map((n) => `dead.${n}`);
      await group.kept(dead, many);
      for (const id of many.slice(0, 100)) dead.backplane.forget(id);
      await expect.poll(() => group.count('dead')).toBe(900);
      dead.backplane.keep('dead.1000', () => 'the last word');
      dead.backplane.keep('dead.1001', () => 'written with it');
      await expect.poll(() => group.count('dead')).toBe(901);
      dead.link.cut();
      const lost = await Promise.race(others.map((each) => each.lost.next(isOfDead)));
      expect(idsOf(lost)).toEqual([...many.slice(100), 'dead.1001'].sort());
      const records = new Map(lost.sessions.map(({ id, record }) => [id, record]));
      expect([records.get('dead.500'), records.get('dead.1000')]).toEqual(['of dead.500', 'the last word']);
      await expect.poll(() => group.count('dead')).toBe(0);
      await expect.poll(() => others.map((each) => each.backplane.nodes())).toEqual([['n2'], ['n1']]);
      expect(others.flatMap((each) => each.lost.all)).toHaveLength(1);
    });

    it('are told of to the end by another, when the first who tells of them dies of it', async () => {
      const group = new Group();
      const dead = await group.node('dead');
      const stuck = [stuckAfterOne(), stuckAfterOne()];
      const tellers = [await group.node('n1', stuck[0]!.tell), await group.node('n2', stuck[1]!.tell)];
      await group.kept(dead, ids);
      dead.link.cut();
      const [first, others] = await firstOf(tellers);
      await expect.poll(() => group.count('dead')).toBe(2);
      first.link.cut();
      const rest = await others;
      const told = stuck.flatMap((each) => each.told);
      expect(idsOf(rest)).toHaveLength(2);
      expect(new Set([told[0], ...idsOf(rest)])).toEqual(new Set(ids));
      expect(first.lost.all).toHaveLength(1);
    });

    it('are told of to the end by another, when the first says goodbye', async () => {
      const group = new Group();
      const dead = await group.node('dead');
      const stuck = stuckAfterOne();
      const tellers = [await group.node('n1', stuck.tell), await group.node('n2', stuck.tell)];
      await group.kept(dead, ids);
      dead.link.cut();
      const [first, others] = await firstOf(tellers);
      await first.close();
      const rest = await others;
      expect(idsOf(rest)).toHaveLength(2);
      expect(new Set([stuck.told[0], ...idsOf(rest)])).toEqual(new Set(ids));
    });

    it('are told of to the end by another, when the first gives up as it stops', async () => {
      const group = new Group();
      const dead = await group.node('dead');
      let giveUp = (): void => {};
      const stopped = new Promise<void>((resolve) => (giveUp = resolve));
      const tell: Tell = async (_, [first], isTold) => {
        if (first !== undefined) isTold(first.id);
        await stopped;
      };
      const tellers = [await group.node('n1', tell), await group.node('n2', tell)];
      await group.kept(dead, ids);
      dead.link.cut();
      const [first, others] = await firstOf(tellers);
      await expect.poll(() => group.count('dead')).toBe(2);
      giveUp();
      await stopped;
      await first.close();
      expect(idsOf(await others)).toHaveLength(2);
    });

    it('are told of once by who loses its link for a moment meanwhile', async () => {
      const group = new Group();
      const dead = await group.node('dead');
      const tell: Tell = async (node, sessions, isTold) => {
        if (node !== 'dead') return;
        const teller = nodes.find((each) => each.lost.all.length > 0)!;
        teller.link.cut();
        await teller.links.next(({ state }) => state === 'down');
        for (const { id } of sessions) isTold(id);
        teller.link.mend();
        await teller.links.next(({ state }) => state === 'up');
      };
      const nodes = [await group.node('n1', tell), await group.node('n2', tell)];
      await group.kept(dead, ids);
      dead.link.cut();
      await Promise.race(nodes.map((each) => each.lost.next(isOfDead)));
      await expect.poll(() => group.count('dead')).toBe(0);
      await expect.poll(() => nodes.map((each) => each.backplane.nodes())).toEqual([['n2'], ['n1']]);
      expect(nodes.flatMap((each) => each.lost.all)).toHaveLength(1);
    });

    it('are not told of when it said goodbye, nor kept', async () => {
      const group = new Group();
      const [a, b] = [await group.node('n1'), await group.node('n2')];
      await group.kept(b, ['n2.1']);
      await b.close();
      await expect.poll(() => group.count('n2')).toBe(0);
      // Another that dies after it is told of, and it is not.
      const dead = await group.node('dead');
      await group.kept(dead, ids);
      dead.link.cut();
      await a.lost.next(isOfDead);
      expect(a.lost.all).toHaveLength(1);
    });
  });

  describe.skipIf(need.missing)(`a node that comes back to ${label}${need.note}`, () => {
    it('hears once which of its sessions are gone, and lives on with the others', async () => {
      const group = new Group();
      const [a, dead] = [await group.node('n1'), await group.node('dead')];
      await group.kept(dead, ids);
      dead.link.cut();
      await a.lost.next(isOfDead);
      dead.backplane.keep('dead.new', () => 'opened while it was away');
      dead.backplane.forget('dead.3');
      dead.link.mend();
      expect([...(await dead.outcasts.next())].sort()).toEqual(['dead.1', 'dead.2']);
      dead.backplane.keep('dead.1', () => 'of one who is gone');
      for (const id of ['dead.1', 'dead.2']) dead.backplane.forget(id);
      await expect.poll(() => [a.backplane.nodes(), dead.backplane.nodes()]).toEqual([['dead'], ['n1']]);
      expect(await a.directory.count()).toEqual({ sessions: 0, missing: [] });
      dead.backplane.keep('dead.newer', () => 'x');
      await expect.poll(() => group.count('dead', 2)).toBe(2);
      dead.link.cut();
      const again = await a.lost.next(isOfDead);
      expect(idsOf(again)).toEqual(['dead.new', 'dead.newer']);
      expect([dead.outcasts.all.length, a.lost.all.length]).toEqual([1, 2]);
    });

    it('does not take for gone what it could not have kept any more', async () => {
      const group = new Group();
      const [a, dead] = [await group.node('n1'), await group.node('dead')];
      await group.kept(dead, ids);
      dead.link.freeze();
      dead.backplane.keep('dead.new', () => 'on its way for ever');
      expect(idsOf(await a.lost.next(isOfDead))).toEqual(ids);
      dead.link.cut();
      dead.link.mend();
      expect([...(await dead.outcasts.next())].sort()).toEqual(ids);
      await expect.poll(() => a.backplane.nodes()).toEqual(['dead']);
      await expect.poll(() => group.count('dead', 2)).toBe(1);
      dead.link.cut();
      expect(idsOf(await a.lost.next(isOfDead))).toEqual(['dead.new']);
    });

    it('hears of it by the first that it would keep, where it could not before', async () => {
      const group = new Group();
      const { deps, die } = mortal();
      const [a, dead] = [await group.node('n1'), await group.node('dead', undefined, deps)];
      await group.kept(dead, ids);
      die();
      await a.lost.next(isOfDead);
      dead.backplane.keep('dead.1', () => 'not again');
      dead.backplane.keep('dead.new', () => 'opened meanwhile');
      expect([...(await dead.outcasts.next())].sort()).toEqual(ids);
      await expect.poll(() => a.backplane.nodes()).toEqual(['dead']);
      expect(idsOf(await a.lost.next(isOfDead))).toEqual(['dead.new']);
      expect(a.lost.all).toHaveLength(2);
    });

    it('and was not missed yet goes on as before', async () => {
      const group = new Group();
      const [a, dead] = [await group.node('n1'), await group.node('dead')];
      await group.kept(dead, ids);
      dead.link.cut();
      await dead.links.next(({ state }) => state === 'down');
      dead.backplane.keep('dead.new', () => 'opened while it was away');
      dead.backplane.keep('dead.newer', () => 'opened while it was away');
      dead.backplane.forget('dead.3');
      dead.link.mend();
      await dead.links.next(({ state }) => state === 'up');
      const expected = ['dead.1', 'dead.2', 'dead.new', 'dead.newer'];
      await expect.poll(() => group.count('dead')).toBe(expected.length);
      dead.link.cut();
      expect(idsOf(await a.lost.next(isOfDead))).toEqual(expected);
      expect(dead.outcasts.all).toEqual([]);
    });

    it('that has forgotten everything writes its sessions again, and is no outcast', async () => {
      const group = new Group();
      const [a, dead] = [await group.node('n1'), await group.node('dead')];
      await group.kept(dead, ids);
      await group.wipe();
      await expect.poll(() => group.count('dead')).toBe(ids.length);
      await expect.poll(() => a.backplane.nodes()).toEqual(['dead']);
      dead.link.cut();
      expect(idsOf(await a.lost.next(isOfDead))).toEqual(ids);
      expect(dead.outcasts.all).toEqual([]);
    });
  });
}
