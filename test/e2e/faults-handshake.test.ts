/** Servers that refuse, break off or lie while a handshake is under way, on both engines. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  engines,
  type Engine,
  type FaultHouse,
  openRaw,
  refusalOf,
  startFaultHouse,
  statesOf,
} from '../fixtures/faults.js';
import { startNamedServer } from '../fixtures/peers/named-server.js';
import { eventually, type RawPeer, turn } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { accept, frames, headOf, switchHead } from '../fixtures/rfc6455.js';
import { running } from '../fixtures/running.js';
import { quietPort } from '../fixtures/ports.js';

const HALF_A_HEAD = switchHead().slice(0, 60);

describe.each(engines)('relay: %s', (relay) => {
  test('refused by all: 502 after every server was tried; never more than half of them are ejected', async () => {
    const ports = [await quietPort(), await quietPort()];
    const urls = ports.map((port) => `http://127.0.0.1:${port}`);
    const passiveHealth = { failures: 2, time: '10s' };
    const house = await startFaultHouse({ servers: urls, passiveHealth }, { relay });
    for (let i = 0; i < 3; i++) {
      expect(await refusalOf(await house.ask())).toBe('502 UPSTREAM_CONNECT_FAILED');
      const record = await house.records.next();
      expect(record).toMatchObject({ status: 502, outcome: 'failed(UPSTREAM_CONNECT_FAILED)' });
      expect(urls).toContain(record.server);
      expect(record.detail).toMatch(/^http:\/\/127\.0\.0\.1:\d+: connect ECONNREFUSED 127\.0\.0\.1:\d+$/);
    }
    expect(house.changes.all.map(({ state }) => state)).toEqual(['ejected']);

    // One comes back: at once, if it is the one that is not out; else when its time is over.
    const ejected = urls.indexOf(house.changes.all[0]!.server);
    await running(startNamedServer('back', { port: ports[ejected]! }));
    expect(await refusalOf(await house.ask())).toBe('502 UPSTREAM_CONNECT_FAILED');
    house.clock.advance(10_000);
    expect((await house.changes.next(({ state }) => state === 'up')).server).toBe(urls[ejected]);
    (await house.enter()).destroy();
  });

  test('the file of a unix socket is missing: 502; when it is there, it serves', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-faults-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, 'chat.sock');
    const house = await startFaultHouse({ servers: `unix:${path}` }, { relay });
    expect(await refusalOf(await house.ask())).toBe('502 UPSTREAM_CONNECT_FAILED');
    expect((await house.records.next()).detail).toContain('ENOENT');
    const backend = await RawServer.listen({ path });
    const { client, server } = await openRaw(house, backend);
    server.destroy();
    await client.rest();
    client.end();
    expect(await house.records.next()).toMatchObject({ status: 101, outcome: 'upstream-lost' });
  });

  test.each([
    ['503', headOf('HTTP/1.1 503 Down', 'Content-Length: 0')],
    ['404', headOf('HTTP/1.1 404 Not Found', 'Content-Length: 0')],
    ['302', headOf('HTTP/1.1 302 Found', 'Location: /', 'Content-Length: 0')],
  ])(
    'an answer of %s is an answer: passed on, no other server asked, nothing against it',
    async (status, head) => {
      const servers = [await RawServer.listen(), await RawServer.listen()];
      const house = await startFaultHouse(
        { servers: servers.map(({ url }) => url), passiveHealth: { failures: 1 } },
        { relay },
      );
      for (const backend of servers) {
        const client = await house.ask();
        const server = await backend.accept();
        await server.head();
        server.write(head);
        expect(await refusalOf(client)).toBe(`${status} without a code`);
        const record = await house.records.next();
        expect(record).toMatchObject({ status: Number(status), server: backend.url });
        expect(record.outcome).toBeUndefined();
      }
      expect(house.changes.all).toEqual([]);
      expect(servers.map(({ accepted }) => accepted.length)).toEqual([1, 1]);
    },
  );

  // What the server does, what the client is told, and whether another server is tried.
  const bad: [name: string, fail: (server: RawPeer) => void, told: string, isReplaced: boolean][] = [
    ['garbage', (s) => s.write('SSH-2.0-OpenSSH_9.2\r\n\r\n'), '502 UPSTREAM_ANSWER_MALFORMED', false],
    ['binary garbage', (s) => s.write(Buffer.alloc(64, 0xff)), '502 UPSTREAM_ANSWER_MALFORMED', false],
    [
      'a false accept key',
      (s) => s.write(switchHead().replace(accept, `x${accept.slice(1)}`)),
      '502 UPSTREAM_SWITCH_INVALID',
      false,
    ],
    ['nothing, and an end', (s) => s.end(), '502 UPSTREAM_CLOSED_EARLY', true],
    ['nothing, and a reset', (s) => s.reset(), '502 UPSTREAM_CLOSED_EARLY', true],
    ['half a head, and an end', halfAnd('end'), '502 UPSTREAM_CLOSED_EARLY', true],
    ['half a head, and a reset', halfAnd('reset'), '502 UPSTREAM_CLOSED_EARLY', true],
  ];

  test.each(bad)('%s: replaced or not, told, and counted', async (_name, fail, told, isReplaced) => {
    const first = await RawServer.listen();
    const second = await RawServer.listen();
    const house = await startFaultHouse(
      { servers: [first.url, second.url], passiveHealth: { failures: 1, time: '10s' }, retries: 1 },
      { relay },
    );
    const client = await house.ask();
    for (const backend of isReplaced ? [first, second] : [first]) {
      const server = await backend.accept();
      expect((await server.head())[0]).toBe('GET /chat HTTP/1.1');
      fail(server);
    }
    expect(await refusalOf(client)).toBe(told);
    const last = isReplaced ? second : first;
    expect(second.accepted.length).toBe(isReplaced ? 1 : 0);
    const record = await house.records.next();
    expect(record).toMatchObject({
      status: 502,
      outcome: `failed(${told.slice(4)})`,
      server: last.url,
    });
    expect(record.detail).toContain(last.url);
    expect(await house.changes.next()).toMatchObject({ server: first.url, state: 'ejected' });
    expect(house.changes.all).toHaveLength(1);
    // The one that failed is let go of, whatever it had in mind.
    await first.accepted[0]!.ended;
  });

  test('after something has gone to the client (103) no other server is tried', async () => {
    const first = await RawServer.listen();
    const second = await RawServer.listen();
    const house = await startFaultHouse({ servers: [first.url, second.url] }, { relay });
    const client = await house.ask();
    const server = await first.accept();
    await server.head();
    server.write('HTTP/1.1 103 Early Hints\r\n\r\n');
    expect(await client.head()).toEqual(['HTTP/1.1 103 Early Hints']);
    server.reset();
    expect(await refusalOf(client)).toBe('502 UPSTREAM_CLOSED_EARLY');
    expect(second.accepted).toHaveLength(0);
  });

  test('a 101 and at once a reset: a switch, and a session that is lost', async () => {
    const backend = await RawServer.listen();
    const house = await startFaultHouse({ servers: backend.url }, { relay });
    for (let round = 0; round < 10; round++) {
      const client = await house.ask();
      const server = await backend.accept();
      await server.head();
      server.write(switchHead());
      // In the same turn, a turn later, two turns later.
      for (let turns = 0; turns < round % 3; turns++) await turn();
      server.reset();
      const answer = (await client.rest()).toString('latin1');
      client.destroy();
      const record = await house.records.next();
      // The reset may overtake the answer on its way to the client, but what it has of it is no other.
      const whole = switchHead();
      expect([record.outcome, whole.startsWith(answer)]).toEqual(['upstream-lost', true]);
      expect(record).toMatchObject({ status: 101, closedBy: 'upstream', bytesFromUpstream: 0 });
    }
    expect(await statesOf(house)).toEqual(['up']);
  });

  test('a client that resets while the answer is on its way: no session, or one that it has lost', async () => {
    const backend = await RawServer.listen();
    const house = await startFaultHouse({ servers: backend.url }, { relay });
    for (let round = 0; round < 12; round++) {
      const client = await house.ask();
      const server = await backend.accept();
      await server.head();
      if (round % 2 === 0) client.reset();
      server.write(switchHead());
      if (round % 3 === 0) await turn();
      if (round % 2 === 1) client.reset();
      expect(await server.ended).toBe('reset');
      const { status, outcome } = await house.records.next();
      expect(['499 failed(CLIENT_GONE)', '101 client-lost']).toContain(`${status} ${outcome}`);
    }
    expect(await statesOf(house)).toEqual(['up']);
  });

  test('a stop waits for a handshake under way, and lets go of what it has become', async () => {
    const backend = await RawServer.listen();
    const house = await startFaultHouse({ servers: backend.url }, { relay, drain: { spread: 0 } });
    const client = await house.ask();
    const server = await backend.accept();
    await server.head();
    const stopped = house.proxy.stop();
    server.write(switchHead());
    expect((await client.head())[0]).toBe('HTTP/1.1 101 Switching Protocols');
    expect((await client.take(4)).toString('hex')).toBe(frames.close1001);
    client.writeHex(frames.maskedClose1001);
    await server.take(8);
    server.writeHex(frames.close1001);
    await client.rest();
    client.end();
    server.end();
    await stopped;
    expect(await house.records.next()).toMatchObject({ status: 101, outcome: 'drained' });
  });

  describe('200 with a body that never ends', () => {
    test('goes on until the client leaves', async () => {
      const { house, client, server, stopFlood } = await endless(relay);
      client.reset();
      expect(await server.ended).toBe('reset');
      stopFlood();
      expect(await house.records.next()).toMatchObject({ status: 200, outcome: 'failed(CLIENT_GONE)' });
    });

    test('goes on until the server breaks off', async () => {
      const { house, client, server, stopFlood } = await endless(relay);
      stopFlood();
      server.reset();
      expect(await client.ended).toBe('reset');
      expect(await house.records.next()).toMatchObject({
        status: 200,
        outcome: 'failed(UPSTREAM_RESPONSE_ABORTED)',
      });
    });

    test('goes on until it is silent for idleTimeout', async () => {
      const { house, client, stopFlood } = await endless(relay, { idleTimeout: '10s' });
      stopFlood();
      // Every byte that is on its way arrives and begins the time anew.
      void eventually(() => {
        house.clock.advance(1000);
        return client.ending !== undefined;
      });
      expect(await client.ended).toBe('reset');
      expect(await house.records.next()).toMatchObject({
        status: 200,
        outcome: 'failed(UPSTREAM_RESPONSE_ABORTED)',
      });
    });

    test('goes on until its client has not taken a byte for idleTimeout', async () => {
      const { house, client, server, stopFlood } = await endless(relay, { idleTimeout: '10s' });
      client.pause();
      // What the kernel still takes on its way is some megabytes, each of which begins the time anew.
      const cut = house.records.next();
      let isCut = false;
      void cut.then(() => (isCut = true));
      await eventually(() => {
        house.clock.advance(1000);
        return isCut;
      });
      expect(await cut).toMatchObject({ status: 200, outcome: 'failed(UPSTREAM_RESPONSE_ABORTED)' });
      expect(await server.ended).toBe('reset');
      stopFlood();
    });

    test('goes on until the deadline of a stop', async () => {
      const { house, client, server, stopFlood } = await endless(relay);
      const stopped = house.proxy.stop({ timeoutMs: 60_000 });
      let isStopped = false;
      void stopped.then(() => (isStopped = true));
      await client.take(2 ** 20);
      expect(isStopped).toBe(false);
      house.clock.advance(60_000);
      await stopped;
      expect(await client.ended).toBe('reset');
      expect(await server.ended).toBe('reset');
      stopFlood();
      expect(await house.records.next()).toMatchObject({ status: 200, outcome: 'failed(PROXY_STOPPING)' });
    });
  });
});

function halfAnd(how: 'end' | 'reset'): (server: RawPeer) => void {
  return (server) => {
    server.write(HALF_A_HEAD);
    server[how]();
  };
}

/** A client in the middle of such an answer. */
async function endless(
  relay: Engine,
  route: object = {},
): Promise<{ house: FaultHouse; client: RawPeer; server: RawPeer; stopFlood: () => void }> {
  const backend = await RawServer.listen();
  const house = await startFaultHouse({ servers: backend.url }, { relay, route });
  const client = await house.ask();
  client.writeHex(frames.maskedHello);
  const server = await backend.accept();
  await server.head();
  server.write(headOf('HTTP/1.1 200 OK', 'Content-Type: text/plain'));
  expect((await client.head())[0]).toBe('HTTP/1.1 200 OK');
  const chunk = Buffer.alloc(16 * 1024, 'a');
  const flood = (): void => {
    while (server.socket.writable && server.socket.write(chunk));
  };
  server.socket.on('drain', flood);
  flood();
  await client.take(2 ** 20);
  return { house, client, server, stopFlood: () => server.socket.off('drain', flood) };
}
