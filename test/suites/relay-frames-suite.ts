/** What every relay engine must see of frames, and how it puts others in between. */
import { describe, expect, test } from 'vitest';
import { Rfc6455Scanner } from '../../src/protocol/frames/rfc6455-scanner.js';
import { writeClose, writeFrame, writeHixieClose } from '../../src/protocol/frames/writer.js';
import { FrameLog } from '../fixtures/frame-log.js';
import { eventually } from '../fixtures/raw-peer.js';
import { frames } from '../fixtures/rfc6455.js';
import { type EngineUnderTest, join } from '../fixtures/relay-ends.js';

const MIB = 2 ** 20;

export function relayFramesSuite(make: () => EngineUnderTest): void {
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
}
