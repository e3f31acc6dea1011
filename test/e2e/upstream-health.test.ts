/** Servers that go down and come up, found by checks, and names that stand for several: on both engines. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Cli } from '../fixtures/cli.js';
import { DnsServer } from '../fixtures/dns-server.js';
import { Inbox } from '../fixtures/inbox.js';
import { listening } from '../fixtures/listening.js';
import { hixie76Answer, hixie76Head, hixieVectors } from '../fixtures/hixie.js';
import { startNamedServer, type NamedServer } from '../fixtures/peers/named-server.js';
import { connectWs } from '../fixtures/peers/ws.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { frames, switchHead, upgradeHead } from '../fixtures/rfc6455.js';
import { running } from '../fixtures/running.js';
import { countOf, named, startCluster } from '../fixtures/upstreams.js';

const health = { path: '/health', interval: '20ms', rise: 1, fall: 2 };

describe.each(['stream', 'auto'])('relay: %s', (relay) => {
  test('a server goes down, its tunnels are closed, and it comes up again slowly', async () => {
    const [a, b] = await named('a', 'b');
    const cluster = await startCluster(
      { servers: [a!.url, b!.url], health, onServerDown: 'close', slowStart: '1h' },
      { relay },
    );
    const open = [await cluster.open(), await cluster.open()];
    expect(open.map(({ server }) => server).sort()).toEqual(['a', 'b']);
    a!.status = 500;
    expect(await cluster.changes.next()).toEqual({
      upstream: 'chat',
      server: a!.url,
      state: 'down',
      reason: 'GET /health was answered 500, not 200-399',
    });
    const ofA = open.find(({ server }) => server === 'a')!;
    expect(await ofA.closed).toEqual({ code: 1012, reason: 'server down' });
    expect(await (await a!.ends.next()).closed).toMatchObject({ code: 1012 });
    const record = await cluster.nextRecord(({ status }) => status === 101);
    expect(record).toMatchObject({ server: a!.url, closedBy: 'proxy', outcome: 'drained' });
    const next = [await cluster.open(), await cluster.open(), await cluster.open()];
    expect(next.map(({ server }) => server)).toEqual(['b', 'b', 'b']);
    expect((await cluster.status()).servers[0]).toMatchObject({
      state: 'down',
      reason: 'GET /health was answered 500, not 200-399',
      active: 0,
    });

    a!.status = 200;
    expect(await cluster.changes.next()).toMatchObject({ server: a!.url, state: 'up' });
    expect((await cluster.status()).servers.map(({ state, share }) => [state, share])).toEqual([
      ['up', 0.1],
      ['up', 1],
    ]);
    const after = [];
    for (let i = 0; i < 11; i++) after.push((await cluster.open()).server);
    expect(countOf(after)).toEqual({ a: 1, b: 10 });
  });

  test('onServerDown: keep is the default; with nobody left it is a 503 that says why', async () => {
    const [a] = await named('a');
    const cluster = await startCluster({ servers: a!.url, health }, { relay });
    const kept = await cluster.open();
    a!.status = 503;
    await cluster.changes.next();
    kept.socket.send('still here');
    expect(await kept.messages.next()).toBe('still here');
    await expect(connectWs(cluster.wsUrl)).rejects.toThrow('503');
    const record = await cluster.nextRecord();
    expect(record.outcome).toBe('failed(UPSTREAM_UNAVAILABLE)');
    expect(record.detail).toBe(
      `upstream chat has no server that is up; ${a!.url} is down: GET /health was answered 503, not 200-399`,
    );
    expect((await fetch(cluster.url)).status).toBe(503);
  });

  test('the Close waits for the end of a frame; one of 2010 gets its own', async () => {
    const { server, setStatus, upgrades } = await startRaw();
    const cluster = await startCluster({ servers: server.url, health, onServerDown: 'close' }, { relay });
    const modern = await RawPeer.connect(cluster.port);
    modern.write(upgradeHead('chat.test'));
    const modernServer = await upgrades.next();
    const hello = Buffer.from(frames.hello, 'hex');
    modernServer.write(Buffer.concat([Buffer.from(switchHead()), hello.subarray(0, 3)]));
    await modern.head();
    expect(await modern.take(3)).toEqual(hello.subarray(0, 3));
    const [vector] = hixieVectors;
    const old = await RawPeer.connect(cluster.port);
    old.write(hixie76Head(vector!, 'chat.test'));
    old.writeHex(vector!.key3);
    const answer = Buffer.from(hixie76Answer('ws://chat.test/socket.io/websocket'));
    (await upgrades.next()).write(Buffer.concat([answer, Buffer.from(vector!.challenge, 'hex')]));
    await old.head();
    await old.take(16);

    setStatus(500);
    await cluster.changes.next();
    expect(await old.take(2)).toEqual(Buffer.from('ff00', 'hex'));
    expect(modern.unread).toHaveLength(0);
    modernServer.write(hello.subarray(3));
    expect(await modern.take(4)).toEqual(hello.subarray(3));
    const close = await modern.take(2 + 2 + 'server down'.length);
    expect(close).toEqual(Buffer.concat([Buffer.from('880d03f4', 'hex'), Buffer.from('server down')]));
  });
});

test('a tunnel whose client does not answer the Close is cut', async () => {
  const { server, setStatus, upgrades } = await startRaw();
  const cluster = await startCluster({ servers: server.url, health, onServerDown: 'close' });
  const silent = await RawPeer.connect(cluster.port);
  silent.write(upgradeHead('chat.test'));
  (await upgrades.next()).write(switchHead());
  await silent.head();
  setStatus(500);
  await cluster.nextRecord(({ outcome }) => outcome === 'drained');
  expect((await cluster.status()).servers[0]).toMatchObject({ active: 0 });
}, 15_000);

test('the log tells what becomes of servers, and warns of a key that does not last', async () => {
  const [a, b] = await named('a', 'b');
  const upstreams = { chat: { servers: [a!.url, b!.url], health, sticky: true } };
  const config = { listeners: ['127.0.0.1:0'], upstreams, routes: [{ to: 'chat' }] };
  const cwd = mkdtempSync(join(tmpdir(), 'tidegate-upstreams-'));
  onTestFinished(() => rmSync(cwd, { recursive: true }));
  writeFileSync(join(cwd, 'tidegate.config.json'), JSON.stringify(config));
  const cli = await running(new Cli(['serve'], { cwd }));
  await cli.stderr.next((line) => line.includes('warn: upstream chat: sticky has no key'));
  a!.status = 500;
  const down = `warn: upstream chat: ${a!.url} is down: GET /health was answered 500, not 200-399`;
  await cli.stderr.next((line) => line.endsWith(down));
  a!.status = 200;
  await cli.stderr.next((line) => line.endsWith(`info: upstream chat: ${a!.url} is up: the check passed`));
});

test('whenAllDown: try, for checks that may be wrong themselves', async () => {
  const [a] = await named('a');
  const cluster = await startCluster({ servers: a!.url, health: { ...health, whenAllDown: 'try' } });
  a!.status = 500;
  await cluster.changes.next();
  expect((await cluster.open()).server).toBe('a');
});

describe('names', () => {
  test.each(['stream', 'auto'])(
    'each address is a server; one that goes keeps its tunnels: %s',
    async (relay) => {
      const dns = await DnsServer.listen();
      const [a, b] = await twins();
      dns.records.set('chat.test', { A: ['127.0.0.1', '127.0.0.2'], ttl: 0 });
      const url = `http://chat.test:${a.port}`;
      const resolve = { nameservers: [dns.address], minTtl: '20ms', maxTtl: '20ms' };
      const cluster = await startCluster({ servers: url, resolve, maxIdleConnections: 0 }, { relay });
      await eventuallyServers(cluster, [`${url}#127.0.0.1`, `${url}#127.0.0.2`]);
      const open = [await cluster.open(), await cluster.open()];
      expect(open.map(({ server }) => server).sort()).toEqual(['a', 'b']);
      expect((await b.ends.next()).request?.headers.host).toBe(`127.0.0.1:${cluster.port}`);

      dns.records.set('chat.test', { A: ['127.0.0.1'], ttl: 0 });
      await eventually(() => dns.questions.length > 2);
      await eventuallyServers(cluster, [`${url}#127.0.0.1 up`, `${url}#127.0.0.2 leaving`], true);
      expect([(await cluster.open()).server, (await cluster.open()).server]).toEqual(['a', 'a']);
      const ofB = open.find(({ server }) => server === 'b')!;
      ofB.socket.send('still here');
      expect(await ofB.messages.next()).toBe('still here');
      ofB.socket.close(1000);
      await eventuallyServers(cluster, [`${url}#127.0.0.1`]);

      // A name server that fails changes nothing but the log.
      const unresolved = new Inbox<string>('failed look-ups');
      cluster.proxy.on('server.unresolved', (upstream, detail) => unresolved.push(`${upstream}: ${detail}`));
      dns.failing.add('chat.test');
      expect(await unresolved.next()).toContain(`chat: ${url}: `);
      expect((await cluster.open()).server).toBe('a');
    },
  );
});

/** A server with `/health`, whose handshakes are answered by the test. */
async function startRaw() {
  const upgrades = new Inbox<Socket>('upgrades');
  let status = 200;
  const http = createServer((_, res) => res.writeHead(status).end());
  http.on('upgrade', (_, socket: Socket) => {
    socket.on('error', () => {});
    upgrades.push(socket);
  });
  const server = await running(listening(http));
  return { server, upgrades, setStatus: (now: number) => (status = now) };
}

/** Two servers on one port of two addresses. */
async function twins(): Promise<[NamedServer, NamedServer]> {
  for (let attempt = 0; ; attempt++) {
    const a = await startNamedServer('a');
    try {
      const b = await startNamedServer('b', { host: '127.0.0.2', port: a.port });
      return [await running(a), await running(b)];
    } catch (thrown) {
      await a.stop();
      if (attempt === 5) throw thrown;
    }
  }
}

async function eventuallyServers(
  cluster: { status(): Promise<{ servers: readonly { server: string; state: string }[] }> },
  wanted: readonly string[],
  withState = false,
): Promise<void> {
  for (;;) {
    const { servers } = await cluster.status();
    const found = servers.map(({ server, state }) => (withState ? `${server} ${state}` : server));
    if (JSON.stringify(found) === JSON.stringify(wanted)) return;
  }
}
