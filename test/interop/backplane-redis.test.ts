import { createClient } from 'redis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemDeps } from '../../src/base/system.js';
import { RedisBackplane, type RedisOptions } from '../../src/channels/backplane/redis.js';
import { resume } from '../../src/channels/resume.js';
import {
  historyOfKept,
  keptRule,
  mortal,
  numbers,
  openNode,
  quickNodes,
  type TestNode,
} from '../fixtures/backplanes.js';
import { Listener, subscription } from '../fixtures/channels.js';
import { needRedis, type RedisServer, type RedisServerOptions, startRedis } from '../fixtures/peers/redis.js';
import { backplaneSuite } from '../suites/backplane-suite.js';
import { lostNodesSuite } from '../suites/lost-nodes-suite.js';

const common = { history: historyOfKept, ...quickNodes, maxReconnectDelayMs: 50 };

backplaneSuite({
  label: 'Redis',
  need: needRedis,
  start: startRedis,
  make: (url, options) => new RedisBackplane({ servers: { urls: [url] }, ...common, ...options }),
  hasOneOrder: true,
  keepsSessions: true,
});

lostNodesSuite({
  label: 'Redis',
  need: needRedis,
  start: startRedis,
  make: (url, options) => new RedisBackplane({ servers: { urls: [url] }, ...common, ...options }),
  count: async (url, prefix, life) => {
    const key = `${prefix}:{nodes}:sessions:${life}`;
    // One is the number of the last write.
    const [sessions, other] = [await say(url, 'HLEN', key), await say(url, 'HEXISTS', key, '')];
    return Number(sessions) - Number(other);
  },
  wipe: async (url) => void (await say(url, 'FLUSHALL')),
});

async function say(url: string, ...command: string[]): Promise<unknown> {
  const client = createClient({ url, RESP: 2 });
  await client.connect();
  const answer: unknown = await client.sendCommand(command);
  client.destroy();
  return answer;
}

async function redis(options?: RedisServerOptions): Promise<RedisServer> {
  const server = await startRedis(options);
  onTestFinished(() => server.stop());
  return server;
}

async function node(server: RedisServer, name: string, more: Partial<RedisOptions> = {}): Promise<TestNode> {
  const servers = { urls: [server.url] };
  const options = { deps: systemDeps, node: name, servers, ...common, ...more };
  const opened = await openNode(new RedisBackplane(options));
  onTestFinished(() => opened.close());
  return opened;
}

describe.skipIf(needRedis.missing)(`nodes on a cluster of Redis${needRedis.note}`, () => {
  it('hear and ask each other by sharded pub/sub', async () => {
    const server = await redis({ cluster: true });
    const servers = { urls: [server.url], cluster: true };
    const nodes = await Promise.all(['n1', 'n2'].map((name) => node(server, name, { servers })));
    const [a, b] = nodes as [TestNode, TestNode];
    for (const channel of ['kept', 'gone', 'kept }{ x']) {
      const listeners = [await a.listen(channel), await b.listen(channel)];
      await Promise.all(nodes.map((each, i) => each.say(channel, ...numbers(1, 50).map((n) => `${i}:${n}`))));
      await a.say(channel, 'end');
      await Promise.all(listeners.map(({ heard }) => heard.next((text) => text === 'end')));
      expect(listeners[0]!.texts).toHaveLength(101);
      expect(listeners[1]!.texts).toEqual(listeners[0]!.texts);
    }
    await expect.poll(() => a.backplane.nodes()).toEqual(['n2']);
    expect(await a.directory.count()).toEqual({ sessions: 0, missing: [] });
    expect(await a.directory.ask({ id: 'n2.nobody', what: 'info' })).toBeUndefined();
    const listener = await b.listen('kept');
    await server.kill();
    await b.links.next(({ state }) => state === 'down');
    await server.restart();
    for (const each of nodes) await each.links.next(({ state }) => state === 'up');
    expect(await b.gaps.next(({ channel }) => channel === 'kept')).toEqual({
      channel: 'kept',
      missed: undefined,
    });
    await a.say('kept', 'again');
    await listener.heard.next((text) => text === 'again');
    // It takes a while until it is a cluster again.
    for (const { trouble } of nodes) {
      expect(trouble.filter((line) => !line.includes('CLUSTERDOWN'))).toEqual([]);
      expect(trouble.length).toBeLessThanOrEqual(1);
    }
  });

  it('tell of the sessions of one that is lost', async () => {
    const server = await redis({ cluster: true });
    const servers = { urls: [server.url], cluster: true };
    const { deps, die } = mortal();
    const dead = await node(server, 'dead', { servers, deps });
    const other = await node(server, 'n1', { servers });
    dead.backplane.keep('dead.1', () => 'x');
    await expect.poll(() => other.backplane.nodes()).toEqual(['dead']);
    die();
    expect(await other.lost.next()).toEqual({ node: 'dead', sessions: [{ id: 'dead.1', record: 'x' }] });
    expect([dead.trouble, other.trouble]).toEqual([[], []]);
  });
});

describe.skipIf(needRedis.missing)(`history in Redis${needRedis.note}`, () => {
  it('is read on another node than it was heard on', async () => {
    const server = await redis();
    const [a, b] = [await node(server, 'n1'), await node(server, 'n2')];
    const first = await a.listen('kept');
    await a.say('kept', 'one', 'two', 'three');
    await first.heard.next((text) => text === 'three');
    const { place } = first.items[0]!;
    a.hub.leaveAll(first);
    const second = new Listener(b.directory.newId());
    expect(await resume(b.hub, second, subscription('kept'), place)).toEqual({
      recovered: true,
      messages: 2,
    });
    await b.say('kept', 'four');
    expect(second.texts).toEqual(['two', 'three', 'four']);
    const { recovered } = await b.backplane.since('kept', { ...place!, epoch: '1' });
    expect(recovered).toBe(false);
    expect(await b.backplane.since('gone', place)).toMatchObject({ recovered: false, place: undefined });
  });

  it('is known from before the first message on', async () => {
    const server = await redis();
    const a = await node(server, 'n1');
    const { place } = await a.backplane.since('kept', undefined);
    expect(place!.offset).toBe(0);
    await a.say('kept', 'one');
    const { recovered, messages } = await a.backplane.since('kept', place);
    expect([recovered, messages.length]).toEqual([true, 1]);
  });

  it.each([
    ['messages', { maxMessages: 2 }],
    ['bytes', { maxBytes: 250 }],
  ])('is bounded in %s, and never given in part', async (_, bound) => {
    const server = await redis();
    const a = await node(server, 'n1', { history: () => ({ ...keptRule, ...bound }) });
    const { place } = await a.backplane.since('kept', undefined);
    await a.say('kept', ...['1', '2', '3', '4'].map((text) => text.repeat(50)));
    const at = async (offset: number) => (await a.backplane.since('kept', { ...place!, offset })).recovered;
    expect([await at(0), await at(1), await at(2), await at(3), await at(4), await at(5)]).toEqual([
      false,
      false,
      true,
      true,
      true,
      false,
    ]);
  });

  it('is bounded in time', async () => {
    const server = await redis();
    const a = await node(server, 'n1', { history: () => ({ ...keptRule, maxAgeMs: 200 }) });
    const { place } = await a.backplane.since('kept', undefined);
    await a.say('kept', 'one');
    await expect.poll(async () => (await a.backplane.since('kept', place)).recovered).toBe(false);
    const after = await a.backplane.since('kept', { ...place!, offset: 1 });
    expect([after.recovered, after.messages]).toEqual([true, []]);
  });
});

describe.skipIf(needRedis.missing)(`a Redis that dies and comes again${needRedis.note}`, () => {
  it('costs no message that was taken, where the history is on disk: each once, in order', async () => {
    const server = await redis({ persistent: true });
    const [a, b] = [await node(server, 'n1'), await node(server, 'n2')];
    const listeners = [await a.listen('kept'), await b.listen('kept')];
    const taken: string[] = [];
    const refused: string[] = [];
    const publish = async (text: string): Promise<void> => {
      try {
        await a.say('kept', text);
        taken.push(text);
      } catch (error) {
        refused.push((error as Error).message);
      }
    };
    for (const text of numbers(1, 50)) await publish(text);
    // In mid-flow: some of these are on their way.
    const flow = Promise.all(numbers(51, 100).map(publish));
    await server.kill();
    await flow;
    await publish('while it is down');
    expect(refused.at(-1)).toMatch(/^Redis at 127\.0\.0\.1:\d+ is not reachable: /);
    await server.restart();
    for (const each of [a, b]) await each.links.next(({ state }) => state === 'up');
    for (const text of [...numbers(101, 150), 'end']) await publish(text);
    await Promise.all(listeners.map(({ heard }) => heard.next((text) => text === 'end')));
    for (const { texts } of listeners) {
      expect(texts).toEqual(expect.arrayContaining(taken));
      expect(new Set(texts).size).toBe(texts.length);
      // What was refused in mid-flow may have been taken all the same.
      const inOrder = texts.filter((text) => taken.includes(text));
      expect(inOrder).toEqual(taken);
    }
    expect(listeners[0]!.texts).toEqual(listeners[1]!.texts);
    for (const each of [a, b]) {
      expect(each.links.all.map(({ state }) => state)).toEqual(['down', 'up']);
      expect(each.gaps.all).toEqual([]);
    }
  });

  it('is a gap that is told where it has forgotten all, with a history', async () => {
    const server = await redis();
    const a = await node(server, 'n1');
    const listener = await a.listen('kept');
    await a.say('kept', 'one', 'two');
    await listener.heard.next((text) => text === 'two');
    const { place } = listener.items[1]!;
    await server.kill();
    await server.restart();
    await a.links.next(({ state }) => state === 'up');
    expect(await a.gaps.next()).toEqual({ channel: 'kept', missed: undefined });
    await a.say('kept', 'three');
    await listener.heard.next((text) => text === 'three');
    expect(listener.texts).toEqual(['one', 'two', 'three']);
    expect((await a.backplane.since('kept', place)).recovered).toBe(false);
  });

  it('is a gap that is told, without a history', async () => {
    const server = await redis();
    const a = await node(server, 'n1');
    const listener = await a.listen('gone');
    await a.say('gone', 'one');
    await listener.heard.next();
    await server.kill();
    const down = await a.links.next();
    expect(down.detail).toMatch(/^Redis at 127\.0\.0\.1:\d+: /);
    await server.restart();
    await a.links.next(({ state }) => state === 'up');
    expect(await a.gaps.next()).toEqual({ channel: 'gone', missed: undefined });
    await a.say('gone', 'two');
    await listener.heard.next((text) => text === 'two');
  });

  it('joins what was joined while it was away', async () => {
    const server = await redis();
    const a = await node(server, 'n1');
    await server.kill();
    await a.links.next(({ state }) => state === 'down');
    const listening = [a.listen('kept'), a.listen('gone')];
    await server.restart();
    const [one, two] = await Promise.all(listening);
    await a.links.next(({ state }) => state === 'up');
    await a.say('kept', 'x');
    await a.say('gone', 'y');
    await Promise.all([one!.heard.next(), two!.heard.next()]);
  });
});

describe.skipIf(needRedis.missing)(`a node beside a Redis that dies${needRedis.note}`, () => {
  it('is not taken for dead because Redis was away for long, and keeps its sessions', async () => {
    const server = await redis({ persistent: true });
    const { deps, die } = mortal();
    const b = await node(server, 'n2', { deps });
    const a = await node(server, 'n1');
    b.backplane.keep('n2.1', () => 'x');
    await expect.poll(() => a.backplane.nodes()).toEqual(['n2']);
    await server.kill();
    b.backplane.keep('n2.2', () => 'kept while it was away');
    await new Promise((resolve) => setTimeout(resolve, 2 * quickNodes.lostAfterMs));
    await server.restart();
    await Promise.all([a, b].map((each) => each.links.next(({ state }) => state === 'up')));
    await expect.poll(() => [a.backplane.nodes(), b.backplane.nodes()]).toEqual([['n2'], ['n1']]);
    expect([a.lost.all, b.lost.all]).toEqual([[], []]);
    die();
    expect((await a.lost.next()).sessions).toHaveLength(2);
  });
});
