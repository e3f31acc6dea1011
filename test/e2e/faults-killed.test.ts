/** Servers that are killed (SIGKILL, so without a word) while they are at work, on both engines. */
import { describe, expect, test } from 'vitest';
import {
  checkUntil,
  engines,
  type FaultHouse,
  masked,
  refusalOf,
  startFaultHouse,
  startFaultyServer,
  statesOf,
} from '../fixtures/faults.js';
import { connectWs, startWsServer } from '../fixtures/peers/ws.js';
import { eventually } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { frames } from '../fixtures/rfc6455.js';
import { running } from '../fixtures/running.js';

const lost = { status: 101, outcome: 'upstream-lost', closedBy: 'upstream' };

describe.each(engines)('relay: %s', (relay) => {
  test('idle: the client sees 1006; the next one is served by another server', async () => {
    const server = await startFaultyServer();
    const other = await running(startWsServer());
    const house = await startFaultHouse({ servers: [server.url, other.url] }, { relay });
    const client = await running(connectWs(`ws://127.0.0.1:${house.port}/chat`));
    await server.child.lines.next((line) => line === 'open');
    await server.kill();
    expect(await client.closed).toEqual({ code: 1006, reason: '' });
    expect(await house.records.next()).toMatchObject({ ...lost, server: server.url, bytesFromUpstream: 0 });
    // An end of a session is nothing against a server; that it takes no connection is.
    for (let i = 0; i < 2; i++) (await house.enter()).destroy();
    expect(await statesOf(house)).toEqual(['up', 'up']);
    for (let i = 0; i < 2; i++) expect(await house.records.next()).toMatchObject({ server: other.url });
  });

  test('in the middle of a handshake: another server gets it; without another it is a 502', async () => {
    const server = await startFaultyServer();
    const other = await RawServer.listen();
    const house = await startFaultHouse({ servers: [server.url, other.url], retries: 1 }, { relay });
    const client = await house.ask('/silent');
    await server.child.lines.next((line) => line === 'asked');
    await server.kill();
    const second = await other.accept();
    expect((await second.head())[0]).toBe('GET /silent HTTP/1.1');
    second.end();
    expect(await refusalOf(client)).toBe('502 UPSTREAM_CLOSED_EARLY');
    expect(await house.records.next()).toMatchObject({
      status: 502,
      outcome: 'failed(UPSTREAM_CLOSED_EARLY)',
      server: other.url,
      detail: `${other.url} closed before it had answered`,
    });
  });

  test('in the middle of a frame to the client: the client has the part, and then the end', async () => {
    const server = await startFaultyServer();
    const house = await startFaultHouse({ servers: server.url }, { relay });
    const client = await house.enter();
    client.write(masked('part'));
    expect((await client.take(4)).toString('hex')).toBe('81054865');
    await server.kill();
    expect((await client.rest()).length).toBe(0);
    client.end();
    expect(await house.records.next()).toMatchObject({
      ...lost,
      bytesFromUpstream: 4,
      messagesFromUpstream: 0,
      messagesFromClient: 1,
    });
  });

  test('in the middle of a frame from the client', async () => {
    const server = await startFaultyServer();
    const house = await startFaultHouse({ servers: server.url }, { relay });
    const client = await house.enter();
    client.write(masked('whole'));
    expect((await client.take(7)).toString()).toContain('whole');
    client.write(masked('broken').subarray(0, 8));
    await eventually(() => house.proxy.sessions[0]?.bytesFromClient === 11 + 8, 'half a frame went up');
    await server.kill();
    expect((await client.rest()).length).toBe(0);
    client.end();
    expect(await house.records.next()).toMatchObject({
      ...lost,
      bytesFromClient: 19,
      messagesFromClient: 1,
      messagesFromUpstream: 1,
    });
  });

  test('during a drain: clients that were told have their Close, the stop waits for nobody', async () => {
    const server = await startFaultyServer();
    const house = await startFaultHouse({ servers: server.url }, { relay, drain: { spread: 0 } });
    const client = await house.enter();
    const waiting = await house.ask('/silent');
    await server.child.lines.next((line) => line === 'asked');
    const stopped = house.proxy.stop();
    expect((await client.take(4)).toString('hex')).toBe(frames.close1001);
    await server.kill();
    expect(await refusalOf(waiting)).toBe('502 UPSTREAM_CLOSED_EARLY');
    await client.rest();
    client.end();
    // The clock stands still: nothing of this was for a deadline.
    await stopped;
    expect(await house.records.next(({ status }) => status === 101)).toMatchObject({
      outcome: 'drained',
      closedBy: 'proxy',
    });
  });

  test('during a drain: a client that was to be told later is lost like any other', async () => {
    const server = await startFaultyServer();
    const house = await startFaultHouse(
      { servers: server.url },
      { relay, drain: { timeout: '10m', spread: '5m' } },
    );
    const clients = [await house.enter(), await house.enter()];
    const stopped = house.proxy.stop();
    expect(house.proxy.draining).toMatchObject({ waiting: 2, told: 0 });
    await server.kill();
    for (const client of clients) {
      expect((await client.rest()).length).toBe(0);
      client.end();
      expect(await house.records.next()).toMatchObject(lost);
    }
    await stopped;
  });

  test('while clients wait in the queue: the first gets the place, and is told what became of the server', async () => {
    const server = await startFaultyServer();
    const house = await startFaultHouse(
      { servers: { url: server.url, maxConnections: 1 }, queue: { size: 2, timeout: '1h' } },
      { relay, route: { websocket: { handshakeTimeout: '1h' } } },
    );
    const client = await house.enter();
    const waiting = [await house.ask(), await house.ask()];
    await waitingAre(house, 2);
    await server.kill();
    await client.rest();
    client.end();
    for (const one of waiting) expect(await refusalOf(one)).toBe('502 UPSTREAM_CONNECT_FAILED');
    expect(await house.records.next()).toMatchObject(lost);
    for (const _ of waiting) {
      const record = await house.records.next();
      expect(record).toMatchObject({ status: 502, outcome: 'failed(UPSTREAM_CONNECT_FAILED)' });
      expect(record.detail).toContain('ECONNREFUSED');
    }
  });

  test('with checks: it is down, who waits is told so, and it comes up when it is back', async () => {
    const server = await startFaultyServer();
    const house = await startFaultHouse(
      {
        servers: { url: server.url, maxConnections: 1 },
        queue: { size: 1, timeout: '1h' },
        onServerDown: 'close',
        health: { path: '/health', interval: '1s', timeout: '1m', rise: 1, fall: 1 },
      },
      { relay, route: { websocket: { handshakeTimeout: '1h' } } },
    );
    await server.child.lines.next((line) => line === 'checked');
    const client = await house.enter();
    await server.kill();
    // The kernel ends its connections before any check does.
    await client.rest();
    client.end();
    expect(await house.records.next()).toMatchObject(lost);
    await checkUntil(house, 'down');
    expect((await house.changes.next()).reason).toContain('ECONNREFUSED');
    expect(await refusalOf(await house.ask())).toBe('503 UPSTREAM_UNAVAILABLE');
    expect((await house.records.next()).detail).toContain('ECONNREFUSED');

    const again = await startFaultyServer(server.port);
    await checkUntil(house, 'up');
    expect(await house.changes.next()).toMatchObject({ state: 'up', reason: 'the check passed' });
    (await house.enter()).destroy();
    expect(await house.records.next()).toMatchObject({ status: 101, server: again.url });
  });
});

async function waitingAre(house: FaultHouse, count: number): Promise<void> {
  while ((await house.status()).waiting !== count);
}
