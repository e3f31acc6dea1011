/** The native engine among Node's own objects: what it takes from them, what it leaves, and how it goes away. */
import { readdirSync, readFileSync, readlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { ManualClock } from '../../src/base/manual-clock.js';
import { reset } from '../../src/net/sockets.js';
import { NativeEngine } from '../../src/relay/native.js';
import { loadNative, type NativeBinding } from '../../src/relay/native-binding.js';
import { StreamEngine } from '../../src/relay/stream.js';
import type { RelayEngine, RelayPair } from '../../src/relay/types.js';
import { eventually, RawPeer, turn } from '../fixtures/raw-peer.js';

const native = loadNative();
const missing = 'reason' in native;
const binding = missing ? (undefined as unknown as NativeBinding) : native.binding;

const nothing = Buffer.alloc(0);
const forever = { idleTimeoutMs: 0, halfCloseTimeoutMs: 0, maxAgeMs: 0 };

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

describe.skipIf(missing)(`the native engine and Node${missing ? ` — skipped: ${native.reason}` : ''}`, () => {
  describe('what goes to the fallback', () => {
    test('a socket with bytes that are not flushed: they arrive, and in order', async () => {
      const { client, upstream, inner } = await connections();
      client.pause();
      // More than the kernel takes at once.
      const unflushed = Buffer.alloc(16 * 2 ** 20, 'x');
      inner.client.write(unflushed);
      expect(inner.client.writableLength).toBeGreaterThan(0);
      const { engine, used } = makeEngine();
      engine.join(pairOf(inner, { answer: Buffer.from('HEAD') }), forever);
      expect(used()).toBe(1);
      client.resume();
      expect((await client.take(unflushed.length)).equals(unflushed)).toBe(true);
      expect((await client.take(4)).toString()).toBe('HEAD');
      upstream.write('down');
      expect((await client.take(4)).toString()).toBe('down');
    });

    test('a stream that is no plain socket', async () => {
      const { inner } = await connections();
      const { engine, used } = makeEngine();
      const stream = Object.create(inner.client, { destroyed: { value: true } }) as Socket;
      engine.join({ ...pairOf(inner), client: { socket: stream, early: nothing } }, forever);
      expect(used()).toBe(1);
    });

    test('a pair for which there is no descriptor left, with all that was read', async () => {
      const { client, upstream, inner } = await connections();
      const starving = { ...binding, join: () => 24 };
      const { engine, used } = makeEngine(starving);
      client.write('early');
      await eventually(() => inner.client.readableLength === 5, 'bytes in Node’s buffer');
      engine.join(pairOf(inner, { answer: Buffer.from('HEAD') }), forever);
      expect(used()).toBe(1);
      expect((await upstream.take(5)).toString()).toBe('early');
      expect((await client.take(4)).toString()).toBe('HEAD');
    });
  });

  describe('what it takes from Node', () => {
    test('bytes in Node’s buffers go behind those that came early, and before all others', async () => {
      const { client, upstream, inner } = await connections();
      const { engine, used } = makeEngine();
      client.write('b');
      upstream.write('2');
      await eventually(
        () => inner.client.readableLength === 1 && inner.upstream.readableLength === 1,
        'bytes in Node’s buffers',
      );
      const relay = engine.join(
        {
          client: { socket: inner.client, early: Buffer.from('a') },
          upstream: { socket: inner.upstream, early: Buffer.from('1') },
          answer: Buffer.from('HEAD'),
          framing: undefined,
        },
        forever,
      );
      client.write('c');
      upstream.write('3');
      expect((await upstream.take(3)).toString()).toBe('abc');
      expect((await client.take(7)).toString()).toBe('HEAD123');
      expect(relay.fromClient.bytes).toBe(3);
      expect(relay.fromUpstream.bytes).toBe(3);
      expect(used()).toBe(0);
    });

    test('unix sockets', async () => {
      const path = join(tmpdir(), `tidegate-${process.pid}.sock`);
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
      await new Promise<void>((resolve) => server.listen(path, resolve));
      onTestFinished(() => void server.close());
      const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
      const upstream = await RawPeer.connect({ path });
      const { client, inner } = await connections();
      const { engine, used } = makeEngine();
      const relay = engine.join(pairOf({ client: inner.client, upstream: await accepted }), forever);
      const big = Buffer.alloc(2 ** 20, 'u');
      client.write(big);
      expect((await upstream.take(big.length)).equals(big)).toBe(true);
      upstream.write('down');
      expect((await client.take(4)).toString()).toBe('down');
      upstream.end();
      expect(await client.ended).toBe('end');
      client.end();
      expect(await relay.ended).toEqual({ first: 'upstream', how: 'end' });
      expect(used()).toBe(0);
    });

    test('the sockets and the request of an upgrade become garbage', async () => {
      const { upstream, inner } = await connections();
      const { engine } = makeEngine();
      const server = createHttpServer();
      const seen: WeakRef<object>[] = [];
      const joined = new Promise<void>((resolve) => {
        server.once('upgrade', (req: IncomingMessage, socket: Duplex, early: Buffer) => {
          socket.pause();
          seen.push(new WeakRef(req), new WeakRef(socket));
          engine.join({ ...pairOf(inner), client: { socket, early } }, forever);
          resolve();
        });
      });
      const port = await listen(server);
      const client = await RawPeer.connect(port);
      client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly');
      await joined;
      expect((await upstream.take(5)).toString()).toBe('early');
      await eventually(() => {
        collect();
        return seen.every((ref) => ref.deref() === undefined);
      }, 'socket and request are garbage');
      // The server counts it no more, and the tunnel lives.
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      upstream.write('down');
      expect((await client.take(4)).toString()).toBe('down');
    });
  });

  test('10,000 random cuts: every end is told, and no descriptor is left', { timeout: 180_000 }, async () => {
    const { engine } = makeEngine();
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).setMaxListeners(0);
    const port = await listen(server);
    const before = await restingDescriptors();
    let random = 2010;
    const draw = (below: number) => (random = (random * 48_271) % 0x7fff_ffff) % below;
    const oneTunnel = async () => {
      const [client, upstream] = [await dialTwice(server, port), await dialTwice(server, port)];
      const relay = engine.join(
        {
          client: { socket: client.inner, early: nothing },
          upstream: { socket: upstream.inner, early: nothing },
          answer: Buffer.from('HEAD'),
          framing: 'rfc6455',
        },
        forever,
      );
      for (let i = draw(3); i > 0; i--)
        (draw(2) === 0 ? client : upstream).outer.write(Buffer.alloc(draw(2000)));
      const ends = [
        () => reset(client.outer),
        () => reset(upstream.outer),
        () => client.outer.destroy(),
        () => relay.cut(),
        () => (client.outer.end(), upstream.outer.end()),
        () => (upstream.outer.end(), relay.cut()),
      ];
      ends[draw(ends.length)]!();
      if (draw(2) === 0) ends[draw(ends.length)]!();
      const end = await Promise.race([
        relay.ended,
        new Promise((resolve) => setTimeout(resolve, 60, 'late')),
      ]);
      // One that was only half closed.
      if (end === 'late') relay.cut();
      expect((await relay.ended).first).toMatch(/\w/);
      client.outer.destroy();
      upstream.outer.destroy();
    };
    let left = 10_000;
    const worker = async () => {
      while (left-- > 0) await oneTunnel();
    };
    await Promise.all(Array.from({ length: 40 }, worker));
    // The threads keep theirs.
    const own = 3 * THREADS;
    const isBack = (allowed: number) => () => descriptors().length <= before.length + allowed;
    const grown = () => `no more descriptors than ${before.join(' ')}, but ${descriptors().join(' ')}`;
    await eventually(isBack(own), grown);
    engine.close();
    await eventually(isBack(0), grown);
    server.close();
  });

  describe('how it goes away', () => {
    test('closed: what is open is cut, its end is told, its threads are gone, and later pairs are still served', async () => {
      const { client, upstream, inner } = await connections();
      const threads = threadCount();
      const { engine, used } = makeEngine();
      const relay = engine.join(pairOf(inner), forever);
      expect(threadCount()).toBe(threads + THREADS);
      engine.close();
      expect(await relay.ended).toEqual({ first: 'proxy', how: 'cut' });
      expect(await client.ended).toBe('reset');
      expect(await upstream.ended).toBe('reset');
      // A thread that has been joined stands in /proc for a moment longer.
      await eventually(() => threadCount() === threads, `${threads} threads`);
      expect(relay.fromClient.bytes).toBe(0);
      relay.cut();
      engine.close();
      engine.join(pairOf((await connections()).inner), forever);
      expect(used()).toBe(1);
    });

    test('forgotten: an engine without tunnels is collected with its threads', async () => {
      const threads = threadCount();
      await (async () => {
        const { client, upstream, inner } = await connections();
        const relay = new NativeEngine(binding, refuse, { threads: 2 }).join(pairOf(inner), forever);
        client.write('up');
        await upstream.take(2);
        collect();
        await turn();
        collect();
        // Held by its tunnel alone.
        upstream.write('down');
        await client.take(4);
        client.reset();
        await relay.ended;
      })();
      await eventually(() => {
        collect();
        return threadCount() <= threads;
      }, 'the threads are gone');
    });

    test('two engines do not know each other', async () => {
      const [one, other] = [makeEngine(), makeEngine()];
      const a = await connections();
      const b = await connections();
      const relayA = one.engine.join(pairOf(a.inner), forever);
      const relayB = other.engine.join(pairOf(b.inner), forever);
      one.engine.close();
      await relayA.ended;
      b.client.write('still');
      await b.upstream.take(5);
      expect(relayB.fromClient.bytes).toBe(5);
    });
  });
});

describe('loading', () => {
  const file = join(tmpdir(), `tidegate-${process.pid}.node`);
  afterAll(() => unlinkSync(file));

  test.runIf(process.platform === 'linux')('says why there is no addon', () => {
    writeFileSync(file, 'no library at all');
    expect(loadNative(['/nowhere/tidegate_relay.node'])).toEqual({
      reason: 'it was not built (npm run build:native tells why)',
    });
    expect(JSON.stringify(loadNative([file]))).toContain('it cannot be loaded: ');
  });
});

const THREADS = 2;

const refuse: RelayEngine = {
  name: 'stream',
  join() {
    throw new Error('the fallback was used');
  },
};

/** An engine whose fallback counts. */
function makeEngine(from: NativeBinding = binding) {
  let used = 0;
  const stream = new StreamEngine(new ManualClock());
  const fallback: RelayEngine = {
    name: 'stream',
    join(pair, options) {
      used++;
      return stream.join(pair, options);
    },
  };
  const engine = new NativeEngine(from, fallback, { threads: THREADS });
  onTestFinished(() => engine.close());
  return { engine, used: () => used };
}

interface Inner {
  readonly client: Socket;
  readonly upstream: Socket;
}

function pairOf({ client, upstream }: Inner, part: Partial<RelayPair> = {}): RelayPair {
  return {
    client: { socket: client, early: nothing },
    upstream: { socket: upstream, early: nothing },
    answer: nothing,
    framing: undefined,
    ...part,
  };
}

/** Two connections: outer ends for the test, inner ones for the engine. */
async function connections(): Promise<{ client: RawPeer; upstream: RawPeer; inner: Inner }> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  const port = await listen(server);
  const open = async () => {
    const { outer, inner } = await dialTwice(server, port);
    // Node reads ahead into its buffer, as it does behind a handshake.
    inner.resume();
    inner.pause();
    return { outer: new RawPeer(outer), inner };
  };
  const client = await open();
  const upstream = await open();
  server.close();
  return {
    client: client.outer,
    upstream: upstream.outer,
    inner: { client: client.inner, upstream: upstream.inner },
  };
}

/** The two ends of a new connection. Whoever accepts it may be told first. */
async function dialTwice(server: Server, port: number): Promise<{ outer: Socket; inner: Socket }> {
  const outer = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  outer.on('error', () => {});
  outer.resume();
  let accept!: (socket: Socket) => void;
  const accepted = new Promise<Socket>((resolve) => {
    accept = (socket) => {
      unclaimed.set(socket.remotePort!, socket);
      if (outer.localPort !== undefined && unclaimed.has(outer.localPort)) resolve(socket);
    };
  });
  server.on('connection', accept);
  await new Promise((resolve) => outer.once('connect', resolve));
  const inner = unclaimed.get(outer.localPort!) ?? (await accepted);
  server.off('connection', accept);
  unclaimed.delete(outer.localPort!);
  return { outer, inner };
}

const unclaimed = new Map<number, Socket>();

function listen(server: Server): Promise<number> {
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)),
  );
}

/** What the process has open that a tunnel or a thread could have left: its files are its own business. */
function descriptors(): string[] {
  const targets = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return 'the reading of this list';
    }
  });
  return targets.filter((target) => /^(?:socket|anon_inode):/.test(target));
}

async function restingDescriptors(): Promise<string[]> {
  for (let i = 0; i < 20; i++) await turn();
  return descriptors();
}

function threadCount(): number {
  return Number(/^Threads:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]);
}
