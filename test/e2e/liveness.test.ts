/** Pings of our own, dead sides, and sessions that have grown old, on both engines. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../src/base/manual-clock.js';
import { systemDeps } from '../../src/base/system.js';
import type { AccessRecord } from '../../src/observe/record.js';
import { acceptFor } from '../../src/protocol/handshake/hybi.js';
import { createProxy } from '../../src/server/proxy.js';
import { Inbox } from '../fixtures/inbox.js';
import { connectWs, startWsServer } from '../fixtures/peers/ws.js';
import { rawPair } from '../fixtures/raw-pair.js';
import { eventually } from '../fixtures/raw-peer.js';
import { frames, switchHead } from '../fixtures/rfc6455.js';
import { RawServer } from '../fixtures/raw-server.js';
import { running } from '../fixtures/running.js';

/** The native engine has a time of its own: what a test awaits there comes by itself. Elsewhere `pass` moves the clock. */
async function start(relay: 'stream' | 'auto', to: string, websocket: object) {
  const clock = relay === 'stream' ? new ManualClock() : undefined;
  const deps = clock === undefined ? systemDeps : { ...systemDeps, clock };
  const proxy = createProxy({ listeners: ['127.0.0.1:0'], routes: [{ to, websocket }], relay }, { deps });
  const records = new Inbox<AccessRecord>('the access records');
  proxy.on('session.closed', (record) => records.push(record));
  await proxy.start();
  onTestFinished(() => proxy.stop({ timeoutMs: 0 }));
  const { port } = proxy.listeners[0]!;
  const pass = (ms: number): void => clock?.advance(ms);
  return { proxy, records, port, url: `ws://127.0.0.1:${port}/chat`, pass };
}

/** A masked pong to a ping of four bytes, the mask being zero. */
function pong(ping: Buffer): Buffer {
  return Buffer.concat([Buffer.from('8a8400000000', 'hex'), ping.subarray(2)]);
}

describe.each(['stream', 'auto'] as const)('relay: %s', (relay) => {
  // Moved by hand, time must leave room for answers; waited for, it should be short.
  const closeTimeout = relay === 'stream' ? '10s' : '1s';

  test('a silent client is asked, its answer goes no further, and it lives on', async () => {
    const backend = await RawServer.listen();
    // So long that a busy machine is no dead client.
    const ping = { interval: '1s', timeout: '20s', sides: 'client' };
    const { proxy, port, pass } = await start(relay, backend.url, { ping });
    const { client, server } = await rawPair(port, backend);
    for (let round = 0; round < 2; round++) {
      pass(2000);
      const asked = await client.take(6);
      expect(asked.subarray(0, 2).toString('hex')).toBe('8904');
      const before = proxy.sessions[0]!.bytesFromClient;
      client.write(pong(asked));
      await eventually(() => proxy.sessions[0]!.bytesFromClient === before + 10, 'the pong is there');
    }
    pass(1000);
    // Between pings of ours, all else passes: its own pongs too.
    client.writeHex(`8a8000000000${frames.maskedHello}`);
    const passed = await server.take(17);
    expect(passed.toString('hex')).toBe(`8a8000000000${frames.maskedHello}`);
    expect(server.received.includes(Buffer.from('8a84', 'hex'))).toBe(false);
    expect(proxy.sessions).toHaveLength(1);
  });

  test('a client that does not answer is lost; the server is told', async () => {
    const backend = await RawServer.listen();
    const ping = { interval: '1s', timeout: '1s', sides: 'client' };
    const { records, port, pass } = await start(relay, backend.url, { ping, closeTimeout });
    const { client, server } = await rawPair(port, backend);
    pass(1000);
    await client.take(6);
    pass(1000);
    const close = await server.take(2 + 4 + 2 + 'client lost'.length);
    expect(unmasked(close)).toBe('03e9' + Buffer.from('client lost').toString('hex'));
    server.writeHex(frames.close1001);
    expect(await server.ended).toBe('end');
    server.end();
    pass(30_000);
    await client.ended;
    client.end();
    expect(await records.next()).toMatchObject({
      outcome: 'client-lost',
      closedBy: 'proxy',
      detail: 'no answer to a ping within 1s',
    });
  });

  test('a server that does not answer is lost; the client sees 1001, not 1006', async () => {
    const backend = await RawServer.listen();
    const ping = { interval: '1s', timeout: '1s', sides: 'upstream' };
    const { proxy, records, url, pass } = await start(relay, backend.url, { ping, closeTimeout });
    const opening = connectWs(url);
    const server = await backend.accept();
    const head = await server.head();
    const key = head
      .find((line) => line.startsWith('Sec-WebSocket-Key: '))!
      .slice('Sec-WebSocket-Key: '.length);
    server.write(switchHead().replace(/Accept: \S+/, `Accept: ${acceptFor(key)}`));
    const client = await running(opening);
    await eventually(() => proxy.sessions.length === 1, 'it is open');
    pass(1000);
    const asked = await server.take(10);
    // Towards a server frames are masked.
    expect(asked.subarray(0, 2).toString('hex')).toBe('8984');
    pass(1000);
    // Its Close is answered by ws at once; a server that is lost does not answer that.
    await server.until(Buffer.from([0x88]));
    pass(30_000);
    expect(await client.closed).toEqual({ code: 1001, reason: 'upstream lost' });
    expect(await records.next()).toMatchObject({ outcome: 'upstream-lost', closedBy: 'proxy' });
  });

  test('a session that is too old is closed with 1001 and counts as a limit', async () => {
    const backend = await running(startWsServer());
    const { records, url, pass } = await start(relay, backend.url, { maxAge: '1s', maxAgeJitter: '50%' });
    const client = await running(connectWs(url));
    const server = await backend.ends.next();
    pass(2000);
    expect(await client.closed).toEqual({ code: 1001, reason: 'maximum age reached' });
    expect(await server.closed).toEqual({ code: 1001, reason: 'maximum age reached' });
    expect(await records.next()).toMatchObject({
      outcome: 'limit',
      closedBy: 'proxy',
      detail: 'maxAge reached',
    });
  });

  test('frames that are not read: no pings, and the relay ends what is too old', async () => {
    const backend = await running(startWsServer());
    const websocket = { observe: false, maxAge: '2s', maxAgeJitter: '0%', ping: { interval: '1s' } };
    const { records, url, pass } = await start(relay, backend.url, websocket);
    const client = await running(connectWs(url));
    pass(4000);
    expect(await client.closed).toMatchObject({ code: 1006 });
    expect(client.controls.all).toEqual([]);
    expect(await records.next()).toMatchObject({ outcome: 'limit', detail: 'maxAge reached' });
  });
});

function unmasked(frame: Buffer): string {
  const mask = frame.subarray(2, 6);
  return Buffer.from(frame.subarray(6).map((byte, i) => byte ^ mask[i % 4]!)).toString('hex');
}
