import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemDeps } from '../../src/base/system.js';
import { NatsBackplane } from '../../src/channels/backplane/nats.js';
import { resume } from '../../src/channels/resume.js';
import {
  historyOfKept,
  mortal,
  numbers,
  openNode,
  quickNodes,
  type TestNode,
} from '../fixtures/backplanes.js';
import { Listener, subscription } from '../fixtures/channels.js';
import {
  keptInNats,
  type NatsServer,
  type NatsServerOptions,
  needNats,
  startNats,
} from '../fixtures/peers/nats.js';
import { backplaneSuite, type BackplaneUnderTest } from '../suites/backplane-suite.js';
import { lostNodesSuite } from '../suites/lost-nodes-suite.js';

const common = { history: historyOfKept, ...quickNodes, reconnectDelayMs: 50 };

const make: BackplaneUnderTest['make'] = (url, options) =>
  new NatsBackplane({ servers: { urls: [url] }, ...common, ...options });

backplaneSuite({
  label: 'NATS',
  need: needNats,
  start: startNats,
  make,
  hasOneOrder: false,
  keepsSessions: false,
});

lostNodesSuite({
  label: 'NATS with JetStream',
  need: needNats,
  start: () => startNats({ jetStream: true }),
  make,
  count: async (url, prefix, life) => (await keptInNats(url, prefix)).get(life)?.size ?? 0,
  wipe: async (url, prefix) => {
    const connection = await connect({ servers: url });
    await (await jetstreamManager(connection)).streams.delete(`${prefix}_kept`);
    await connection.close();
  },
});

async function nats(options?: NatsServerOptions): Promise<NatsServer> {
  const server = await startNats(options);
  onTestFinished(() => server.stop());
  return server;
}

async function node(server: NatsServer, name: string, deps = systemDeps): Promise<TestNode> {
  const servers = { urls: [server.url] };
  const options = { deps, node: name, servers, ...common };
  const opened = await openNode(new NatsBackplane(options));
  onTestFinished(() => opened.close());
  return opened;
}

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
    expect(await resume(a.hub, again, subscription('kept'), place)).toEqual({ recovered: true, messages: 2 });
    expect(again.texts).toEqual(['two', 'three']);
    const elsewhere = new Listener('elsewhere');
    expect(await resume(b.hub, elsewhere, subscription('kept'), place)).toEqual({
      recovered: false,
      messages: 0,
    });
  });
});

describe.skipIf(needNats.missing)(`sessions beside NATS${needNats.note}`, () => {
  it('are not kept without JetStream, which is told once, when there are any', async () => {
    const a = await node(await nats(), 'n1');
    expect(a.trouble).toEqual([]);
    for (const id of ['n1.1', 'n1.2']) a.backplane.keep(id, () => 'x');
    expect(a.trouble).toEqual([
      expect.stringMatching(
        /^should a node be lost, the end of its sessions is not told to their backends: NATS at 127\.0\.0\.1:\d+ has no JetStream, which `nats-server -js` turns on$/,
      ),
    ]);
  });

  it('are still there when the server dies and comes again', async () => {
    const server = await nats({ jetStream: true });
    const [a, dead] = [await node(server, 'n1'), await node(server, 'dead')];
    for (const id of ['dead.1', 'dead.2']) dead.backplane.keep(id, () => 'x');
    await expect.poll(() => kept(server, 'dead.1')).toEqual(['dead.1', 'dead.2']);
    await server.kill();
    for (const each of [a, dead]) await each.links.next(({ state }) => state === 'down');
    dead.backplane.keep('dead.3', () => 'x');
    dead.backplane.forget('dead.1');
    await server.restart();
    for (const each of [a, dead]) await each.links.next(({ state }) => state === 'up');
    await expect.poll(() => kept(server, 'dead.1')).toEqual(['dead.2', 'dead.3']);
    const { lost, trouble } = a;
    expect([lost.all, trouble, dead.outcasts.all, dead.trouble]).toEqual([[], [], [], []]);
  });

  it('of one that died before any other came are told of all the same', async () => {
    const server = await nats({ jetStream: true });
    const { deps, die } = mortal();
    const dead = await node(server, 'dead', deps);
    dead.backplane.keep('dead.1', () => 'x');
    await expect.poll(() => kept(server, 'dead.1')).toEqual(['dead.1']);
    die();
    await server.kill();
    await dead.links.next(({ state }) => state === 'down');
    await dead.backplane.close();
    await server.restart();
    const a = await node(server, 'n1');
    expect(await a.lost.next()).toEqual({ node: 'dead', sessions: [{ id: 'dead.1', record: 'x' }] });
  });

  it('are kept however long they are, but for one that NATS cannot take', async () => {
    const server = await nats({ jetStream: true });
    const a = await node(server, 'n1');
    const long = numbers(1, 20).map((n) => `n1.${n}`);
    for (const id of long) a.backplane.keep(id, () => 'é"'.repeat(20_000));
    a.backplane.keep('n1.endless', () => 'x'.repeat(2_000_000));
    a.backplane.keep('n1.short', () => 'x');
    await expect.poll(() => kept(server, 'n1.1')).toEqual([...long, 'n1.short'].sort());
    expect(a.trouble).toEqual(['session n1.endless is not kept: it is longer than what NATS takes at once']);
  });

  it('are written again before the log of their changes grows long', async () => {
    const server = await nats({ jetStream: true });
    const a = await node(server, 'n1');
    a.backplane.keep('n1.stays', () => 'x');
    for (const round of numbers(1, 5)) {
      const ids = numbers(1, 500).map((n) => `n1.${round}-${n}`);
      for (const id of ids) a.backplane.keep(id, () => 'x');
      await expect.poll(async () => (await kept(server, 'n1.1')).length).toBe(501);
      for (const id of ids) a.backplane.forget(id);
      await expect.poll(() => kept(server, 'n1.1')).toEqual(['n1.stays']);
    }
    await expect.poll(() => firstEntry(server)).toBeGreaterThan(1);
    expect(await kept(server, 'n1.1')).toEqual(['n1.stays']);
  });
});

async function kept(server: NatsServer, life: string): Promise<string[]> {
  return [...((await keptInNats(server.url, 'tidegate')).get(life) ?? [])].sort();
}

async function firstEntry(server: NatsServer): Promise<number> {
  const connection = await connect({ servers: server.url });
  const { state } = await (await jetstreamManager(connection)).streams.info('tidegate_kept');
  await connection.close();
  return state.first_seq;
}

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
