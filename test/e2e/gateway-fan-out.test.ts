/** What is published to many WebSockets at once, whoever writes it: the addon in one call, or Node socket by socket. */
import { request } from 'node:http';
import { describe, expect, test } from 'vitest';
import { loadNative } from '../../src/relay/native-binding.js';
import { writeFrame } from '../../src/protocol/frames/writer.js';
import { EventsBackend } from '../fixtures/events-backend.js';
import { startGateway } from '../fixtures/gateway.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { upgradeHead } from '../fixtures/rfc6455.js';

const native = loadNative();
const missing = 'reason' in native ? native.reason : undefined;
const writers = [
  { name: 'by the addon', relay: 'native', subscribers: 1000, missing },
  { name: 'by Node', relay: 'stream', subscribers: 100, missing: undefined },
] as const;

const CHANNEL = 'news';
const KiB = 1024;

interface Counts {
  readonly delivered: number;
  readonly dropped: number;
}

async function start(relay: 'native' | 'stream', slowConsumer: object = {}) {
  const backend = await EventsBackend.start();
  const gateway = { subscribe: [CHANNEL], slowConsumer };
  const more = { relay, publish: '127.0.0.1:0' } as const;
  const house = await startGateway({ to: backend.url, gateway, more });
  const { port } = house.proxy.publish as { port: number };
  const send = (items: readonly object[]): Promise<Counts> =>
    new Promise((resolve, reject) => {
      const where = { port, host: '127.0.0.1', method: 'POST', path: '/v1/publish', agent: false };
      const asking = request(where, (res) => {
        const chunks: Buffer[] = [];
        res.on('data', (chunk: Buffer) => chunks.push(chunk));
        res.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString()) as Counts));
      });
      asking.on('error', reject);
      asking.end(JSON.stringify({ items }));
    });
  return {
    ...house,
    /** All in one request, so that nothing else happens between them. */
    publish: (...texts: readonly string[]) => send(texts.map((content) => itemOf({ content }))),
    send,
    async join(options: { paused?: boolean } = {}): Promise<RawPeer> {
      const peer = await RawPeer.connect(house.port, options);
      peer.write(upgradeHead('x'));
      if (options.paused !== true) await peer.head();
      return peer;
    },
  };
}

const itemOf = (message: object) => ({ channel: CHANNEL, formats: { 'ws-message': message } });
const frameOf = (text: string): Buffer => writeFrame({ opcode: 1, payload: text });
const framesOf = (texts: readonly string[]): Buffer => Buffer.concat(texts.map(frameOf));

describe.each(writers)('$name', ({ relay, subscribers, missing }) => {
  test.skipIf(missing)(
    `${subscribers} subscribers get every byte, in order`,
    { timeout: 60_000 },
    async () => {
      const { join, publish, proxy, troubles } = await start(relay);
      const peers: RawPeer[] = [];
      while (peers.length < subscribers) {
        peers.push(...(await Promise.all(Array.from({ length: 100 }, () => join()))));
      }
      const texts = Array.from({ length: 12 }, (_, i) => `${i}:`.padEnd([10, 100, 1000][i % 3]!, 'x'));
      for (const text of texts.slice(0, 6)) {
        expect(await publish(text)).toMatchObject({ delivered: subscribers, dropped: 0 });
      }
      expect(await publish(...texts.slice(6))).toMatchObject({ delivered: 6 * subscribers, dropped: 0 });
      const wanted = framesOf(texts);
      for (const peer of peers) expect((await peer.take(wanted.length)).equals(wanted)).toBe(true);
      for (const { messagesFromUpstream, bytesFromUpstream } of proxy.sessions) {
        expect([messagesFromUpstream, bytesFromUpstream]).toEqual([12, texts.join('').length]);
      }
      expect(troubles.all).toEqual([]);
    },
  );

  describe.skipIf(missing)('one who does not read, among others', () => {
    const TIMES = 200;
    const textOf = (i: number): string => `${i} `.padEnd(64 * KiB, 'b');

    async function startWithSlow(policy: string) {
      const house = await start(relay, { policy, maxBytes: '1MiB' });
      const others = [await house.join(), await house.join(), await house.join()];
      const slow = await house.join({ paused: true });
      await eventually(() => house.proxy.sessions.length === 4, 'all are open');
      const counts = { delivered: 0, dropped: 0 };
      for (let i = 0; i < TIMES; i++) {
        const { delivered, dropped } = await house.publish(textOf(i));
        counts.delivered += delivered;
        counts.dropped += dropped;
      }
      const wanted = framesOf(Array.from({ length: TIMES }, (_, i) => textOf(i)));
      for (const peer of others) expect((await peer.take(wanted.length)).equals(wanted)).toBe(true);
      const session = house.proxy.sessions.find(({ messagesFromUpstream: n }) => n! < TIMES);
      return { ...house, counts, slow, session };
    }

    /** Whole frames, each of one of the texts. */
    async function numbersIn(slow: RawPeer, count: number): Promise<number[]> {
      const numbers: number[] = [];
      while (numbers.length < count) {
        const frame = await slow.take(frameOf(textOf(0)).length);
        const number = Number.parseInt(frame.toString('latin1', 10, 20));
        expect(frame.equals(frameOf(textOf(number)))).toBe(true);
        numbers.push(number);
      }
      return numbers;
    }

    test('drop-newest: it has what came first, whole and in order, and what was counted', async () => {
      const { slow, counts, session, publish } = await startWithSlow('drop-newest');
      expect(counts.delivered + counts.dropped).toBe(4 * TIMES);
      expect(counts.dropped).toBeGreaterThan(0);
      const had = session!.messagesFromUpstream!;
      expect(had).toBe(TIMES - counts.dropped);
      slow.resume();
      await slow.head();
      expect(await numbersIn(slow, had)).toEqual(Array.from({ length: had }, (_, i) => i));
      await publish('again');
      expect((await slow.take(7)).equals(frameOf('again'))).toBe(true);
    });

    test('drop-oldest: it has the first and the last, whole and in order', async () => {
      const { slow, counts, session, publish } = await startWithSlow('drop-oldest');
      expect(counts).toEqual({ delivered: 4 * TIMES, dropped: 0 });
      slow.resume();
      await slow.head();
      await eventually(() => session!.messagesFromUpstream! > 20, 'it has the first');
      await publish('again');
      const seen: number[] = [];
      while (seen.at(-1) !== TIMES - 1) seen.push(...(await numbersIn(slow, 1)));
      expect(seen).toEqual([...new Set(seen)].toSorted((a, b) => a - b));
      expect(seen.slice(0, 10)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
      expect(seen.length).toBeLessThan(TIMES);
      expect((await slow.take(7)).equals(frameOf('again'))).toBe(true);
    });

    test('close: it has what was given to it, then 1013, and the others stay', async () => {
      const { slow, counts, records, proxy } = await startWithSlow('close');
      expect(counts.dropped).toBe(1);
      slow.resume();
      await slow.head();
      const had = counts.delivered - 3 * TIMES;
      expect(await numbersIn(slow, had)).toEqual(Array.from({ length: had }, (_, i) => i));
      expect((await slow.take(17)).toString('latin1', 4)).toBe('slow consumer');
      slow.writeHex('8882 00000000 03f5');
      slow.end();
      expect(await records.next()).toMatchObject({
        outcome: 'limit',
        closeCodeFromUpstream: 1013,
        messagesFromUpstream: had,
      });
      expect(proxy.sessions).toHaveLength(3);
    });
  });

  test.skipIf(missing)('who closes or is gone in the midst of it costs the others nothing', async () => {
    const { join, publish, proxy, records } = await start(relay);
    const stayed: RawPeer[] = [];
    const closing: RawPeer[] = [];
    const torn: RawPeer[] = [];
    for (let i = 0; i < 20; i++) {
      for (const list of [stayed, closing, torn]) list.push(await join());
    }
    const texts = Array.from({ length: 10 }, (_, i) => `message ${i}`);
    const publishing = texts.map((text, i) => {
      // On their way while it is published.
      closing[i]!.writeHex('8882 00000000 03e8');
      torn[i]!.reset();
      return publish(text);
    });
    await Promise.all(publishing);
    for (let i = 10; i < 20; i++) torn[i]!.reset();
    await publish('last');
    for (const peer of closing.slice(0, 10)) {
      // The answer to its Close stands behind whole messages.
      const had = await peer.until(Buffer.from('880203e8', 'hex'));
      const found = texts.filter((text) => had.includes(frameOf(text)));
      expect(had.length).toBe(framesOf(found).length + 4);
      peer.end();
    }
    const wanted = [...texts, 'last'];
    for (const peer of [...stayed, ...closing.slice(10)]) {
      const had = await peer.take(framesOf(wanted).length);
      // Ten requests on ten connections come in any order.
      expect(wanted.filter((text) => had.includes(frameOf(text)))).toEqual(wanted);
    }
    await eventually(() => proxy.sessions.length === 30, 'the others have gone');
    expect(records.all.map(({ outcome }) => String(outcome)).toSorted(byName)).toEqual([
      ...Array.from({ length: 10 }, () => 'client-closed'),
      ...Array.from({ length: 20 }, () => 'client-lost'),
    ]);
  });

  test.skipIf(missing)('a Close that is published comes behind what was published before', async () => {
    const { join, send } = await start(relay);
    const peers = [await join(), await join()];
    await send([
      itemOf({ content: 'one' }),
      itemOf({ content: 'two' }),
      itemOf({ action: 'close', code: 4001 }),
    ]);
    for (const peer of peers) {
      const wanted = Buffer.concat([framesOf(['one', 'two']), Buffer.from('88020fa1', 'hex')]);
      expect((await peer.take(wanted.length)).toString('latin1')).toBe(wanted.toString('latin1'));
    }
  });
});

function byName(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
