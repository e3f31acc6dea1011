/** What every relay engine must do, whatever it is made of. */
import { describe, expect, test } from 'vitest';
import { writeClose } from '../../src/protocol/frames/writer.js';
import { fill } from '../fixtures/fill.js';
import { eventually, turn } from '../fixtures/raw-peer.js';
import { frames } from '../fixtures/rfc6455.js';
import { type EngineUnderTest, join, pump } from '../fixtures/relay-ends.js';

const MIB = 2 ** 20;

export function relaySuite(make: () => EngineUnderTest): void {
  describe('moves bytes', () => {
    test('the answer and what came early first, then both ways', async () => {
      const { client, upstream, relay } = await join(make(), {
        answer: 'HEAD',
        earlyFromUpstream: 'first',
        earlyFromClient: 'early',
      });
      expect((await client.take(9)).toString()).toBe('HEADfirst');
      expect((await upstream.take(5)).toString()).toBe('early');
      client.write('up');
      upstream.write('down');
      expect((await upstream.take(2)).toString()).toBe('up');
      expect((await client.take(4)).toString()).toBe('down');
      expect(relay.fromClient.bytes).toBe(7);
      expect(relay.fromUpstream.bytes).toBe(9);
    });

    test('64 MiB each way at once, not one byte lost or out of order', async () => {
      const { client, upstream } = await join(make());
      const [down, up] = await Promise.all([
        pump(upstream, client, 64 * MIB),
        pump(client, upstream, 64 * MIB),
      ]);
      expect(down.received).toBe(down.sent);
      expect(up.received).toBe(up.sent);
    });

    test.each(['client', 'upstream'] as const)(
      'a %s that does not read holds the other side back',
      async (idle) => {
        const { client, upstream } = await join(make(), { paused: true });
        const [reader, writer] = idle === 'client' ? [client, upstream] : [upstream, client];
        const written = await fill(writer, Buffer.alloc(64 * 1024, 'x'));
        expect(written).toBeLessThan(64 * MIB);
        reader.resume();
        expect((await reader.take(written)).length).toBe(written);
      },
    );
  });

  describe('ends', () => {
    test.each(['client', 'upstream'] as const)(
      'a clean end of the %s keeps the other way flowing until it ends',
      async (first) => {
        const { client, upstream, relay } = await join(make());
        const [one, other] = first === 'client' ? [client, upstream] : [upstream, client];
        one.write('last words');
        one.end();
        expect((await other.until('last words')).toString()).toBe('last words');
        expect(await other.ended).toBe('end');
        other.write('still here');
        expect((await one.until('still here')).toString()).toBe('still here');
        other.end();
        expect(await one.ended).toBe('end');
        expect(await relay.ended).toMatchObject({ first, how: 'end' });
      },
    );

    test.each(['client', 'upstream'] as const)(
      'a reset of the %s is a reset for the other',
      async (first) => {
        const { client, upstream, relay } = await join(make());
        const [one, other] = first === 'client' ? [client, upstream] : [upstream, client];
        one.write('x');
        await other.until('x');
        one.reset();
        expect(await other.ended).toBe('reset');
        expect(await relay.ended).toMatchObject({ first, how: 'reset' });
      },
    );

    test.each(['client', 'upstream'] as const)(
      'a reset of the %s right behind its last bytes is no clean end',
      async (first) => {
        const { client, upstream, relay } = await join(make());
        const [one, other] = first === 'client' ? [client, upstream] : [upstream, client];
        one.write('x');
        one.reset();
        expect(await other.ended).toBe('reset');
        expect(await relay.ended).toMatchObject({ first, how: 'reset' });
      },
    );

    test('what an upstream sent before its clean end arrives, however much it is', async () => {
      const { client, upstream, relay } = await join(make(), { paused: true });
      upstream.write(Buffer.alloc(4 * MIB, 'z'));
      upstream.end();
      client.resume();
      expect((await client.take(4 * MIB)).length).toBe(4 * MIB);
      expect(await client.ended).toBe('end');
      client.end();
      expect(await relay.ended).toEqual({ first: 'upstream', how: 'end' });
    });

    test('an upstream that had ended before the relay began', async () => {
      const { client, relay } = await join(make(), {
        answer: 'HEAD',
        before: async ({ upstream, upstreamSocket }) => {
          upstreamSocket.resume();
          const ended = new Promise((resolve) => upstreamSocket.once('end', resolve));
          upstream.end();
          await ended;
        },
      });
      expect((await client.rest()).toString()).toBe('HEAD');
      client.end();
      expect(await relay.ended).toEqual({ first: 'upstream', how: 'end' });
    });

    test.each(['client', 'upstream'] as const)(
      'a reset of the %s behind its Close is an end for the other, which has the Close',
      async (first) => {
        const { client, upstream, relay } = await join(make(), { framing: 'rfc6455' });
        const [one, other] = first === 'client' ? [client, upstream] : [upstream, client];
        const close = first === 'client' ? frames.maskedClose1001 : frames.close1001;
        one.writeHex(close);
        await other.take(close.length / 2);
        one.reset();
        expect(await other.ended).toBe('end');
        expect(await relay.ended).toMatchObject({ first, how: 'reset' });
        expect(relay.firstClose).toBe(first);
      },
    );

    test('cut: both at once, as a reset', async () => {
      const { client, upstream, relay } = await join(make());
      relay.cut();
      expect(await client.ended).toBe('reset');
      expect(await upstream.ended).toBe('reset');
      expect(await relay.ended).toEqual({ first: 'proxy', how: 'cut' });
    });

    test('everybody who asked is told of the end once, also who asks when it is over', async () => {
      const { relay } = await join(make());
      const told: [string, unknown][] = [];
      relay.whenEnded((end) => told.push(['first', end]));
      relay.whenEnded((end) => told.push(['second', end]));
      expect(told).toEqual([]);
      relay.cut();
      const end = await relay.ended;
      await new Promise<void>((resolve) =>
        relay.whenEnded((late) => {
          told.push(['late', late]);
          resolve();
        }),
      );
      expect(told).toEqual([
        ['first', end],
        ['second', end],
        ['late', end],
      ]);
    });

    test('cut while an end still waits behind bytes that nobody takes', async () => {
      const { client, upstream, relay } = await join(make(), { paused: true });
      upstream.write(Buffer.alloc(16 * MIB, 'z'));
      upstream.end();
      await eventually(() => relay.fromUpstream.bytes > 0, 'bytes');
      await turn();
      relay.cut();
      client.resume();
      await client.ended;
      await relay.ended;
    });

    test('what follows from an end is not news: the first side stays the first', async () => {
      const { client, upstream, relay } = await join(make());
      client.end();
      await upstream.ended;
      upstream.reset();
      expect(await relay.ended).toMatchObject({ first: 'client', how: 'end' });
    });
  });

  describe('time', () => {
    test('idle: ends after the time-out, and not while bytes move', async () => {
      const under = make();
      const { client, upstream, relay } = await join(under, { idleTimeoutMs: 3000 });
      for (let i = 0; i < 4; i++) {
        await under.passTime(2000);
        client.write('x');
        await upstream.until('x');
      }
      expect(client.ending).toBeUndefined();
      await under.passTime(5000);
      expect(await relay.ended).toEqual({ first: 'proxy', how: 'idle' });
      expect(await client.ended).toBe('end');
      expect(await upstream.ended).toBe('end');
    });

    test('idle, where frames are read: both sides get a Close, and an end behind their answers', async () => {
      const under = make();
      const { client, upstream, relay } = await join(under, { idleTimeoutMs: 3000, framing: 'rfc6455' });
      client.writeHex(frames.maskedHello);
      await upstream.take(11);
      await under.passTime(5000);
      expect(await client.take(8)).toEqual(writeClose(1001, 'idle'));
      const [head, ...masked] = await upstream.take(12);
      expect([head, masked[0]]).toEqual([0x88, 0x86]);
      const [key, hidden] = [masked.slice(1, 5), masked.slice(5)];
      expect(Buffer.from(hidden.map((byte, i) => byte ^ key[i % 4]!))).toEqual(
        Buffer.from('\u0003éidle', 'latin1'),
      );
      client.writeHex(frames.maskedClose1001);
      upstream.writeHex(frames.close1001);
      expect(await client.ended).toBe('end');
      expect(await upstream.ended).toBe('end');
      client.end();
      upstream.end();
      expect(await relay.ended).toEqual({ first: 'proxy', how: 'idle' });
    });

    test('idle in the middle of a frame: who can be told is, and who does not answer is not waited for', async () => {
      const under = make();
      const { client, upstream, relay } = await join(under, { idleTimeoutMs: 3000, framing: 'rfc6455' });
      upstream.writeHex(frames.hello.slice(0, 8));
      await client.take(4);
      await under.passTime(5000);
      expect((await upstream.take(12)).subarray(0, 2).toString('hex')).toBe('8886');
      expect(client.ending).toBeUndefined();
      await under.passTime(12_000);
      expect(await relay.ended).toEqual({ first: 'proxy', how: 'idle' });
      expect(await client.ended).toBe('end');
      expect(client.received.length).toBe(4);
    });

    test('maximum age: ends however busy it is', async () => {
      const under = make();
      const { client, upstream, relay } = await join(under, { maxAgeMs: 4000 });
      for (let i = 0; i < 3; i++) {
        await under.passTime(1000);
        client.write('x');
        await upstream.until('x');
      }
      await under.passTime(3000);
      expect(await relay.ended).toEqual({ first: 'proxy', how: 'max-age' });
      await client.ended;
    });

    test('half-closed: the silent rest is cut', async () => {
      const under = make();
      const { client, upstream, relay } = await join(under, { halfCloseTimeoutMs: 3000 });
      client.end();
      await upstream.ended;
      await under.passTime(2000);
      upstream.write('late');
      await client.until('late');
      await under.passTime(2000);
      expect(client.ending).toBeUndefined();
      await under.passTime(4000);
      expect(await relay.ended).toEqual({ first: 'client', how: 'end' });
      expect(await client.ended).toBe('reset');
    });

    test('0 means never', async () => {
      const under = make();
      const { client, upstream } = await join(under);
      await under.passTime(10_000);
      client.write('x');
      await upstream.until('x');
    });
  });

  describe('leaves nothing behind', () => {
    test('after many tunnels ended in every way', async () => {
      const under = make();
      for (let i = 0; i < 60; i++) {
        const { client, upstream, relay } = await join(under, { idleTimeoutMs: 1000 });
        const end = [
          () => client.reset(),
          () => upstream.reset(),
          () => relay.cut(),
          () => (client.end(), upstream.end()),
        ][i % 4]!;
        client.write('x');
        if (i % 3 === 0) await upstream.until('x');
        end();
        await relay.ended;
        await eventually(() => client.ending !== undefined && upstream.ending !== undefined, 'both ends');
      }
    });
  });
}
