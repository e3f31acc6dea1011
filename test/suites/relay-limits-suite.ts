/** Limits, and the end of a session by Close frames: what every relay engine must do of it. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { writeClose, writeFrame, writeHixieClose, writeHixieText } from '../../src/protocol/frames/writer.js';
import { cutAt, singleBytes } from '../fixtures/chunking.js';
import { FrameLog } from '../fixtures/frame-log.js';
import { eventually, type RawPeer } from '../fixtures/raw-peer.js';
import { Rfc6455Scanner } from '../../src/protocol/frames/rfc6455-scanner.js';
import { join, type EngineUnderTest } from '../fixtures/relay-ends.js';

const mask = Buffer.from('01020304', 'hex');
const fromClient = (payload: string | Buffer, more: { fin?: boolean; opcode?: number } = {}) =>
  writeFrame({ opcode: 2, payload, mask, ...more });
const fromUpstream = (payload: string | Buffer, more: { fin?: boolean; opcode?: number } = {}) =>
  writeFrame({ opcode: 2, payload, ...more });

const tooBig = writeClose(1009, 'message too big');
const tooMany = writeClose(1008, 'too many messages');

/** What a Close towards the upstream says: its mask is anybody's guess. */
async function takeMasked(peer: RawPeer, plain: Buffer): Promise<void> {
  const log = new FrameLog();
  new Rfc6455Scanner(log).push(await peer.take(plain.length + 4));
  expect(log.frames).toMatchObject([
    { opcode: 8, masked: true, ended: true, payload: plain.subarray(2).toString('hex') },
  ]);
}

export function relayLimitsSuite(make: () => EngineUnderTest): void {
  describe('limits on messages', () => {
    const framing = 'rfc6455' as const;

    test('one that is too big is known by its header: no byte of it goes on, and both sides are closed', async () => {
      const { client, upstream, relay } = await join(make(), {
        framing,
        fromClient: { maxMessageBytes: 10 },
        closeTimeoutMs: 5000,
      });
      const fine = fromClient('x'.repeat(10));
      client.write(Buffer.concat([fine, fromClient('y'.repeat(11)).subarray(0, 6)]));
      expect(await upstream.take(fine.length)).toEqual(fine);
      await takeMasked(upstream, writeClose(1001));
      expect(await client.take(tooBig.length)).toEqual(tooBig);
      client.write(Buffer.concat([fromClient('y'.repeat(11)).subarray(6), writeClose(1009, '', mask)]));
      expect(await client.ended).toBe('end');
      upstream.write(Buffer.concat([fromUpstream('too late'), writeClose(1001)]));
      expect(await upstream.rest()).toEqual(Buffer.alloc(0));
      expect(await upstream.ended).toBe('end');
      client.end();
      upstream.end();
      expect(await relay.ended).toEqual({
        first: 'proxy',
        how: 'limit',
        limit: 'message-size',
        side: 'client',
      });
      expect(relay.fromClient.closeCode).toBe(1009);
    });

    test('by the sum of its fragments, a ping between them not counted', async () => {
      const { client, upstream, relay } = await join(make(), {
        framing,
        fromUpstream: { maxMessageBytes: 10 },
      });
      const fine = [
        fromUpstream('12345', { fin: false }),
        writeFrame({ opcode: 9, payload: 'a ping of some length' }),
        fromUpstream('12345', { opcode: 0, fin: false }),
        fromUpstream('', { opcode: 0, fin: false }),
      ];
      upstream.write(Buffer.concat([...fine, fromUpstream('6', { opcode: 0 })]));
      const passed = Buffer.concat([...fine, writeClose(1001)]);
      expect(await client.take(passed.length)).toEqual(passed);
      await takeMasked(upstream, tooBig);
      client.write(writeClose(1001, '', mask));
      upstream.write(writeClose(1009));
      expect(await client.ended).toBe('end');
      expect(await upstream.ended).toBe('end');
      client.end();
      upstream.end();
      expect(await relay.ended).toMatchObject({ how: 'limit', side: 'upstream' });
    });

    test('of each message anew, of one direction only', async () => {
      const { client, upstream } = await join(make(), { framing, fromClient: { maxMessageBytes: 4 } });
      const many = Buffer.concat(Array.from({ length: 50 }, () => fromClient('1234')));
      client.write(many);
      expect(await upstream.take(many.length)).toEqual(many);
      const big = fromUpstream(Buffer.alloc(100_000, 'b'));
      upstream.write(big);
      expect((await client.take(big.length)).equals(big)).toBe(true);
    });

    test('the same whatever the chunks', async () => {
      const stream = Buffer.concat([
        fromClient('abc'),
        fromClient('1234', { fin: false }),
        fromClient('', { opcode: 0 }),
        fromClient(Buffer.alloc(200, 'q')),
        fromClient('never'),
      ]);
      const expected = stream.subarray(0, 9 + 10 + 6);
      const under = make();
      const offsets = fc.array(fc.nat({ max: stream.length }), { maxLength: 6 });
      const run = async (chunks: readonly Buffer[]): Promise<void> => {
        const { client, upstream, relay } = await join(under, {
          framing,
          fromClient: { maxMessageBytes: 199 },
        });
        await client.writeSlowly(chunks.filter(({ length }) => length > 0));
        expect(await upstream.take(expected.length)).toEqual(expected);
        await takeMasked(upstream, writeClose(1001));
        expect(await client.take(tooBig.length)).toEqual(tooBig);
        relay.cut();
        expect(await relay.ended).toMatchObject({ how: 'limit', limit: 'message-size' });
      };
      await run(singleBytes(stream.subarray(0, 60)));
      await fc.assert(
        fc.asyncProperty(offsets, async (cuts) => run(cutAt(stream, cuts))),
        { numRuns: 25 },
      );
    });

    test('half a header waits, and is passed on with its end', async () => {
      const { client, upstream } = await join(make(), { framing, fromClient: { maxMessageBytes: 10 } });
      const fine = fromClient('fine');
      await client.writeSlowly([fine, fine.subarray(0, 3)]);
      expect(await upstream.take(fine.length)).toEqual(fine);
      client.end();
      expect(await upstream.rest()).toEqual(fine.subarray(0, 3));
    });

    test('in what came early, too', async () => {
      const { client, upstream, relay } = await join(make(), {
        framing,
        answer: 'HEAD',
        fromClient: { maxMessageBytes: 4 },
        earlyFromClient: Buffer.concat([fromClient('fine'), fromClient('large')]).toString('latin1'),
        earlyFromUpstream: fromUpstream('hello').toString('latin1'),
      });
      expect(await upstream.take(10)).toEqual(fromClient('fine'));
      await takeMasked(upstream, writeClose(1001));
      const told = Buffer.concat([Buffer.from('HEAD'), fromUpstream('hello'), tooBig]);
      expect(await client.take(told.length)).toEqual(told);
      relay.cut();
      expect(await relay.ended).toMatchObject({ how: 'limit' });
    });

    test('the Close waits for the end of a frame, but not for ever', async () => {
      for (const isPatient of [true, false]) {
        const under = make();
        const { client, upstream, relay } = await join(under, {
          framing,
          fromClient: { maxMessageBytes: 4 },
          closeTimeoutMs: 3000,
        });
        const long = fromUpstream(Buffer.alloc(100, 'l'));
        upstream.write(long.subarray(0, 50));
        await client.take(50);
        client.write(fromClient('large'));
        await takeMasked(upstream, writeClose(1001));
        expect(client.unread.length).toBe(0);
        if (isPatient) {
          upstream.write(long.subarray(50));
          expect(await client.take(52 + tooBig.length)).toEqual(Buffer.concat([long.subarray(50), tooBig]));
          relay.cut();
        } else {
          await under.passTime(6000);
          expect(await client.rest()).toEqual(Buffer.alloc(0));
          expect(await client.ended).toBe('end');
          expect(await upstream.ended).toBe('end');
        }
        expect(await relay.ended).toMatchObject({ how: 'limit', limit: 'message-size', side: 'client' });
      }
    });

    test('too many a second: one second’s worth at once, and then as many as time brings', async () => {
      const under = make();
      const { client, upstream, relay } = await join(under, {
        framing,
        fromClient: { maxMessagesPerSecond: 3 },
      });
      const three = Buffer.concat([
        fromClient('1'),
        fromClient('2', { fin: false }),
        fromClient('2', { opcode: 0 }),
        fromClient('3'),
      ]);
      client.write(three);
      expect(await upstream.take(three.length)).toEqual(three);
      await under.passTime(2000);
      client.write(Buffer.concat([three, writeFrame({ opcode: 9, mask }), fromClient('one too many')]));
      expect((await upstream.take(three.length + 6)).subarray(0, three.length)).toEqual(three);
      await takeMasked(upstream, writeClose(1001));
      expect(await client.take(tooMany.length)).toEqual(tooMany);
      relay.cut();
      expect(await relay.ended).toEqual({
        first: 'proxy',
        how: 'limit',
        limit: 'message-rate',
        side: 'client',
      });
    });

    test('a flood behind it goes nowhere, and is cut in the end', async () => {
      const under = make();
      const { client, upstream, relay } = await join(under, { framing, fromClient: { maxMessageBytes: 4 } });
      client.write(fromClient(Buffer.alloc(2 ** 20)));
      await takeMasked(upstream, writeClose(1001));
      await client.take(tooBig.length);
      expect(upstream.unread.length).toBe(0);
      await under.passTime(12_000);
      expect(await relay.ended).toMatchObject({ how: 'limit' });
      await client.ended;
    });

    test('Hixie: FF 00 for both, a frame with a length not at all, one without up to the limit', async () => {
      const limited = { framing: 'hixie', fromClient: { maxMessageBytes: 4 } } as const;
      const one = await join(make(), limited);
      one.client.write(
        Buffer.concat([writeHixieText('fine'), Buffer.from('8005', 'hex'), Buffer.from('large')]),
      );
      expect(await one.upstream.take(8)).toEqual(Buffer.concat([writeHixieText('fine'), writeHixieClose()]));
      expect(await one.client.take(2)).toEqual(writeHixieClose());
      one.client.write(writeHixieClose());
      expect(await one.client.ended).toBe('end');
      one.upstream.write(writeHixieClose());
      expect(await one.upstream.ended).toBe('end');
      one.client.end();
      one.upstream.end();
      expect(await one.relay.ended).toMatchObject({ how: 'limit', limit: 'message-size', side: 'client' });

      const other = await join(make(), limited);
      await other.client.writeSlowly([writeHixieText('fine'), '\0la', 'rg', 'e', writeHixieClose()]);
      expect(await other.upstream.rest()).toEqual(
        Buffer.concat([writeHixieText('fine'), Buffer.from('\0larg')]),
      );
      expect(await other.client.take(2)).toEqual(writeHixieClose());
      expect(await other.upstream.ended).toBe('end');
      other.relay.cut();
      await other.relay.ended;
    });
  });

  describe('bytes a second', () => {
    test.each(['client', 'upstream'] as const)('from the %s: slower, and nothing is lost', async (side) => {
      const under = make();
      const limit = { maxBytesPerSecond: 100_000 };
      const { client, upstream, relay } = await join(
        under,
        side === 'client' ? { fromClient: limit } : { fromUpstream: limit },
      );
      const [writer, reader] = side === 'client' ? [client, upstream] : [upstream, client];
      const all = Buffer.from(Array.from({ length: 1_000_000 }, (_, i) => (i * 31) ^ (i >> 8)));
      const startedAt = performance.now();
      writer.write(all);
      writer.end();
      await eventually(() => reader.received.length >= 100_000, 'a second’s worth');
      for (let seconds = 1; seconds <= 3; seconds++) {
        await under.passTime(1000);
        await eventually(() => reader.received.length >= 100_000 * seconds, 'another');
        const allowed = 100_000 * (2 + seconds + (performance.now() - startedAt) / 1000);
        expect(reader.received.length).toBeLessThanOrEqual(allowed);
      }
      while (reader.ending === undefined) {
        await under.passTime(1000);
        for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
      }
      expect((await reader.rest()).length + 0).toBe(reader.received.length);
      expect(reader.received.equals(all)).toBe(true);
      expect(reader.ending).toBe('end');
      reader.end();
      expect(await relay.ended).toEqual({ first: side, how: 'end' });
    });

    test('together with messages that are too big', async () => {
      const under = make();
      const { client, upstream, relay } = await join(under, {
        framing: 'rfc6455',
        fromClient: { maxBytesPerSecond: 50, maxMessageBytes: 40 },
      });
      const fine = fromClient('x'.repeat(40));
      client.write(Buffer.concat([fine, fine, fromClient('y'.repeat(41))]));
      await eventually(() => relay.fromClient.bytes > 0, 'bytes');
      await under.passTime(4000);
      expect(await upstream.take(2 * fine.length)).toEqual(Buffer.concat([fine, fine]));
      await takeMasked(upstream, writeClose(1001));
      relay.cut();
      expect(await relay.ended).toMatchObject({ how: 'limit', limit: 'message-size' });
    });
  });

  describe('the end by Close frames', () => {
    const closing = { framing: 'rfc6455', closeTimeoutMs: 3000 } as const;

    test.each(['client', 'upstream'] as const)(
      'the %s first: after both, both get our FIN',
      async (first) => {
        const { client, upstream, relay } = await join(make(), closing);
        const closes = { client: writeClose(1000, '', mask), upstream: writeClose(1000, 'a reason') };
        const [one, other, second] =
          first === 'client'
            ? [client, upstream, 'upstream' as const]
            : [upstream, client, 'client' as const];
        const data = first === 'client' ? fromUpstream('in flight') : fromClient('in flight');
        one.write(closes[first]);
        expect(await other.take(closes[first].length)).toEqual(closes[first]);
        other.write(data);
        await other.writeSlowly(singleBytes(closes[second]));
        expect(await one.rest()).toEqual(Buffer.concat([data, closes[second]]));
        expect(await one.ended).toBe('end');
        expect(await other.ended).toBe('end');
        one.end();
        other.end();
        expect(await relay.ended).toEqual({ first, how: 'closed' });
      },
    );

    test('behind our FIN both are read on until they end: a reset could destroy what was sent last', async () => {
      const { client, upstream, relay } = await join(make(), closing);
      client.write(writeClose(1000, '', mask));
      upstream.write(writeClose(1000));
      expect(await client.ended).toBe('end');
      expect(await upstream.ended).toBe('end');
      const more = fromClient('sent before the Close was read');
      client.write(more);
      await eventually(() => relay.fromClient.bytes === 8 + more.length, 'more bytes are read');
      client.end();
      upstream.end();
      expect(await relay.ended).toEqual({ first: relay.firstClose, how: 'closed' });
      expect(client.ending).toBe('end');
    });

    test('what is still in flight is delivered, however slowly it is read', async () => {
      const { client, upstream, relay } = await join(make(), { ...closing, paused: true });
      const big = fromUpstream(Buffer.alloc(2 ** 22, 'b'));
      client.write(writeClose(1000, '', mask));
      upstream.write(Buffer.concat([big, writeClose(1000)]));
      await eventually(() => relay.fromUpstream.bytes > 0, 'bytes');
      client.resume();
      upstream.resume();
      const all = await client.rest();
      expect(all.equals(Buffer.concat([big, writeClose(1000)]))).toBe(true);
      expect(await client.ended).toBe('end');
      client.end();
      upstream.end();
      expect((await relay.ended).how).toBe('closed');
    });

    test('a side that does not end itself is not waited for', async () => {
      const under = make();
      const { client, upstream, relay } = await join(under, closing);
      client.write(writeClose(1000, '', mask));
      upstream.write(writeClose(1000));
      expect(await client.ended).toBe('end');
      await under.passTime(8000);
      expect(await relay.ended).toMatchObject({ how: 'closed' });
    });

    test('a Close without an answer: both are ended', async () => {
      const under = make();
      const { client, upstream, relay } = await join(under, closing);
      client.write(writeClose(1000, '', mask));
      await upstream.take(8);
      await under.passTime(2000);
      upstream.write(fromUpstream('still busy'));
      await client.take(12);
      await under.passTime(6000);
      expect(await relay.ended).toEqual({ first: 'client', how: 'closed' });
      expect(await client.ended).toBe('end');
      expect(await upstream.ended).toBe('end');
    });

    test('a Close of ours: its echo goes on, our FIN comes, and the log can tell', async () => {
      const { client, upstream, relay } = await join(make(), closing);
      relay.inject('client', 'close', writeClose(1001, 'moving'));
      expect(await client.take(10)).toEqual(writeClose(1001, 'moving'));
      client.write(writeClose(1001, '', mask));
      expect(await client.ended).toBe('end');
      expect(await upstream.take(8)).toEqual(writeClose(1001, '', mask));
      upstream.write(Buffer.concat([fromUpstream('too late'), writeClose(1001)]));
      expect(await upstream.ended).toBe('end');
      client.end();
      upstream.end();
      expect((await client.rest()).length).toBe(0);
      expect(await relay.ended).toEqual({ first: 'proxy', how: 'closed' });
    });

    test.each(['resets', 'says nothing'])('a Close of ours, and the client %s', async (what) => {
      const under = make();
      const { client, relay } = await join(under, closing);
      relay.inject('client', 'close', writeClose(1001));
      await client.take(4);
      if (what === 'resets') client.reset();
      else await under.passTime(8000);
      expect(await relay.ended).toEqual({ first: 'proxy', how: 'closed' });
    });

    test('a Close of ours that came too late is not the reason', async () => {
      const { client, upstream, relay } = await join(make(), closing);
      upstream.write(writeClose(1000));
      await client.take(4);
      relay.inject('client', 'close', writeClose(1001));
      client.write(writeClose(1000, '', mask));
      expect(await client.rest()).toEqual(Buffer.alloc(0));
      client.end();
      upstream.end();
      expect(await relay.ended).toEqual({ first: 'upstream', how: 'closed' });
    });

    test('cut all the same', async () => {
      const { client, relay } = await join(make(), closing);
      relay.inject('client', 'close', writeClose(1001));
      await client.take(4);
      relay.cut();
      expect(await relay.ended).toEqual({ first: 'proxy', how: 'cut' });
    });

    test('Hixie-76', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'hixie', closeTimeoutMs: 3000 });
      client.write(Buffer.concat([writeHixieText('bye'), writeHixieClose()]));
      await upstream.take(7);
      upstream.write(writeHixieClose());
      expect(await client.rest()).toEqual(writeHixieClose());
      expect(await client.ended).toBe('end');
      client.end();
      upstream.end();
      expect(await relay.ended).toEqual({ first: 'client', how: 'closed' });
    });

    test('without a time-out nobody but the peers ends it', async () => {
      const under = make();
      const { client, upstream, relay } = await join(under, { framing: 'rfc6455' });
      client.write(writeClose(1000, '', mask));
      await upstream.take(8);
      upstream.write(writeClose(1000));
      await client.take(4);
      await under.passTime(20_000);
      expect(client.ending).toBeUndefined();
      upstream.end();
      expect(await client.ended).toBe('end');
      client.end();
      expect(await relay.ended).toEqual({ first: 'upstream', how: 'end' });
    });
  });

  describe('liveness', () => {
    test('for how long each side has been silent, pongs of its own among what is heard', async () => {
      const under = make();
      const { client, upstream, relay } = await join(under, { framing: 'rfc6455' });
      expect(relay.fromClient.silentMs).toBe(0);
      await under.passTime(5000);
      expect(relay.fromClient.silentMs).toBeGreaterThanOrEqual(4000);
      expect(relay.fromUpstream.silentMs).toBeGreaterThanOrEqual(4000);
      relay.inject('client', 'ping', writeFrame({ opcode: 9, payload: 'ours' }));
      await client.take(6);
      client.write(writeFrame({ opcode: 10, payload: 'ours', mask }));
      await eventually(() => relay.fromClient.pongs === 1, 'a pong');
      await under.passTime(1000);
      expect(relay.fromClient.silentMs).toBeLessThanOrEqual(2000);
      expect(relay.fromUpstream.silentMs).toBeGreaterThanOrEqual(5000);
      expect(upstream.unread.length).toBe(0);
    });
  });
}
