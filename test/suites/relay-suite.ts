/** What every relay engine must do, whatever it is made of. */
import { createHash } from 'node:crypto';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Rfc6455Scanner } from '../../src/protocol/frames/rfc6455-scanner.js';
import { writeClose, writeFrame, writeHixieClose } from '../../src/protocol/frames/writer.js';
import type { Framing } from '../../src/protocol/handshake/types.js';
import type { Relay, RelayEngine, RelayOptions } from '../../src/relay/types.js';
import { fill } from '../fixtures/fill.js';
import { FrameLog } from '../fixtures/frame-log.js';
import { eventually, RawPeer, turn } from '../fixtures/raw-peer.js';
import { frames } from '../fixtures/rfc6455.js';

export interface EngineUnderTest {
  readonly name: string;
  readonly engine: RelayEngine;
  /** Lets so much of the engine's time pass. */
  passTime(ms: number): Promise<void>;
}

interface Joined {
  readonly client: RawPeer;
  readonly upstream: RawPeer;
  readonly relay: Relay;
}

interface JoinOptions extends Partial<RelayOptions> {
  readonly answer?: string;
  readonly earlyFromClient?: string;
  readonly earlyFromUpstream?: string;
  readonly framing?: Framing | undefined;
  /** Neither outer end reads until it is resumed. */
  readonly paused?: boolean;
  /** Runs when both connections stand, before they are joined. */
  readonly before?: (ends: { client: RawPeer; upstream: RawPeer; upstreamSocket: Socket }) => Promise<void>;
}

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

  describe('observes', () => {
    test('messages, close codes and who closed first, bytes untouched', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'rfc6455' });
      client.writeHex(frames.maskedHello + frames.maskedHello);
      upstream.writeHex(frames.hello);
      await upstream.take(22);
      await client.take(7);
      expect(relay.firstClose).toBeUndefined();
      const close = Buffer.from(frames.close1001, 'hex');
      await upstream.writeSlowly([close.subarray(0, 2), close.subarray(2)]);
      expect((await client.take(4)).toString('hex')).toBe(frames.close1001);
      client.writeHex(frames.maskedClose1001);
      expect((await upstream.take(8)).toString('hex')).toBe(frames.maskedClose1001);
      expect(relay.fromClient).toMatchObject({ bytes: 30, messages: 2, closeCode: 1001 });
      expect(relay.fromUpstream).toMatchObject({ bytes: 11, messages: 1, closeCode: 1001 });
      expect(relay.firstClose).toBe('upstream');
    });

    test('the reasons of Close frames, at the end', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'rfc6455' });
      const reason = 'grüße';
      client.write(writeClose(4000, reason, Buffer.from('01020304', 'hex')));
      upstream.write(writeClose(4001, 'a'.repeat(123)));
      await Promise.all([client.take(127), upstream.take(6 + 9)]);
      client.end();
      upstream.end();
      await relay.ended;
      expect(relay.fromClient).toMatchObject({ closeCode: 4000, closeReason: reason });
      expect(relay.fromUpstream).toMatchObject({ closeCode: 4001, closeReason: 'a'.repeat(123) });
    });

    test('frames that came early count', async () => {
      const { upstream, relay } = await join(make(), {
        framing: 'rfc6455',
        earlyFromClient: Buffer.from(frames.maskedClose1001, 'hex').toString('latin1'),
        earlyFromUpstream: Buffer.from(frames.hello, 'hex').toString('latin1'),
      });
      await upstream.take(8);
      expect(relay.fromUpstream.messages).toBe(1);
      expect(relay.fromClient.closeCode).toBe(1001);
      expect(relay.firstClose).toBe('client');
    });

    test('Hixie frames', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'hixie' });
      client.writeHex('0068690aff0068ff');
      await upstream.take(8);
      upstream.writeHex('ff00');
      await client.take(2);
      expect(relay.fromClient).toMatchObject({ messages: 2, closeCode: undefined });
      expect(relay.fromUpstream).toMatchObject({ messages: 0, closeCode: 1005 });
      expect(relay.firstClose).toBe('upstream');
    });

    test('what cannot be a frame still passes, and is said', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'rfc6455' });
      client.writeHex('ff'.repeat(14));
      expect((await upstream.take(14)).length).toBe(14);
      expect(relay.fromClient.blind).toMatch(/\w/);
      expect(relay.fromUpstream.blind).toBeUndefined();
    });

    test('frames that no scanner can read are moved and not counted', async () => {
      for (const framing of ['opaque', undefined] as const) {
        const { client, upstream, relay } = await join(make(), { framing });
        client.writeHex(frames.maskedHello);
        await upstream.take(11);
        expect(relay.fromClient).toMatchObject({ bytes: 11, messages: undefined, blind: undefined });
      }
    });
  });

  describe('puts frames in', () => {
    const mask = Buffer.from('01020304', 'hex');
    const ping = (payload: string, mask?: Uint8Array) => writeFrame({ opcode: 9, payload, mask });
    const pong = (payload: string) => writeFrame({ opcode: 10, payload, mask });

    test('a ping between frames; its pong goes no further, those of others do', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'rfc6455' });
      expect(relay.inject('client', 'ping', ping('ours'))).toBe(true);
      expect(await client.take(6)).toEqual(ping('ours'));
      client.write(Buffer.concat([pong('theirs'), pong('ours'), pong('ours')]));
      expect(await upstream.take(22)).toEqual(Buffer.concat([pong('theirs'), pong('ours')]));
      expect(relay.fromClient).toMatchObject({ pongs: 1, messages: 0, bytes: 32 });
      expect(relay.fromUpstream.pongs).toBe(0);
    });

    test('a ping towards the upstream, masked', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'rfc6455' });
      expect(relay.inject('upstream', 'ping', ping('up', mask))).toBe(true);
      expect(await upstream.take(8)).toEqual(ping('up', mask));
      upstream.write(writeFrame({ opcode: 10, payload: 'up' }));
      upstream.writeHex(frames.hello);
      expect((await client.take(7)).toString('hex')).toBe(frames.hello);
      expect(relay.fromUpstream).toMatchObject({ pongs: 1, messages: 1 });
    });

    test('never inside a frame, however big the chunks around it', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'rfc6455' });
      const long = writeFrame({ opcode: 2, payload: Buffer.alloc(100, 'x') });
      upstream.write(long.subarray(0, 50));
      await client.take(50);
      relay.inject('client', 'ping', ping('1'));
      relay.inject('client', 'ping', ping('2'));
      upstream.write(long.subarray(50, 60));
      expect(await client.take(10)).toEqual(long.subarray(50, 60));
      upstream.write(Buffer.concat([long.subarray(60), long.subarray(0, 30)]));
      expect(await client.take(42 + 6 + 30)).toEqual(
        Buffer.concat([long.subarray(60), ping('1'), ping('2'), long.subarray(0, 30)]),
      );
      expect(relay.fromUpstream.messages).toBe(1);
    });

    test('behind a Close of ours only silence, while the other way flows on', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'rfc6455' });
      const long = writeFrame({ opcode: 2, payload: Buffer.alloc(100, 'x') });
      upstream.write(long.subarray(0, 50));
      await client.take(50);
      expect(relay.inject('client', 'close', writeClose(1001))).toBe(true);
      upstream.write(Buffer.concat([long.subarray(50), long, long]));
      expect(await client.take(52 + 4)).toEqual(Buffer.concat([long.subarray(50), writeClose(1001)]));
      relay.inject('client', 'ping', ping('too late'));
      client.write(writeClose(1001, '', mask));
      expect(await upstream.take(8)).toEqual(writeClose(1001, '', mask));
      upstream.write(writeClose(1001));
      upstream.end();
      expect((await client.rest()).length).toBe(0);
      client.end();
      expect(await relay.ended).toEqual({ first: 'proxy', how: 'closed' });
      expect(relay.fromUpstream).toMatchObject({ messages: 3, closeCode: 1001 });
      expect(relay.firstClose).toBe('client');
    });

    test('nothing behind a Close of theirs', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'rfc6455' });
      upstream.write(writeClose(1000));
      await client.take(4);
      relay.inject('client', 'ping', ping('x'));
      relay.inject('client', 'close', writeClose(1001));
      upstream.end();
      expect((await client.rest()).length).toBe(0);
    });

    test('the close of Hixie-76', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'hixie' });
      upstream.writeHex('0061');
      await client.take(2);
      expect(relay.inject('client', 'close', writeHixieClose())).toBe(true);
      upstream.writeHex('62ff0063ff');
      expect((await client.take(4)).toString('hex')).toBe('62ffff00');
      client.writeHex('ff00');
      await upstream.take(2);
      upstream.end();
      expect((await client.rest()).length).toBe(0);
    });

    test('a pong in pieces: swallowed whole, or passed on whole', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'rfc6455' });
      relay.inject('client', 'ping', ping('ours'));
      await client.take(6);
      await client.writeSlowly(Array.from(pong('yours'), (byte) => Uint8Array.of(byte)));
      expect(await upstream.take(11)).toEqual(pong('yours'));
      await client.writeSlowly(Array.from(pong('ours'), (byte) => Uint8Array.of(byte)));
      client.writeHex(frames.maskedHello);
      expect((await upstream.take(11)).toString('hex')).toBe(frames.maskedHello);
      expect(relay.fromClient.pongs).toBe(1);
    });

    test('half a pong before the end is passed on, as it came', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'rfc6455' });
      relay.inject('client', 'ping', ping('ours'));
      await client.take(6);
      client.write(pong('ours').subarray(0, 7));
      client.end();
      expect(await upstream.rest()).toEqual(pong('ours').subarray(0, 7));
    });

    test('a pong that turns out to be no frame is passed on with all that follows', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'rfc6455' });
      relay.inject('client', 'ping', ping('ours'));
      await client.take(6);
      client.writeHex('8a04');
      const rest = Buffer.alloc(300, 0x8a);
      client.write(rest);
      expect(await upstream.take(302)).toEqual(Buffer.concat([Buffer.from('8a04', 'hex'), rest]));
      expect(relay.fromClient.blind).toContain('not masked');
      expect(relay.inject('upstream', 'ping', ping('x', mask))).toBe(false);
    });

    test('the pong to a later ping answers the earlier ones', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'rfc6455' });
      for (const payload of ['1', '2', '3']) relay.inject('client', 'ping', ping(payload));
      await client.take(9);
      client.write(Buffer.concat([pong('2'), pong('1'), pong('3')]));
      expect(await upstream.take(7)).toEqual(pong('1'));
      client.writeHex(frames.maskedHello);
      expect((await upstream.take(11)).toString('hex')).toBe(frames.maskedHello);
      expect(relay.fromClient.pongs).toBe(2);
    });

    test('while a side reads nothing, frames of ours wait with the rest', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'rfc6455', paused: true });
      const big = writeFrame({ opcode: 2, payload: Buffer.alloc(8 * MIB, 'x') });
      upstream.write(big);
      upstream.writeHex(frames.hello);
      await eventually(() => relay.fromUpstream.bytes > 0, 'bytes');
      relay.inject('client', 'ping', ping('ours'));
      client.resume();
      expect((await client.take(big.length)).equals(big)).toBe(true);
      expect(await client.take(13)).toEqual(Buffer.concat([ping('ours'), Buffer.from(frames.hello, 'hex')]));
    });

    test('busy both ways: every frame arrives, every ping between two of them', async () => {
      const { client, upstream, relay } = await join(make(), { framing: 'rfc6455' });
      const log = new FrameLog();
      const scanner = new Rfc6455Scanner(log);
      const sent = Array.from({ length: 300 }, (_, i) => Buffer.alloc((i * 37) % 700, i));
      const stream = Buffer.concat(sent.map((payload) => writeFrame({ opcode: 2, payload })));
      for (let at = 0, i = 0; at < stream.length; i++) {
        const length = 1 + ((i * 7919) % 900);
        upstream.write(stream.subarray(at, at + length));
        if (i % 3 === 0) relay.inject('client', 'ping', ping(String(i)));
        if (i % 5 === 0) await client.take(client.unread.length);
        at += length;
      }
      upstream.write(writeClose(1000));
      upstream.end();
      await client.ended;
      scanner.push(client.received);
      expect(scanner).toMatchObject({ blind: undefined, atBoundary: true });
      const data = log.frames.filter(({ opcode }) => opcode === 2);
      expect(data.map(({ payload }) => payload)).toEqual(sent.map((payload) => payload.toString('hex')));
      expect(log.frames.filter(({ opcode }) => opcode === 9).length).toBeGreaterThan(10);
      expect(log.frames.at(-1)!.opcode).toBe(8);
    });

    test('what cannot be done is said', async () => {
      const under = make();
      const { relay } = await join(under, { framing: 'rfc6455' });
      for (const [kind, hex] of [
        ['close', '8900'],
        ['ping', '8800'],
        ['ping', '890161ff'],
        ['ping', '89'],
        ['ping', '897e007e'],
        ['close', ''],
        ['ping', 'ff00'],
      ] as const) {
        expect(() => relay.inject('client', kind, Buffer.from(hex, 'hex'))).toThrow(RangeError);
      }
      relay.cut();
      await relay.ended;
      expect(relay.inject('client', 'ping', ping('x'))).toBe(false);
      const unread = await join(under, { framing: undefined });
      expect(unread.relay.inject('client', 'ping', ping('x'))).toBe(false);
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

/** Two connections with a relay between them, which is cut when the test is over. */
export async function join(under: EngineUnderTest, options: JoinOptions = {}): Promise<Joined> {
  const [client, clientSocket] = await connection(options.paused);
  const [upstream, upstreamSocket] = await connection(options.paused);
  await options.before?.({ client, upstream, upstreamSocket });
  const { answer = '', earlyFromClient = '', earlyFromUpstream = '' } = options;
  const relay = under.engine.join(
    {
      client: { socket: clientSocket, early: Buffer.from(earlyFromClient, 'latin1') },
      upstream: { socket: upstreamSocket, early: Buffer.from(earlyFromUpstream, 'latin1') },
      answer: Buffer.from(answer, 'latin1'),
      framing: options.framing,
    },
    { idleTimeoutMs: 0, halfCloseTimeoutMs: 0, maxAgeMs: 0, ...options },
  );
  onTestFinished(() => relay.cut());
  return { client, upstream, relay };
}

/** A TCP connection: the outer end in the test's hands, the inner one for the relay. */
async function connection(paused = false): Promise<[outer: RawPeer, inner: Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const socket = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    allowHalfOpen: true,
    noDelay: true,
  });
  const outer = new RawPeer(socket, { paused });
  // Node knows no reset before it knows of the connection.
  const [inner] = await Promise.all([accepted, new Promise((resolve) => socket.once('connect', resolve))]);
  server.close();
  return [outer, inner];
}

/** Sends so many bytes of changing content with back-pressure; digests of both ends. */
async function pump(from: RawPeer, to: RawPeer, total: number): Promise<{ sent: string; received: string }> {
  const sent = createHash('sha1');
  const received = createHash('sha1');
  let got = 0;
  const done = new Promise<void>((resolve) => {
    to.socket.removeAllListeners('data');
    to.socket.on('data', (chunk: Buffer) => {
      received.update(chunk);
      got += chunk.length;
      if (got >= total) resolve();
    });
  });
  for (let at = 0; at < total;) {
    const chunk = Buffer.alloc(Math.min(100_003, total - at), String(at));
    sent.update(chunk);
    at += chunk.length;
    if (!from.socket.write(chunk)) await new Promise((resolve) => from.socket.once('drain', resolve));
  }
  await done;
  return { sent: sent.digest('hex'), received: received.digest('hex') };
}
