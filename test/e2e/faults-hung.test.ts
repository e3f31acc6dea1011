/** Servers that hang: stopped in the middle of their work (SIGSTOP), or that never answer, on both engines. */
import { describe, expect, test } from 'vitest';
import { deafPort } from '../fixtures/deaf-port.js';
import {
  checkUntil,
  engines,
  masked,
  openRaw,
  refusalOf,
  startFaultHouse,
  startFaultyServer,
  statesOf,
} from '../fixtures/faults.js';
import { connectWs } from '../fixtures/peers/ws.js';
import { eventually } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { frames, switchHead } from '../fixtures/rfc6455.js';
import { running } from '../fixtures/running.js';

describe.each(engines)('relay: %s', (relay) => {
  test('no answer to a handshake: 504, no other server is tried, and it counts against the server', async () => {
    const server = await startFaultyServer();
    const other = await RawServer.listen();
    const house = await startFaultHouse(
      { servers: [server.url, other.url], passiveHealth: { failures: 1, time: '10s' }, connectTimeout: '1h' },
      { relay, route: { websocket: { handshakeTimeout: '5s' } } },
    );
    server.child.signal('SIGSTOP');
    const client = await house.ask();
    await eventually(() => house.clock.pending > 0, 'the handshake is under way');
    house.clock.advance(4999);
    expect(client.unread.length).toBe(0);
    house.clock.advance(1);
    expect(await refusalOf(client)).toBe('504 UPSTREAM_ANSWER_TIMEOUT');
    expect(other.accepted.length).toBe(0);
    expect(await house.records.next()).toMatchObject({
      status: 504,
      outcome: 'failed(UPSTREAM_ANSWER_TIMEOUT)',
      server: server.url,
      detail: `${server.url} did not answer within 5000 ms`,
    });
    expect(await house.changes.next()).toMatchObject({ server: server.url, state: 'ejected' });

    // It goes on, and has the next client when its ejection is over.
    server.child.signal('SIGCONT');
    house.clock.advance(10_000);
    expect(await house.changes.next()).toMatchObject({ server: server.url, state: 'up' });
    const second = await house.ask();
    (await other.accept()).end();
    expect((await second.head())[0]).toBe('HTTP/1.1 101 Switching Protocols');
  });

  test('a client that sends to it is held back, and when it goes on, it has every byte', async () => {
    const server = await startFaultyServer();
    const house = await startFaultHouse({ servers: server.url }, { relay });
    const client = await house.enter();
    await server.child.lines.next((line) => line === 'open');
    server.child.signal('SIGSTOP');
    const payload = 48 * 2 ** 20;
    const head = Buffer.from('82ff000000000000000000000000', 'hex');
    head.writeUInt32BE(payload, 6);
    client.write(Buffer.concat([head, Buffer.alloc(payload)]));
    // What the kernel holds on the way is a few megabytes; beyond it nobody takes anything.
    let known = -1;
    while (house.proxy.sessions[0]!.bytesFromClient !== known) {
      known = house.proxy.sessions[0]!.bytesFromClient;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(known).toBeLessThan(payload);
    server.child.signal('SIGCONT');
    expect(await server.child.lines.next((line) => line.startsWith('received'))).toBe(`received ${payload}`);
    client.writeHex(frames.maskedClose1001);
    await client.rest();
    client.end();
    expect(await house.records.next()).toMatchObject({
      outcome: 'client-closed',
      bytesFromClient: head.length + payload + 8,
      messagesFromClient: 1,
    });
  });

  test('no answer to a ping: the client is told 1001, the server meets a cut when it goes on', async () => {
    const server = await startFaultyServer();
    // Time is the relay’s here, and passes.
    const websocket = { ping: { interval: '1s', timeout: '1s', sides: 'upstream' }, closeTimeout: '1s' };
    const house = await startFaultHouse(
      { servers: server.url },
      { relay, time: 'real', route: { websocket: websocket as never } },
    );
    const client = await running(connectWs(`ws://127.0.0.1:${house.port}/chat`));
    await server.child.lines.next((line) => line === 'open');
    server.child.signal('SIGSTOP');
    expect(await client.closed).toEqual({ code: 1001, reason: 'upstream lost' });
    expect(await house.records.next()).toMatchObject({
      status: 101,
      outcome: 'upstream-lost',
      closedBy: 'proxy',
      detail: 'no answer to a ping within 1s',
    });
    expect(house.proxy.sessions).toEqual([]);
    server.child.signal('SIGCONT');
    expect(await server.child.lines.next((line) => line.startsWith('closed'))).toMatch(/^closed 100[16]$/);
  });

  test('the deadline of a drain cuts what hangs; its client has its Close', async () => {
    const server = await startFaultyServer();
    const house = await startFaultHouse(
      { servers: server.url },
      {
        relay,
        drain: { timeout: '1m', spread: 0 },
        route: { websocket: { closeTimeout: 'never', handshakeTimeout: '1h' } },
      },
    );
    const client = await house.enter();
    await server.child.lines.next((line) => line === 'open');
    server.child.signal('SIGSTOP');
    const timers = house.clock.pending;
    const waiting = await house.ask();
    await eventually(() => house.clock.pending > timers, 'the handshake is under way');
    const stopped = house.proxy.stop();
    expect((await client.take(4)).toString('hex')).toBe(frames.close1001);
    client.writeHex(frames.maskedClose1001);
    await eventually(() => house.proxy.sessions[0]?.bytesFromClient === 8, 'the answer to it is there');
    house.clock.advance(59_999);
    expect(house.proxy.sessions).toHaveLength(1);
    house.clock.advance(1);
    await stopped;
    expect(await client.ended).toBe('reset');
    expect(await refusalOf(waiting)).toBe('503 PROXY_STOPPING');
    expect(await house.records.next(({ status }) => status === 101)).toMatchObject({
      outcome: 'drained',
      closedBy: 'proxy',
      closeCodeFromClient: 1001,
    });
    expect(await house.records.next()).toMatchObject({ outcome: 'failed(PROXY_STOPPING)' });
  });

  test('with checks and onServerDown: close: 1012, then a cut; up again when it goes on', async () => {
    const server = await startFaultyServer();
    const house = await startFaultHouse(
      {
        servers: server.url,
        onServerDown: 'close',
        health: { path: '/health', interval: '1s', timeout: '20s', rise: 1, fall: 1 },
      },
      { relay, route: { websocket: { closeTimeout: 'never' } } },
    );
    const client = await house.enter();
    await server.child.lines.next((line) => line === 'open');
    server.child.signal('SIGSTOP');
    await checkUntil(house, 'down');
    expect((await house.changes.next()).reason).toBe('no answer within 20000 ms');
    const close = Buffer.concat([Buffer.from('880d03f4', 'hex'), Buffer.from('server down')]);
    expect((await client.take(close.length)).toString('hex')).toBe(close.toString('hex'));
    client.writeHex(frames.maskedClose1001);
    expect(await refusalOf(await house.ask())).toBe('503 UPSTREAM_UNAVAILABLE');
    house.clock.advance(5000);
    expect(await client.ended).toBe('reset');
    expect(await house.records.next(({ status }) => status === 101)).toMatchObject({
      outcome: 'drained',
      closedBy: 'proxy',
    });
    server.child.signal('SIGCONT');
    await checkUntil(house, 'up');
    (await house.enter()).destroy();
  });

  test('a port whose queue is full: the next server after connectTimeout, and it counts against the server', async () => {
    const deaf = `http://127.0.0.1:${await deafPort()}`;
    const other = await RawServer.listen();
    const house = await startFaultHouse(
      { servers: [deaf, other.url], connectTimeout: '1s', passiveHealth: { failures: 1, time: '10s' } },
      { relay },
    );
    const client = await house.ask();
    await eventually(() => house.clock.pending > 0, 'the first server is being dialled');
    house.clock.advance(1000);
    const server = await other.accept();
    await server.head();
    server.write(switchHead());
    await client.head();
    expect(await house.changes.next()).toMatchObject({
      server: deaf,
      state: 'ejected',
      reason: `ejected for 10000 ms: ${deaf} did not take the connection within 1000 ms`,
    });
    // Nobody waits for it again while it is out.
    await openRaw(house, other);
    expect(await statesOf(house)).toEqual(['ejected', 'up']);
    client.write(masked('x'));
    expect((await server.take(7)).length).toBe(7);
  });

  test('no other server than one whose queue is full: 504', async () => {
    const deaf = `http://127.0.0.1:${await deafPort()}`;
    const house = await startFaultHouse({ servers: deaf, connectTimeout: '1s' }, { relay });
    const client = await house.ask();
    await eventually(() => house.clock.pending > 0, 'it is being dialled');
    house.clock.advance(1000);
    expect(await refusalOf(client)).toBe('504 UPSTREAM_CONNECT_TIMEOUT');
    expect(await house.records.next()).toMatchObject({
      status: 504,
      outcome: 'failed(UPSTREAM_CONNECT_TIMEOUT)',
      server: deaf,
    });
  });
});
