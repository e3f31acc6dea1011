import { describe, expect, it, onTestFinished } from 'vitest';
import { systemDeps } from '../../src/base/system.js';
import { NatsBackplane } from '../../src/channels/backplane/nats.js';
import { resume } from '../../src/channels/resume.js';
import { historyOfKept, openNode, quickNodes, type TestNode } from '../fixtures/backplanes.js';
import { Listener, subscription } from '../fixtures/channels.js';
import { type NatsServer, needNats, startNats } from '../fixtures/peers/nats.js';
import { backplaneSuite } from '../suites/backplane-suite.js';

const common = { history: historyOfKept, ...quickNodes, reconnectDelayMs: 50 };

backplaneSuite({
  label: 'NATS',
  need: needNats,
  start: startNats,
  make: (url, options) => new NatsBackplane({ servers: { urls: [url] }, ...common, ...options }),
  hasOneOrder: false,
  keepsSessions: false,
});

async function nats(): Promise<NatsServer> {
  const server = await startNats();
  onTestFinished(() => server.stop());
  return server;
}

async function node(server: NatsServer, name: string): Promise<TestNode> {
  const servers = { urls: [server.url] };
  const options = { deps: systemDeps, node: name, servers, ...common };
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
  it('are not kept, which is told once, when there are any', async () => {
    const a = await node(await nats(), 'n1');
    expect(a.trouble).toEqual([]);
    for (const id of ['n1.1', 'n1.2']) a.backplane.keep(id, () => 'x');
    expect(a.trouble).toEqual([
      'should a node be lost, the end of its sessions is not told to their backends: NATS keeps nothing, Redis does',
    ]);
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
