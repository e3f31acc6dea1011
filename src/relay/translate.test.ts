/** Rung `translate` on real sockets. */
import { describe, expect, test } from 'vitest';
import { hex } from '../../test/fixtures/chunking.js';
import { fill } from '../../test/fixtures/fill.js';
import { eventually, type RawPeer } from '../../test/fixtures/raw-peer.js';
import { textsByWs } from '../../test/fixtures/ws-receiver.js';
import { join, type EngineUnderTest } from '../../test/fixtures/relay-ends.js';
import { ManualClock } from '../base/manual-clock.js';
import { writeClose, writeFrame, writeHixieText } from '../protocol/frames/writer.js';
import type { Generation } from '../protocol/handshake/types.js';
import { StreamEngine } from './stream.js';
import { joinTranslated } from './translate.js';

const KIB = 1024;
const MIB = KIB ** 2;
const mask = hex('37fa213d');

function make(client: Generation, upstream: Generation): EngineUnderTest & { readonly clock: ManualClock } {
  const clock = new ManualClock();
  const stream = new StreamEngine(clock);
  const translation = { client, upstream, maxMessageBytes: MIB, maxFragments: 100 };
  return {
    name: 'translate',
    engine: {
      name: 'stream',
      join: (pair, options) => joinTranslated(stream, pair, options, translation, clock),
    },
    clock,
    passTime: async (ms: number) => clock.advance(ms),
  };
}

const oldClient = () => make('hixie-76', 'rfc6455');
const oldServer = () => make('rfc6455', 'hixie-76');
const masked = (payload: string | Buffer, opcode = 1) => writeFrame({ opcode, payload, mask });
const plain = (payload: string | Buffer, opcode = 1) => writeFrame({ opcode, payload });
const old = (text: string) => writeHixieText(text);
const GOODBYE = hex('ff00');

/** A frame that Tidegate has masked, with its payload in the clear. */
async function takeMasked(peer: RawPeer, payloadBytes: number): Promise<{ first: number; text: string }> {
  const [first, second, ...rest] = await peer.take(6 + payloadBytes);
  expect(second).toBe(0x80 | payloadBytes);
  const text = Buffer.from(rest.slice(4).map((byte, i) => byte ^ rest[i % 4]!)).toString('latin1');
  return { first: first!, text };
}

describe('messages', () => {
  test('of a Hixie client before RFC 6455: the answer and what came early in their places', async () => {
    const { client, upstream, relay } = await join(oldClient(), {
      answer: 'HEAD',
      earlyFromUpstream: plain('first').toString('latin1'),
      earlyFromClient: old('early').toString('latin1'),
    });
    expect((await client.until(old('first'))).toString('latin1')).toBe(
      `HEAD${old('first').toString('latin1')}`,
    );
    expect(await takeMasked(upstream, 5)).toEqual({ first: 0x81, text: 'early' });
    client.write(old('up'));
    upstream.write(plain('down'));
    expect((await takeMasked(upstream, 2)).text).toBe('up');
    expect(await client.take(6)).toEqual(old('down'));
    expect(relay.fromClient).toMatchObject({ bytes: 7 + 4, messages: 2, closeCode: undefined });
    expect(relay.fromUpstream).toMatchObject({ bytes: 7 + 6, messages: 2 });
  });

  test('of an RFC 6455 client before Hixie', async () => {
    const { client, upstream, relay } = await join(oldServer(), {
      answer: 'HEAD',
      earlyFromUpstream: old('first').toString('latin1'),
      earlyFromClient: masked('early').toString('latin1'),
    });
    expect((await client.take(11)).toString('latin1')).toBe(`HEAD${plain('first').toString('latin1')}`);
    expect(await upstream.take(7)).toEqual(old('early'));
    upstream.write(old('down'));
    expect(await client.take(6)).toEqual(plain('down'));
    expect(relay.fromUpstream).toMatchObject({ bytes: 7 + 6, messages: 2 });
  });

  test('pings are answered here, and nothing of them reaches Hixie', async () => {
    const { client, upstream } = await join(oldServer());
    client.write(Buffer.concat([masked('why', 9), masked('so', 10), masked('text')]));
    expect(await client.take(5)).toEqual(plain('why', 10));
    expect(await upstream.take(6)).toEqual(old('text'));
  });

  test('many at once each way, none lost', async () => {
    const { client, upstream } = await join(oldClient());
    const texts = Array.from({ length: 5000 }, (_, i) => `${i} grüße ✓ ${'x'.repeat(i % 300)}`);
    for (const text of texts) client.write(old(text));
    for (const text of texts) upstream.write(plain(text));
    upstream.write(plain('last'));
    client.write(old('last'));
    await client.until(old('last'));
    const wanted = texts.reduce((sum, text) => {
      const bytes = Buffer.byteLength(text);
      return sum + bytes + (bytes < 126 ? 6 : 8);
    }, 10);
    expect(textsByWs(await upstream.take(wanted), true)).toEqual({
      texts: [...texts, 'last'],
      error: undefined,
    });
    const received = client.received
      .toString()
      .split('\ufffd')
      .map((text) => text.slice(1));
    expect(received.slice(0, -1)).toEqual([...texts, 'last']);
  });

  test.each([
    ['client', 'Hixie', oldClient, plain('x'.repeat(64 * KIB))],
    ['upstream', 'RFC 6455', oldClient, old('x'.repeat(64 * KIB))],
    ['client', 'RFC 6455', oldServer, old('x'.repeat(64 * KIB))],
    ['upstream', 'Hixie', oldServer, masked('x'.repeat(64 * KIB))],
  ] as const)('a %s of %s that does not read holds the other side back', async (idle, _, under, chunk) => {
    const { client, upstream, relay } = await join(under(), { paused: true });
    const [reader, writer] = idle === 'client' ? [client, upstream] : [upstream, client];
    const written = await fill(writer, chunk);
    expect(written).toBeLessThan(64 * MIB);
    const messages = written / chunk.length;
    reader.resume();
    const carried = () => (idle === 'client' ? relay.fromUpstream : relay.fromClient);
    await eventually(() => carried().messages === messages, 'all messages have passed');
    await reader.take(messages * 64 * KIB);
  });
});

describe('closes', () => {
  test('FF 00 of a Hixie client is Close 1000, and the answer FF 00', async () => {
    const { client, upstream, relay } = await join(oldClient(), { closeTimeoutMs: 5000 });
    client.write(GOODBYE);
    expect(await takeMasked(upstream, 2)).toEqual({ first: 0x88, text: '\u0003è' });
    upstream.write(writeClose(1000));
    expect(await client.take(2)).toEqual(GOODBYE);
    expect(await client.ended).toBe('end');
    expect(await upstream.ended).toBe('end');
    client.end();
    upstream.end();
    expect(await relay.ended).toEqual({ first: 'client', how: 'closed' });
    expect(relay.fromClient.closeCode).toBe(1005);
    expect(relay.fromUpstream.closeCode).toBe(1000);
    expect(relay.firstClose).toBe('client');
  });

  test('a Close of an RFC 6455 client is FF 00, and the answer has its code', async () => {
    const { client, upstream, relay } = await join(oldServer(), { closeTimeoutMs: 5000 });
    client.write(writeClose(4000, 'enough', mask));
    // And an end, for servers that take no notice of FF 00.
    expect(await upstream.rest()).toEqual(GOODBYE);
    expect(await upstream.ended).toBe('end');
    upstream.write(GOODBYE);
    expect(await client.take(4)).toEqual(writeClose(4000));
    client.end();
    upstream.end();
    expect(await relay.ended).toMatchObject({ first: 'client' });
    expect(relay.fromClient).toMatchObject({ closeCode: 4000, closeReason: 'enough' });
    expect(relay.fromUpstream.closeCode).toBe(1005);
  });

  test('Hixie-75 has only its end, both ways', async () => {
    const { client, upstream, relay } = await join(make('hixie-75', 'rfc6455'), { closeTimeoutMs: 5000 });
    upstream.write(Buffer.concat([plain('bye'), writeClose(4001)]));
    expect(await client.rest()).toEqual(old('bye'));
    expect(await client.ended).toBe('end');
    client.end();
    expect((await takeMasked(upstream, 2)).text).toBe('\u000f¡');
    expect(await upstream.ended).toBe('end');
    upstream.end();
    expect(await relay.ended).toMatchObject({ first: 'upstream' });
    expect(relay.fromUpstream.closeCode).toBe(4001);

    const second = await join(make('hixie-75', 'rfc6455'), { closeTimeoutMs: 5000 });
    second.client.end();
    expect((await takeMasked(second.upstream, 2)).text).toBe('\u0003è');
    expect(await second.upstream.ended).toBe('end');
    second.upstream.end();
    await second.client.ended;
    expect(await second.relay.ended).toMatchObject({ first: 'client' });
  });

  test('a Hixie-75 client before a Hixie-76 server', async () => {
    const { client, upstream } = await join(make('hixie-75', 'hixie-76'), { closeTimeoutMs: 5000 });
    client.write(old('a'));
    expect(await upstream.take(3)).toEqual(old('a'));
    upstream.write(Buffer.concat([old('b'), GOODBYE]));
    expect(await client.rest()).toEqual(old('b'));
    client.end();
    expect(await upstream.take(2)).toEqual(GOODBYE);
  });

  test('an end without a close: 1001 between two messages, nothing in the middle of one', async () => {
    const between = await join(oldServer());
    between.upstream.write(old('a'));
    between.upstream.end();
    expect(await between.client.rest()).toEqual(Buffer.concat([plain('a'), writeClose(1001)]));
    const within = await join(oldServer());
    within.upstream.write(Buffer.concat([old('a'), hex('00 62')]));
    within.upstream.end();
    expect(await within.client.rest()).toEqual(plain('a'));
    expect(await within.client.ended).toBe('end');
    within.client.end();
    expect(await within.relay.ended).toEqual({ first: 'upstream', how: 'end' });
  });

  test('the end of an RFC 6455 side without a Close is the bare end of Hixie', async () => {
    const { client, upstream, relay } = await join(oldClient());
    upstream.write(plain('a'));
    upstream.end();
    expect(await client.rest()).toEqual(old('a'));
    expect(await client.ended).toBe('end');
    client.end();
    expect(await relay.ended).toEqual({ first: 'upstream', how: 'end' });
  });

  test.each(['client', 'upstream'] as const)('a reset of the %s comes through as one', async (first) => {
    for (const under of [oldClient(), oldServer()]) {
      const { client, upstream, relay } = await join(under);
      const [one, other] = first === 'client' ? [client, upstream] : [upstream, client];
      one.reset();
      expect(await other.ended).toBe('reset');
      expect(await relay.ended).toMatchObject({ first, how: 'reset' });
    }
  });

  test('a side that had ended before the tunnel began', async () => {
    const { client } = await join(oldServer(), {
      before: async ({ upstream, upstreamSocket }) => {
        upstream.end();
        upstreamSocket.resume();
        await new Promise((resolve) => upstreamSocket.once('end', resolve));
      },
      earlyFromUpstream: old('a').toString('latin1'),
    });
    expect(await client.rest()).toEqual(Buffer.concat([plain('a'), writeClose(1001)]));
  });
});

describe('ends of ours', () => {
  test('a Close towards Hixie is FF 00; its answer has the code, and nothing follows', async () => {
    const { client, upstream, relay } = await join(oldClient(), { closeTimeoutMs: 5000 });
    expect(relay.inject('client', 'close', writeClose(1001, 'drained'))).toBe(true);
    expect(await client.take(2)).toEqual(GOODBYE);
    upstream.write(plain('too late'));
    client.write(GOODBYE);
    expect((await takeMasked(upstream, 2)).text).toBe('\u0003é');
    upstream.write(writeClose(1001));
    expect(await client.rest()).toEqual(Buffer.alloc(0));
    client.end();
    await upstream.ended;
    upstream.end();
    expect(await relay.ended).toEqual({ first: 'proxy', how: 'closed' });
  });

  test('a Close towards Hixie-75 is the end of its connection', async () => {
    const { client, upstream, relay } = await join(make('hixie-75', 'rfc6455'), { closeTimeoutMs: 5000 });
    relay.inject('client', 'close', writeClose(1001));
    expect(await client.ended).toBe('end');
    client.end();
    expect((await takeMasked(upstream, 2)).text).toBe('\u0003é');
    upstream.write(writeClose(1001));
    upstream.end();
    expect(await relay.ended).toEqual({ first: 'proxy', how: 'closed' });
  });

  test('idle: 1001 to the one, FF 00 to the other', async () => {
    const under = oldServer();
    const { client, upstream, relay } = await join(under, { idleTimeoutMs: 3000 });
    await under.passTime(5000);
    expect(await client.take(8)).toEqual(writeClose(1001, 'idle'));
    expect(await upstream.take(2)).toEqual(GOODBYE);
    client.write(writeClose(1001, '', mask));
    upstream.write(GOODBYE);
    await client.ended;
    await upstream.ended;
    client.end();
    upstream.end();
    expect(await relay.ended).toEqual({ first: 'proxy', how: 'idle' });
  });

  test('not idle is who is in the middle of a long message', async () => {
    const under = oldClient();
    const { client, upstream, relay } = await join(under, { idleTimeoutMs: 3000 });
    client.writeHex('00');
    for (let i = 0; i < 5; i++) {
      client.write('x');
      await eventually(() => relay.fromClient.bytes === 2 + i, 'it is read');
      await under.passTime(2000);
      expect(relay.fromClient.silentMs).toBeLessThanOrEqual(2000);
    }
    client.writeHex('ff');
    expect((await takeMasked(upstream, 5)).text).toBe('xxxxx');
    await under.passTime(5000);
    await client.until(GOODBYE);
  });

  test.each([
    ['client', 'hixie-76', 'rfc6455', old('12345678901')],
    ['upstream', 'rfc6455', 'hixie-76', old('12345678901')],
    ['client', 'rfc6455', 'hixie-76', masked('12345678901')],
    ['upstream', 'hixie-76', 'rfc6455', plain('12345678901')],
  ] as const)('the %s of %s, %s sends more than maxMessageBytes', async (side, one, two, message) => {
    const limits = { [side === 'client' ? 'fromClient' : 'fromUpstream']: { maxMessageBytes: 10 } };
    const { client, upstream, relay } = await join(make(one, two), { ...limits, closeTimeoutMs: 5000 });
    (side === 'client' ? client : upstream).write(message);
    const words = side === 'client' ? { code: 1009, other: 1001 } : { code: 1001, other: 1009 };
    if (one === 'hixie-76') expect(await client.take(2)).toEqual(GOODBYE);
    else expect((await client.take(4)).readUInt16BE(2)).toBe(words.code);
    if (two === 'hixie-76') expect(await upstream.take(2)).toEqual(GOODBYE);
    else expect(textCode(await takeMaskedClose(upstream))).toBe(words.other);
    client.end();
    upstream.end();
    expect(await relay.ended).toEqual({ first: 'proxy', how: 'limit', limit: 'message-size', side });
  });
});

describe('faults', () => {
  test('a binary message of the client: 1003 to it, FF 00 to Hixie, nothing more either way', async () => {
    const { client, upstream, relay } = await join(oldServer(), { closeTimeoutMs: 5000 });
    client.write(Buffer.concat([masked('a'), masked('b', 2), masked('c')]));
    expect(await upstream.take(5)).toEqual(Buffer.concat([old('a'), GOODBYE]));
    upstream.write(old('late'));
    const words = 'binary messages cannot be said in Hixie, from the client';
    expect(await client.take(4 + words.length)).toEqual(writeClose(1003, words));
    client.write(writeClose(1003, '', mask));
    upstream.write(GOODBYE);
    expect(await client.rest()).toEqual(Buffer.alloc(0));
    expect(await upstream.rest()).toEqual(Buffer.alloc(0));
    client.end();
    upstream.end();
    expect(await relay.ended).toEqual({
      first: 'proxy',
      how: 'fault',
      fault: { code: 'TRANSLATION_BINARY', by: 'client', reason: words },
    });
    expect(relay.fromClient.closeCode).toBe(1003);
  });

  test.each([
    ['binary of the upstream', oldClient, 'upstream', plain('b', 2), 1003],
    ['a masked frame of the upstream', oldClient, 'upstream', masked('b'), 1002],
    ['bad text of the upstream', oldClient, 'upstream', plain(hex('c3')), 1007],
    ['bad text of an old client', oldClient, 'client', hex('00 c3 ff'), 1007],
    ['a bad length of an old client', oldClient, 'client', hex('80 ffffffffff'), 1002],
    ['too much of an old client', oldClient, 'client', old('x'.repeat(MIB + 1)), 1009],
  ] as const)('%s', async (_, under, from, bytes, code) => {
    const { client, upstream, relay } = await join(under(), { closeTimeoutMs: 5000 });
    (from === 'client' ? client : upstream).write(bytes);
    expect(await client.take(2)).toEqual(GOODBYE);
    expect(textCode(await takeMaskedClose(upstream))).toBe(code);
    upstream.end();
    client.end();
    expect(await relay.ended).toMatchObject({ first: 'proxy', how: 'fault', fault: { by: from } });
  });

  test('in what came early', async () => {
    const { client, upstream, relay } = await join(oldClient(), {
      answer: 'HEAD',
      earlyFromClient: '\x00\xc3\xff',
    });
    expect((await client.take(6)).toString('latin1')).toBe('HEAD\xff\x00');
    expect(textCode(await takeMaskedClose(upstream))).toBe(1007);
    client.end();
    upstream.end();
    expect(await relay.ended).toMatchObject({ how: 'fault' });
  });

  test('who does not answer is cut after closeTimeoutMs', async () => {
    const under = oldServer();
    const { client, relay } = await join(under, { closeTimeoutMs: 3000 });
    client.write(masked('b', 2));
    await client.until('client');
    await under.passTime(6000);
    expect(await relay.ended).toMatchObject({ how: 'fault' });
    expect(under.clock.pending).toBe(0);
  });
});

/** The payload of the next Close, unmasked. */
async function takeMaskedClose(peer: RawPeer): Promise<Buffer> {
  const [first, second] = await peer.take(2);
  expect(first).toBe(0x88);
  const rest = await peer.take(4 + (second! & 0x7f));
  return Buffer.from(rest.subarray(4).map((byte, i) => byte ^ rest[i % 4]!));
}

function textCode(payload: Buffer): number {
  return payload.readUInt16BE(0);
}
