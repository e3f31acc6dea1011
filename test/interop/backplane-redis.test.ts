import { afterEach, describe, expect, it } from 'vitest';
import { systemDeps } from '../../src/base/system.js';
import { RedisBackplane, type RedisOptions } from '../../src/channels/backplane/redis.js';
import { resume } from '../../src/channels/resume.js';
import { openNode, type TestNode } from '../fixtures/backplanes.js';
import { Listener, subscription, textItem } from '../fixtures/channels.js';
import { freePort } from '../fixtures/peers/pebble.js';
import { needRedis, type RedisServer, type RedisServerOptions, startRedis } from '../fixtures/peers/redis.js';

const kept = { maxMessages: 1000, maxAgeMs: 60_000, maxBytes: 1_000_000 };
const quick = { beatMs: 50, lostAfterMs: 1500, maxReconnectDelayMs: 50 };

const toStop: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of toStop.splice(0).reverse()) await stop();
});

async function redis(options?: RedisServerOptions): Promise<RedisServer> {
  const server = await startRedis(options);
  toStop.push(() => server.stop());
  return server;
}

async function node(server: RedisServer, name: string, more: Partial<RedisOptions> = {}): Promise<TestNode> {
  const history = (channel: string) => (channel.startsWith('kept') ? kept : undefined);
  const servers = { urls: [server.url] };
  const opened = await openNode(
    new RedisBackplane({ deps: systemDeps, node: name, servers, history, ...quick, ...more }),
  );
  toStop.push(() => opened.close());
  return opened;
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => `${from + i}`);

describe.skipIf(needRedis.missing)(`nodes on Redis${needRedis.note}`, () => {
  it.each(['kept', 'gone'])(
    'carry what is published on any to all that listen, in one order (%s)',
    async (channel) => {
      const server = await redis();
      const nodes = await Promise.all(['n1', 'n2', 'n3'].map((name) => node(server, name)));
      const listeners = await Promise.all(nodes.map((each) => each.listen(channel)));
      await Promise.all(
        nodes.map((each, i) => each.say(channel, ...numbers(1, 200).map((n) => `${i}:${n}`))),
      );
      await nodes[0]!.say(channel, 'end');
      await Promise.all(listeners.map(({ heard }) => heard.next((text) => text === 'end')));
      expect(listeners[0]!.texts).toHaveLength(601);
      expect(new Set(listeners[0]!.texts).size).toBe(601);
      expect(listeners[1]!.texts).toEqual(listeners[0]!.texts);
      expect(listeners[2]!.texts).toEqual(listeners[0]!.texts);
      for (const each of nodes) expect([each.gaps.all, each.trouble]).toEqual([[], []]);
    },
  );

  it('say what became of an item where it was published', async () => {
    const server = await redis();
    const [a, b] = [await node(server, 'n1'), await node(server, 'n2')];
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

  it('carry binary content, filters and odd names unchanged', async () => {
    const server = await redis();
    const [a, b] = [await node(server, 'n1'), await node(server, 'n2')];
    const channel = 'kept {x}{} % ü\n*';
    const listener = await b.listen(channel);
    const content = Buffer.from([0, 255, 10, 13]);
    const item = textItem(channel, '', {
      meta: { sender: 'me' },
      wsMessage: { action: 'send', type: 'binary', content, contentFilters: ['build-id'] },
    });
    await a.hub.publish(item);
    await listener.heard.next();
    expect(listener.items[0]!.item).toEqual(item);
  });

  it('hear nothing more of a channel that the last one left', async () => {
    const server = await redis();
    const [a, b] = [await node(server, 'n1'), await node(server, 'n2')];
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
    const server = await redis();
    const [a, b] = [await node(server, 'n1'), await node(server, 'n2')];
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
    expect(await a.directory.ask({ id: 'n2.nobody', what: 'info' })).toBeUndefined();
    expect(await a.directory.ask({ id: 'n9.nobody', what: 'info' })).toBeUndefined();
    expect(await a.directory.ask({ id: 'no node', what: 'info' })).toBeUndefined();
    expect((await a.directory.page(10)).sessions).toEqual([{ id, remote: '192.0.2.1' }]);
    expect(await a.directory.count()).toEqual({ sessions: 1, missing: [] });
    const listener = await b.listen('c');
    expect(await a.presence.of('c', 10)).toMatchObject({ total: 1, members: [{ id: listener.id }] });
    expect((await a.list.page(10)).channels).toEqual([{ channel: 'c', subscribers: 1 }]);
  });

  it('do all that on a cluster, by sharded pub/sub', async () => {
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

  it('refuse to start where there is no Redis, in one line without the password', async () => {
    const url = `redis://user:secret@127.0.0.1:${await freePort()}`;
    const opening = openNode(new RedisBackplane({ deps: systemDeps, node: 'n1', servers: { urls: [url] } }));
    await expect(opening).rejects.toThrow(
      /^Redis at 127\.0\.0\.1:\d+ cannot be reached: connect ECONNREFUSED/,
    );
    await expect(opening).rejects.not.toThrow(/secret/);
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
    expect(await resume(b, second, subscription('kept'), place)).toEqual({ recovered: true, messages: 2 });
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
    const a = await node(server, 'n1', { history: () => ({ ...kept, ...bound }) });
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
    const a = await node(server, 'n1', { history: () => ({ ...kept, maxAgeMs: 200 }) });
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

describe.skipIf(needRedis.missing)(`a node that dies${needRedis.note}`, () => {
  /** Its signs of life can be stopped, and nothing else is heard of it. */
  function mortal() {
    let isAlive = true;
    const clock = {
      ...systemDeps.clock,
      every: (ms: number, fn: () => void) => systemDeps.clock.every(ms, () => isAlive && fn()),
    };
    return { deps: { ...systemDeps, clock }, die: () => (isAlive = false) };
  }

  it('is told of once, on one of the others, with the sessions that it kept', async () => {
    const server = await redis();
    const { deps, die } = mortal();
    const dead = await node(server, 'dead', { deps });
    const others = await Promise.all(['n1', 'n2', 'n3'].map((name) => node(server, name)));
    dead.backplane.keep({ id: 'dead.1', record: 'old' });
    dead.backplane.keep({ id: 'dead.1', record: 'one' });
    dead.backplane.keep({ id: 'dead.2', record: 'two' });
    dead.backplane.keep({ id: 'dead.3', record: 'three' });
    dead.backplane.forget('dead.3');
    await expect.poll(() => others[0]!.backplane.nodes()).toContain('dead');
    die();
    const lost = await Promise.race(others.map((each) => each.lost.next()));
    expect(lost.node).toBe('dead');
    expect([...lost.sessions].sort((x, y) => x.id.localeCompare(y.id))).toEqual([
      { id: 'dead.1', record: 'one' },
      { id: 'dead.2', record: 'two' },
    ]);
    // The others have looked again since, more than once.
    await expect
      .poll(() => others.map((each) => each.backplane.nodes().includes('dead')))
      .not.toContain(true);
    await new Promise((resolve) => setTimeout(resolve, 5 * quick.beatMs));
    expect(others.flatMap((each) => each.lost.all)).toHaveLength(1);
  });

  it('is not lost when it says goodbye', async () => {
    const server = await redis();
    const [a, b] = [await node(server, 'n1'), await node(server, 'n2')];
    await expect.poll(() => a.backplane.nodes()).toEqual(['n2']);
    b.backplane.keep({ id: 'n2.1', record: 'x' });
    await b.close();
    await expect.poll(() => a.backplane.nodes()).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, quick.lostAfterMs + 3 * quick.beatMs));
    expect(a.lost.all).toEqual([]);
  });

  it('is not taken for dead because Redis was away for long, and keeps its sessions', async () => {
    const server = await redis({ persistent: true });
    const { deps, die } = mortal();
    const b = await node(server, 'n2', { deps });
    const a = await node(server, 'n1');
    b.backplane.keep({ id: 'n2.1', record: 'x' });
    await expect.poll(() => a.backplane.nodes()).toEqual(['n2']);
    await server.kill();
    b.backplane.keep({ id: 'n2.2', record: 'kept while it was away' });
    await new Promise((resolve) => setTimeout(resolve, 2 * quick.lostAfterMs));
    await server.restart();
    await Promise.all([a, b].map((each) => each.links.next(({ state }) => state === 'up')));
    await expect.poll(() => [a.backplane.nodes(), b.backplane.nodes()]).toEqual([['n2'], ['n1']]);
    expect([a.lost.all, b.lost.all]).toEqual([[], []]);
    die();
    expect((await a.lost.next()).sessions).toHaveLength(2);
  });
});
