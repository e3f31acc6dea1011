import { afterEach, describe, expect, it } from 'vitest';
import { systemDeps } from '../../src/base/system.js';
import { NatsBackplane, type NatsOptions } from '../../src/channels/backplane/nats.js';
import { resume } from '../../src/channels/resume.js';
import { openNode, type TestNode } from '../fixtures/backplanes.js';
import { Listener, subscription, textItem } from '../fixtures/channels.js';
import { type NatsServer, needNats, startNats } from '../fixtures/peers/nats.js';
import { freePort } from '../fixtures/peers/pebble.js';

const kept = { maxMessages: 1000, maxAgeMs: 60_000, maxBytes: 1_000_000 };
const quick = { beatMs: 50, lostAfterMs: 1500, reconnectDelayMs: 50 };

const toStop: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of toStop.splice(0).reverse()) await stop();
});

async function nats(): Promise<NatsServer> {
  const server = await startNats();
  toStop.push(() => server.stop());
  return server;
}

async function node(server: NatsServer, name: string, more: Partial<NatsOptions> = {}): Promise<TestNode> {
  const history = (channel: string) => (channel.startsWith('kept') ? kept : undefined);
  const servers = { urls: [server.url] };
  const options = { deps: systemDeps, node: name, servers, history, ...quick, ...more };
  const opened = await openNode(new NatsBackplane(options));
  toStop.push(() => opened.close());
  return opened;
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => `${from + i}`);

describe.skipIf(needNats.missing)(`nodes on NATS${needNats.note}`, () => {
  it('carry what is published on any to all that listen, each publisher’s in order', async () => {
    const server = await nats();
    const nodes = await Promise.all(['n1', 'n2', 'n3'].map((name) => node(server, name)));
    const listeners = await Promise.all(nodes.map((each) => each.listen('c')));
    await Promise.all(nodes.map((each, i) => each.say('c', ...numbers(1, 100).map((n) => `${i}:${n}`))));
    await nodes[0]!.say('c', 'end');
    await Promise.all(listeners.map(({ heard }) => heard.next((text) => text === 'end')));
    for (const { texts } of listeners) {
      expect(texts).toHaveLength(301);
      for (const i of [0, 1, 2]) {
        expect(texts.filter((text) => text.startsWith(`${i}:`))).toEqual(
          numbers(1, 100).map((n) => `${i}:${n}`),
        );
      }
    }
    for (const each of nodes) expect([each.gaps.all, each.trouble]).toEqual([[], []]);
  });

  it('say what became of an item where it was published', async () => {
    const server = await nats();
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
  });

  it.each(['a.b', '>', '*', 'x y\tz', 'ü.*.>', '%', "(!~')"])(
    'know the channel %j as its own',
    async (channel) => {
      const server = await nats();
      const [a, b] = [await node(server, 'n1'), await node(server, 'n2')];
      const listener = await b.listen(channel);
      const other = await b.listen('other');
      await a.say(channel, 'for it');
      await a.say('other', 'for the other');
      await Promise.all([listener.heard.next(), other.heard.next()]);
      expect([listener.texts, other.texts]).toEqual([['for it'], ['for the other']]);
    },
  );

  it('hear nothing more of a channel that the last one left', async () => {
    const server = await nats();
    const [a, b] = [await node(server, 'n1'), await node(server, 'n2')];
    const listener = await b.listen('c');
    b.hub.leaveAll(listener);
    await a.say('c', 'one');
    const again = await b.listen('c');
    await a.say('c', 'two');
    await again.heard.next();
    expect([listener.texts, again.texts]).toEqual([[], ['two']]);
  });

  it('ask each other for sessions, lists and members', async () => {
    const server = await nats();
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
    expect((await a.directory.page(10)).sessions).toEqual([{ id, remote: '192.0.2.1' }]);
    const listener = await b.listen('c');
    expect(await a.presence.of('c', 10)).toMatchObject({ total: 1, members: [{ id: listener.id }] });
  });

  it('refuse to start where there is no NATS, in one line without the password', async () => {
    const url = `nats://user:secret@127.0.0.1:${await freePort()}`;
    const opening = openNode(new NatsBackplane({ deps: systemDeps, node: 'n1', servers: { urls: [url] } }));
    await expect(opening).rejects.toThrow(/^NATS at 127\.0\.0\.1:\d+ cannot be reached: /);
    await expect(opening).rejects.not.toThrow(/secret/);
  });
});

describe.skipIf(needNats.missing)(`history beside NATS${needNats.note}`, () => {
  it('is each node’s own: known where it was heard, also when all had left for a while', async () => {
    const server = await nats();
    const [a, b] = [await node(server, 'n1'), await node(server, 'n2')];
    const first = await a.listen('kept');
    await b.say('kept', 'one');
    await first.heard.next();
    const { place } = first.items[0]!;
    a.hub.leaveAll(first);
    await b.say('kept', 'two');
    await b.say('kept', 'three');
    await expect.poll(async () => (await a.backplane.since('kept', place)).messages.length).toBe(2);
    const again = new Listener('again');
    expect(await resume(a, again, subscription('kept'), place)).toEqual({ recovered: true, messages: 2 });
    expect(again.texts).toEqual(['two', 'three']);
    const elsewhere = new Listener('elsewhere');
    expect(await resume(b, elsewhere, subscription('kept'), place)).toEqual({
      recovered: false,
      messages: 0,
    });
  });
});

describe.skipIf(needNats.missing)(`a NATS that dies and comes again${needNats.note}`, () => {
  it('is a gap that is told once, and ends what was kept', async () => {
    const server = await nats();
    const [a, b] = [await node(server, 'n1'), await node(server, 'n2')];
    const listener = await a.listen('kept');
    await b.say('kept', 'one');
    await listener.heard.next();
    const { place } = listener.items[0]!;
    await server.kill();
    for (const each of [a, b]) await each.links.next(({ state }) => state === 'down');
    await expect(b.say('kept', 'lost')).rejects.toThrow(/^NATS at 127\.0\.0\.1:\d+ is not reachable: /);
    await server.restart();
    for (const each of [a, b]) await each.links.next(({ state }) => state === 'up');
    expect(await a.gaps.next()).toEqual({ channel: undefined, missed: undefined });
    await b.say('kept', 'two');
    await listener.heard.next((text) => text === 'two');
    expect(listener.texts).toEqual(['one', 'two']);
    expect((await a.backplane.since('kept', place)).recovered).toBe(false);
    for (const each of [a, b]) {
      expect(each.links.all.map(({ state }) => state)).toEqual(['down', 'up']);
      expect(each.gaps.all).toHaveLength(1);
    }
  });
});

describe.skipIf(needNats.missing)(`a node that dies beside NATS${needNats.note}`, () => {
  it('is told of once, without its sessions', async () => {
    const server = await nats();
    let isAlive = true;
    const clock = {
      ...systemDeps.clock,
      every: (ms: number, fn: () => void) => systemDeps.clock.every(ms, () => isAlive && fn()),
    };
    await node(server, 'dead', { deps: { ...systemDeps, clock } });
    const others = await Promise.all(['n1', 'n2'].map((name) => node(server, name)));
    await expect.poll(() => others.every((each) => each.backplane.nodes().includes('dead'))).toBe(true);
    isAlive = false;
    expect(await Promise.race(others.map((each) => each.lost.next()))).toEqual({
      node: 'dead',
      sessions: [],
    });
    await expect
      .poll(() => others.map((each) => each.backplane.nodes().includes('dead')))
      .toEqual([false, false]);
    await new Promise((resolve) => setTimeout(resolve, 3 * quick.beatMs));
    expect(others.flatMap((each) => each.lost.all)).toHaveLength(1);
  });

  it('is not lost when it says goodbye', async () => {
    const server = await nats();
    const [a, b] = [await node(server, 'n1'), await node(server, 'n2')];
    await expect.poll(() => a.backplane.nodes()).toEqual(['n2']);
    await b.close();
    await expect.poll(() => a.backplane.nodes()).toEqual([]);
    await new Promise((resolve) => setTimeout(resolve, quick.lostAfterMs + 3 * quick.beatMs));
    expect(a.lost.all).toEqual([]);
  });
});
