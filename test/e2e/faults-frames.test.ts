/** Sides that break off in the middle of frames, with bytes on their way in both directions, on both engines. */
import { describe, expect, test } from 'vitest';
import { engines, openRaw, startFaultHouse } from '../fixtures/faults.js';
import { eventually, type RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { frames } from '../fixtures/rfc6455.js';

const MiB = 2 ** 20;
const sides = ['client', 'upstream'] as const;
type Side = (typeof sides)[number];

describe.each(engines)('relay: %s', (relay) => {
  async function open() {
    const backend = await RawServer.listen();
    const house = await startFaultHouse({ servers: backend.url }, { relay });
    const { client, server } = await openRaw(house, backend);
    return { house, client, server, backend };
  }

  describe.each(sides)('the %s', (side) => {
    test('resets in the middle of a frame: the other side has the part, then a reset', async () => {
      const { house, client, server, backend } = await open();
      const { breaking, other } = rolesOf(side, client, server);
      const [whole, part] =
        side === 'client' ? [frames.maskedHello, '818537fa213d7f'] : [frames.hello, '81054865'];
      breaking.writeHex(whole + part);
      expect((await other.take((whole + part).length / 2)).toString('hex')).toBe(whole + part);
      breaking.reset();
      expect(await other.ended).toBe('reset');
      expect(other.unread.length).toBe(0);
      const bytes = (whole + part).length / 2;
      expect(await house.records.next()).toMatchObject({
        status: 101,
        server: backend.url,
        outcome: `${side}-lost`,
        closedBy: side,
        detail: 'ECONNRESET',
        [side === 'client' ? 'bytesFromClient' : 'bytesFromUpstream']: bytes,
        [side === 'client' ? 'messagesFromClient' : 'messagesFromUpstream']: 1,
      });
      expect(house.changes.all).toEqual([]);
    });

    test('resets with bytes on their way both ways: what arrives is the beginning of what was sent', async () => {
      const { house, client, server } = await open();
      const { breaking, other } = rolesOf(side, client, server);
      const sent = { client: stream(24 * MiB, 'client'), server: stream(24 * MiB, 'upstream') };
      client.write(sent.client);
      server.write(sent.server);
      const before = { client: MiB, server: MiB };
      await client.take(before.client);
      await server.take(before.server);
      breaking.reset();
      // With bytes of its own that nobody took it may not tell an end from a reset.
      await other.closed;
      for (const [from, { received }] of [
        [sent.server, client],
        [sent.client, server],
      ] as const) {
        // A reset overtakes: what was still on its way is lost, but what came is neither changed nor out of order.
        const came = afterHead(received);
        expect(came.length).toBeGreaterThanOrEqual(MiB);
        expect(came.length).toBeLessThan(from.length);
        expect(came.equals(from.subarray(0, came.length))).toBe(true);
      }
      const record = await house.records.next();
      expect(record).toMatchObject({ outcome: `${side}-lost`, closedBy: side });
      // What was counted had been taken from its sender; what its receiver has is no more than that.
      expect(record.bytesFromUpstream).toBeGreaterThanOrEqual(afterHead(client.received).length);
      expect(record.bytesFromClient).toBeGreaterThanOrEqual(afterHead(server.received).length);
    });

    test('sends much, ends in order, and the other reads slowly: it has every byte, then the end', async () => {
      const { house, client, server } = await open();
      const { breaking, other } = rolesOf(side, client, server);
      other.pause();
      const bytes = stream(12 * MiB, side);
      breaking.write(bytes);
      breaking.end();
      // The other way lives on.
      const [back, answer] =
        side === 'client' ? [frames.hello, breaking.take(7)] : [frames.maskedHello, breaking.take(11)];
      other.writeHex(back);
      expect((await answer).toString('hex')).toBe(back);
      other.resume();
      expect((await other.take(bytes.length)).equals(bytes)).toBe(true);
      expect(await other.ended).toBe('end');
      other.end();
      expect(await breaking.ended).toBe('end');
      // No Close was sent, so it is a loss for who waited for one.
      expect(await house.records.next()).toMatchObject({ outcome: `${side}-lost`, closedBy: side });
    });

    test('ends in order, in the middle of a frame, and the other side resets', async () => {
      const { house, client, server } = await open();
      const { breaking, other } = rolesOf(side, client, server);
      breaking.writeHex(side === 'client' ? '818537fa213d7f' : '81054865');
      breaking.end();
      await other.rest();
      other.reset();
      expect(await breaking.ended).toBe('reset');
      expect(await house.records.next()).toMatchObject({ outcome: `${side}-lost`, closedBy: side });
    });

    test('resets behind its Close: it had closed, and the other keeps the Close', async () => {
      const { house, client, server } = await open();
      const { breaking, other } = rolesOf(side, client, server);
      const close = side === 'client' ? frames.maskedClose1001 : frames.close1001;
      breaking.writeHex(close);
      expect((await other.take(close.length / 2)).toString('hex')).toBe(close);
      breaking.reset();
      expect(await other.ended).toBe('end');
      expect(await house.records.next()).toMatchObject({ outcome: `${side}-closed`, closedBy: side });
    });

    test('is silent for halfCloseTimeout after the other has ended: both are cut', async () => {
      const backend = await RawServer.listen();
      // The native engine’s time passes by itself.
      const house = await startFaultHouse(
        { servers: backend.url },
        { relay, time: 'real', route: { websocket: { halfCloseTimeout: '1s' } } },
      );
      const { client, server } = await openRaw(house, backend);
      const { breaking: silent, other: ending } = rolesOf(side, client, server);
      ending.end();
      expect(await silent.ended).toBe('end');
      expect(await ending.ended).toBe('reset');
      const first = side === 'client' ? 'upstream' : 'client';
      expect(await house.records.next()).toMatchObject({ outcome: `${first}-lost`, closedBy: first });
    });
  });

  test('both reset at once, again and again: one record each, and one of them was first', async () => {
    const backend = await RawServer.listen();
    const house = await startFaultHouse({ servers: backend.url }, { relay });
    for (let round = 0; round < 20; round++) {
      const { client, server } = await openRaw(house, backend);
      client.writeHex(frames.maskedHello.repeat(round));
      server.writeHex(frames.hello.repeat(20 - round));
      const [first, second] = round % 2 === 0 ? [client, server] : [server, client];
      first.reset();
      second.reset();
      const { outcome, closedBy } = await house.records.next();
      expect([`client-lost client`, `upstream-lost upstream`]).toContain(`${outcome} ${closedBy}`);
    }
    await eventually(() => house.proxy.sessions.length === 0, 'the end of all');
    expect(house.records.all).toHaveLength(20);
  });
});

function rolesOf(side: Side, client: RawPeer, server: RawPeer): { breaking: RawPeer; other: RawPeer } {
  return side === 'client' ? { breaking: client, other: server } : { breaking: server, other: client };
}

/** Binary frames whose payload tells where each byte belongs; a client’s are masked with zeros. */
function stream(length: number, side: Side): Buffer {
  const payload = 4096;
  const head = side === 'client' ? Buffer.from('82fe100000000000', 'hex') : Buffer.from('827e1000', 'hex');
  const frame = head.length + payload;
  const bytes = Buffer.alloc(Math.ceil(length / frame) * frame);
  for (let at = 0, number = 0; at < bytes.length; at += frame, number++) {
    head.copy(bytes, at);
    for (let i = 0; i < payload; i += 4) bytes.writeUInt32BE(number * payload + i, at + head.length + i);
  }
  return bytes;
}

function afterHead(received: Buffer): Buffer {
  return received.subarray(received.indexOf('\r\n\r\n') + 4);
}
