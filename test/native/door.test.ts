/** The door in the addon, driven as the session drives it, with Node's own clients and upstreams. */
import { once } from 'node:events';
import { renameSync, unlinkSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, onTestFinished, test } from 'vitest';
import { DOOR_EVENT, EVENT_WORDS, type DoorHandle } from '../../src/net/door-binding.js';
import { loadNative, type EngineHandle, type NativeBinding } from '../../src/relay/native-binding.js';
import { Child } from '../fixtures/child.js';
import { deafPort } from '../fixtures/deaf-port.js';
import { Inbox } from '../fixtures/inbox.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';

/** Another build of the addon, with a sanitizer. */
const built = fileURLToPath(new URL('../../native/build/Release/tidegate_relay.node', import.meta.url));
const addon = process.env['TIDEGATE_TEST_ADDON'] ?? built;
const native = loadNative([addon]);
const missing = 'reason' in native;
const binding = missing ? (undefined as unknown as NativeBinding) : native.binding;
const program = fileURLToPath(new URL('door-program.mjs', import.meta.url));

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const nothing = new Uint8Array(0);
const ESRCH = 3;
const EINVAL = 22;
const ECONNRESET = 104;
const EISCONN = 106;
const ENOTCONN = 107;
const ESHUTDOWN = 108;
const ECONNREFUSED = 111;

describe.skipIf(missing)(`the door in the addon${missing ? ` — skipped: ${native.reason}` : ''}`, () => {
  describe('a client', () => {
    test.each([
      ['127.0.0.1', '127.0.0.1', '127.0.0.1'],
      ['::1', '::1', '::1'],
      ['::', '127.0.0.1', '::ffff:127.0.0.1'],
    ])('of a listener at %s that comes to %s: its first bytes and its address', async (host, to, address) => {
      const door = new Door();
      const port = await door.listen(7, host);
      const client = await RawPeer.connect({ host: to, port });
      client.write('GET / HTTP/1.1\r\n\r\n');
      expect(await door.next()).toMatchObject({
        kind: 'head',
        extra: 7,
        address,
        text: 'GET / HTTP/1.1\r\n\r\n',
      });
    });

    test('of a unix socket has no address', async () => {
      const door = new Door();
      const path = join(tmpdir(), `tidegate-door-${process.pid}.sock`);
      const server = createServer();
      await listening(server, path);
      binding.doorListen(door.handle, fdOf(server), 1);
      // Node takes the name away when it closes.
      renameSync(path, `${path}.door`);
      server.close();
      onTestFinished(() => unlinkSync(`${path}.door`));
      (await RawPeer.connect({ path: `${path}.door` })).write('x');
      expect(await door.next()).toMatchObject({ kind: 'head', address: '', text: 'x' });
    });

    test('that speaks before it is accepted, or after: once, and no more than 64 KiB', async () => {
      const door = new Door();
      const port = await door.listen();
      const client = await RawPeer.connect(port);
      const early = await RawPeer.connect(port);
      early.write(Buffer.alloc(2 ** 20, 'e'));
      const first = await door.next();
      expect(first.text.length).toBeGreaterThan(0);
      expect(first.text.length).toBeLessThanOrEqual(65_536);
      client.write('one');
      expect(await door.next()).toMatchObject({ text: 'one' });
      client.write('two');
      client.end();
      expect(await door.next()).toMatchObject({ kind: 'clientGone', extra: 0 });
      expect(door.unheard).toBe(0);
    });

    test('that sends nothing is told of after a second, and what it sends then is Node’s', async () => {
      const door = new Door();
      const client = await RawPeer.connect(await door.listen(3));
      const connected = performance.now();
      const silent = await door.next();
      expect(silent).toMatchObject({ kind: 'silent', extra: 3, address: '127.0.0.1', text: '' });
      expect(performance.now() - connected).toBeGreaterThan(900);
      const [socket, upstream] = door.take(silent.visit);
      expect(upstream).toBeUndefined();
      client.write('late');
      const taken = new RawPeer(socket!);
      expect((await taken.take(4)).toString()).toBe('late');
    });

    test('that ends or resets before it has said anything is nobody', async () => {
      const door = new Door();
      const port = await door.listen();
      const ending = await RawPeer.connect(port);
      ending.end();
      expect(await ending.ended).toBe('end');
      const resetting = await RawPeer.connect(port);
      resetting.socket.resetAndDestroy();
      (await RawPeer.connect(port)).write('hello');
      expect(await door.next()).toMatchObject({ kind: 'head', text: 'hello' });
      expect(door.unheard).toBe(0);
    });

    test.each([
      ['ends', 0, (client: RawPeer) => client.end()],
      ['resets', ECONNRESET, (client: RawPeer) => void client.socket.resetAndDestroy()],
    ])('that %s while the upstream is silent: told once', async (_how, errno, leave) => {
      const { door, visit, client, upstream } = await dialled();
      leave(client);
      expect(await door.next()).toMatchObject({ kind: 'clientGone', visit, extra: errno });
      upstream.write('still here');
      expect(await door.next()).toMatchObject({ kind: 'answer', text: 'still here' });
      binding.doorCut(door.handle, visit);
      expect(await upstream.ended).toBe('reset');
      expect(door.unheard).toBe(0);
    });

    test('that goes while its upstream does not take the connection', async () => {
      const door = new Door();
      const port = await deafPort();
      const { client, visit } = await door.visit();
      expect(binding.doorDial(door.handle, visit, '127.0.0.1', port, 'OFFER')).toBe(0);
      expect(door.join(visit, 'no')).toBe(ENOTCONN);
      client.end();
      expect(await door.next()).toMatchObject({ kind: 'clientGone', visit });
      // The half-made connection is nobody's.
      const [socket, upstream] = door.take(visit);
      expect(upstream).toBeUndefined();
      socket!.end('bye');
      expect((await client.take(3)).toString()).toBe('bye');
    });

    test('whose upstream does not take the connection can be given another', async () => {
      const door = new Door();
      const { client, visit } = await door.visit();
      expect(binding.doorIsConnecting(door.handle, visit)).toBe(false);
      binding.doorDial(door.handle, visit, '127.0.0.1', await deafPort(), 'OFFER');
      expect(binding.doorIsConnecting(door.handle, visit)).toBe(true);
      expect(binding.doorDial(door.handle, visit, '127.0.0.1', 1, '')).toBe(EISCONN);
      binding.doorHangUp(door.handle, visit);
      expect(binding.doorIsConnecting(door.handle, visit)).toBe(false);
      const upstreams = await listenUpstream();
      expect(binding.doorDial(door.handle, visit, '127.0.0.1', upstreams.port, 'OFFER')).toBe(0);
      const upstream = await upstreams.next();
      expect((await upstream.take(5)).toString()).toBe('OFFER');
      binding.doorHangUp(door.handle, visit);
      expect(await upstream.ended).toBe('reset');
      client.end();
      expect(await door.next()).toMatchObject({ kind: 'clientGone', visit });
      binding.doorHangUp(door.handle, visit);
      binding.doorCut(door.handle, visit);
    });

    test('gets what it is sent, and a reset', async () => {
      const door = new Door();
      const { client, visit } = await door.visit();
      expect(binding.doorSend(door.handle, visit, 'HTTP/1.1 400 \xe9\r\n')).toBe(0);
      expect((await client.take(16)).toString('latin1')).toBe('HTTP/1.1 400 \xe9\r\n');
      binding.doorCut(door.handle, visit);
      expect(await client.ended).toBe('reset');
    });

    test('that does not take all it is sent: the caller is told', async () => {
      const door = new Door();
      const { visit } = await door.visit({ paused: true });
      expect(binding.doorSend(door.handle, visit, 'x'.repeat(2 ** 25))).toBe(11);
    });
  });

  describe('an upstream', () => {
    test.each(['127.0.0.1', '::1'])(
      'at %s: offer, answer, and a tunnel with what came early',
      async (host) => {
        const upstreams = await listenUpstream(host);
        const door = new Door();
        const { client, visit } = await door.visit();
        expect(binding.doorDial(door.handle, visit, host, upstreams.port, 'OFFER \xe9')).toBe(0);
        const upstream = await upstreams.next();
        expect((await upstream.take(7)).toString('latin1')).toBe('OFFER \xe9');
        upstream.write('ANSWER early');
        expect(await door.next()).toMatchObject({ kind: 'answer', visit, text: 'ANSWER early' });
        expect(door.join(visit, 'HEAD \xe9', ' early', 'from the client')).toBe(0);
        expect((await client.take(12)).toString('latin1')).toBe('HEAD \xe9 early');
        expect((await upstream.take(15)).toString()).toBe('from the client');
        client.write('up');
        expect((await upstream.take(2)).toString()).toBe('up');
        upstream.write('down');
        expect((await client.take(4)).toString()).toBe('down');
        expect(door.join(visit, 'again')).toBe(ESRCH);
        client.end();
        expect(await upstream.ended).toBe('end');
        upstream.end();
        expect(await client.ended).toBe('end');
        await door.tunnelEnded;
        expect(door.unheard).toBe(0);
      },
    );

    test('that speaks in pieces', async () => {
      const { door, visit, upstream } = await dialled();
      upstream.write('one');
      expect(await door.next()).toMatchObject({ kind: 'answer', visit, text: 'one' });
      upstream.write('two');
      expect(await door.next()).toMatchObject({ kind: 'answer', visit, text: 'two' });
    });

    test('that does not read gets a large offer whole in the end', async () => {
      const upstreams = await listenUpstream('127.0.0.1', { paused: true });
      const door = new Door();
      const { visit } = await door.visit();
      const offer = Array.from({ length: 2 ** 20 }, (_, i) => String(i % 10).repeat(8)).join('');
      expect(binding.doorDial(door.handle, visit, '127.0.0.1', upstreams.port, offer)).toBe(0);
      const upstream = await upstreams.next();
      upstream.socket.resume();
      expect((await upstream.take(offer.length)).toString('latin1') === offer).toBe(true);
      upstream.write('ok');
      expect(await door.next()).toMatchObject({ kind: 'answer', text: 'ok' });
    });

    test('that refuses; another may be dialled', async () => {
      const door = new Door();
      const { visit } = await door.visit();
      expect(binding.doorDial(door.handle, visit, '127.0.0.1', await freePort(), 'OFFER')).toBe(0);
      expect(await door.next()).toMatchObject({ kind: 'connectFailed', visit, extra: ECONNREFUSED });
      const upstreams = await listenUpstream();
      expect(binding.doorDial(door.handle, visit, '127.0.0.1', upstreams.port, 'OFFER')).toBe(0);
      expect((await (await upstreams.next()).take(5)).toString()).toBe('OFFER');
    });

    test.each([
      ['ends', 0, (upstream: RawPeer) => upstream.end()],
      ['resets', ECONNRESET, (upstream: RawPeer) => void upstream.socket.resetAndDestroy()],
    ])('that %s before it answers; another may be dialled', async (_how, errno, leave) => {
      const { door, visit, upstream, upstreams } = await dialled();
      leave(upstream);
      expect(await door.next()).toMatchObject({ kind: 'upstreamEnded', visit, extra: errno });
      expect(binding.doorDial(door.handle, visit, '127.0.0.1', upstreams.port, 'AGAIN')).toBe(0);
      expect((await (await upstreams.next()).take(5)).toString()).toBe('AGAIN');
    });

    test.each(['localhost', 'example.com', '', '127.0.0.1.', '1'.repeat(100), '127.0.0.1\0', '::1\0x'])(
      'at %j is no address',
      async (host) => {
        const door = new Door();
        const { visit } = await door.visit();
        expect(binding.doorDial(door.handle, visit, host, 80, 'OFFER')).toBe(EINVAL);
        expect(binding.doorDial(door.handle, visit, '127.0.0.1', 65_536, 'OFFER')).toBe(EINVAL);
        // It waits as before.
        const upstreams = await listenUpstream();
        expect(binding.doorDial(door.handle, visit, '127.0.0.1', upstreams.port, 'OFFER')).toBe(0);
        expect(binding.doorDial(door.handle, visit, '127.0.0.1', upstreams.port, 'OFFER')).toBe(EISCONN);
      },
    );

    test('and its client can be taken, and go on in Node', async () => {
      const { door, visit, client, upstream } = await dialled();
      upstream.write('ANSWER');
      await door.next();
      const [ours, theirs] = door.take(visit);
      client.write('more');
      expect((await new RawPeer(ours!).take(4)).toString()).toBe('more');
      upstream.write('body');
      expect((await new RawPeer(theirs!).take(4)).toString()).toBe('body');
      ours!.write('back');
      expect((await client.take(4)).toString()).toBe('back');
      expect(door.take(visit)).toEqual([undefined, undefined]);
    });
  });

  describe('the relay', () => {
    test('refuses a slot that is in use: the visit waits as before', async () => {
      const { door, visit, upstream } = await dialled();
      upstream.write('ANSWER');
      await door.next();
      expect(door.join(visit, 'HEAD', '', '', 5)).toBe(0);
      const second = await dialled(door);
      second.upstream.write('ANSWER');
      await door.next();
      expect(door.join(second.visit, 'HEAD', '', '', 5)).toBe(16);
      second.upstream.write('more');
      expect(await door.next()).toMatchObject({ kind: 'answer', visit: second.visit, text: 'more' });
      second.client.end();
      expect(await door.next()).toMatchObject({ kind: 'clientGone', visit: second.visit });
      expect(door.join(second.visit, 'HEAD', '', '', 6)).toBe(0);
      expect((await second.client.take(4)).toString()).toBe('HEAD');
    });

    test('that is closed joins nothing', async () => {
      const { door, visit, client, upstream } = await dialled();
      upstream.write('ANSWER');
      await door.next();
      binding.close(door.engine);
      expect(door.join(visit, 'HEAD')).toBe(ESHUTDOWN);
      binding.doorCut(door.handle, visit);
      expect(await client.ended).toBe('reset');
      expect(() =>
        binding.openDoor(door.engine, new Int32Array(6), new Uint8Array(2 ** 17), () => {}),
      ).toThrow('closed');
    });
  });

  describe('the door', () => {
    test('stops accepting where it is told to; visits go on', async () => {
      const door = new Door();
      const port = await door.listen(1);
      const other = await door.listen(2);
      const client = await RawPeer.connect(port);
      client.write('x');
      const { visit } = await door.next();
      binding.doorUnlisten(door.handle, 1);
      binding.doorUnlisten(door.handle, 1);
      await expect(RawPeer.connect(port)).rejects.toThrow('ECONNREFUSED');
      expect(binding.doorSend(door.handle, visit, 'y')).toBe(0);
      expect((await client.take(1)).toString()).toBe('y');
      (await RawPeer.connect(other)).write('z');
      expect(await door.next()).toMatchObject({ kind: 'head', extra: 2 });
    });

    test('leaves a socket that Node listens on too to Node', async () => {
      const door = new Door();
      const server = createServer();
      const port = await listening(server, '127.0.0.1');
      binding.doorListen(door.handle, fdOf(server), 0);
      binding.doorUnlisten(door.handle, 0);
      const accepted = once(server, 'connection');
      await RawPeer.connect(port);
      await accepted;
      expect(door.unheard).toBe(0);
    });

    test('listens to what listens, under a number of its own', async () => {
      const door = new Door();
      const server = createServer();
      await listening(server, '127.0.0.1');
      expect(binding.doorListen(door.handle, 1_000_000, 0)).toBe(9);
      expect(binding.doorListen(door.handle, fdOf(server), 4096)).toBe(EINVAL);
      expect(binding.doorListen(door.handle, fdOf(server), 0)).toBe(0);
      expect(binding.doorListen(door.handle, fdOf(server), 0)).toBe(17);
    });

    test('with room for one event tells all, one by one', async () => {
      const door = new Door({ room: 1 });
      const port = await door.listen();
      for (let i = 0; i < 40; i++) (await RawPeer.connect(port)).write(String(i));
      const heads = new Set<string>();
      while (heads.size < 40) heads.add((await door.next()).text);
      expect(door.batches.every((count) => count === 1)).toBe(true);
    });

    test('knows its numbers: none comes back, and old or strange ones do nothing', async () => {
      const door = new Door();
      const port = await door.listen();
      const seen = new Set<number>();
      for (let i = 0; i < 600; i++) {
        const client = await RawPeer.connect(port);
        client.write('x');
        const { visit } = await door.next();
        expect(visit > 0 && visit < 2 ** 31 && !seen.has(visit)).toBe(true);
        seen.add(visit);
        binding.doorCut(door.handle, visit);
        client.socket.destroy();
      }
      const { visit, client } = await door.visit();
      for (const other of [...seen, 0, 1, visit + 65_536, visit + 1, 2 ** 31, 2 ** 32 - 1]) {
        expect(binding.doorDial(door.handle, other, '127.0.0.1', 1, '')).toBe(ESRCH);
        expect(binding.doorSend(door.handle, other, 'no')).toBe(ESRCH);
        expect(door.join(other, 'no')).toBe(ESRCH);
        expect(door.take(other)).toEqual([undefined, undefined]);
        binding.doorCut(door.handle, other);
      }
      expect(binding.doorSend(door.handle, visit, 'yes')).toBe(0);
      expect((await client.take(3)).toString()).toBe('yes');
    });

    test('resets everybody when it is closed, and is silent from then on', async () => {
      const { door, visit, client, upstream } = await dialled();
      const waiting = await RawPeer.connect(door.port);
      binding.closeDoor(door.handle);
      binding.closeDoor(door.handle);
      expect(await client.ended).toBe('reset');
      expect(await upstream.ended).toBe('reset');
      // It said nothing: a FIN or, where it was not accepted yet, a reset.
      await waiting.ended;
      await expect(RawPeer.connect(door.port)).rejects.toThrow('ECONNREFUSED');
      expect(binding.doorDial(door.handle, visit, '127.0.0.1', 1, '')).toBe(ESRCH);
      expect(binding.doorSend(door.handle, visit, '')).toBe(ESRCH);
      expect(door.join(visit, '')).toBe(ESRCH);
      expect(door.take(visit)).toEqual([undefined, undefined]);
      binding.doorCut(door.handle, visit);
      binding.doorUnlisten(door.handle, 0);
      expect(binding.doorListen(door.handle, 0, 0)).toBe(9);
      expect(door.unheard).toBe(0);
    });

    test('can be closed by what it calls', async () => {
      const door = new Door();
      const port = await door.listen();
      door.onEvent = () => binding.closeDoor(door.handle);
      const client = await RawPeer.connect(port);
      client.write('x');
      expect(await client.ended).toBe('reset');
    });

    test('takes decisions from inside its call, for visits of the same batch too', async () => {
      const door = new Door();
      const upstreams = await listenUpstream();
      const sockets: Socket[] = [];
      door.onEvent = ({ kind, visit, text }) => {
        if (kind !== 'head') return;
        if (text === 'cut') binding.doorCut(door.handle, visit);
        if (text === 'take') sockets.push(door.take(visit)[0]!);
        if (text === 'dial') binding.doorDial(door.handle, visit, '127.0.0.1', upstreams.port, 'OFFER');
      };
      const port = await door.listen();
      const clients: Record<string, RawPeer> = {};
      for (const text of ['cut', 'take', 'dial']) {
        clients[text] = await RawPeer.connect(port);
        clients[text].write(text);
      }
      expect(await clients['cut']!.ended).toBe('reset');
      expect((await (await upstreams.next()).take(5)).toString()).toBe('OFFER');
      await eventually(() => sockets.length === 1, 'a client that was taken');
      sockets[0]!.end('taken');
      expect((await clients['take']!.take(5)).toString()).toBe('taken');
      clients['dial']!.end();
      for (let i = 0; i < 3; i++) expect((await door.next()).kind).toBe('head');
      expect(await door.next()).toMatchObject({ kind: 'clientGone' });
    });

    test('that nobody holds any more closes itself', async () => {
      const port = await (async () => {
        const engine = binding.open(1, 256, () => {});
        const door = binding.openDoor(engine, new Int32Array(6), new Uint8Array(2 ** 17), () => {});
        const server = createServer();
        const port = await listening(server, '127.0.0.1');
        binding.doorListen(door, fdOf(server), 0);
        server.close();
        return port;
      })();
      let refused = false;
      await eventually(() => {
        collect();
        RawPeer.connect(port).then(
          (peer) => peer.socket.destroy(),
          () => (refused = true),
        );
        return refused;
      }, 'a refused connection');
    });

    test('needs a place for what it tells', () => {
      const engine = binding.open(1, 256, () => {});
      const events = new Int32Array(6);
      const open = (events: unknown, bytes: unknown) => () =>
        binding.openDoor(engine, events as Int32Array, bytes as Uint8Array, () => {});
      expect(open(events, new Uint8Array(65_536))).toThrow('cannot be made');
      expect(open(new Int32Array(5), new Uint8Array(2 ** 17))).toThrow('cannot be made');
      expect(open(new Float64Array(6), new Uint8Array(2 ** 17))).toThrow('Int32Array');
      expect(open(events, new Int8Array(2 ** 17))).toThrow();
      binding.close(engine);
    });
  });

  describe('a process', () => {
    test.each([
      ['closed', 'close'],
      ['left alone', 'leave'],
    ])('is kept by its door, and ends when that is %s', async (_how, word) => {
      const { child, client, upstream } = await start();
      child.write(word);
      expect(await client.ended).toBe('reset');
      expect(await upstream.ended).toBe('reset');
      expect(await child.exited).toBe(0);
    });

    test.each([
      ['exit', 3],
      ['throw', 1],
    ])('that ends by %s', async (word, code) => {
      const { child, client } = await start();
      child.write(word);
      expect(await child.exited).toBe(code);
      await client.ended;
    });

    test('hears what a callback throws, and the door goes on', async () => {
      const { child, port } = await start();
      child.write('throw in callbacks');
      expect(await child.lines.next()).toBe('will do');
      for (let i = 0; i < 3; i++) {
        (await RawPeer.connect(port)).write('x');
        const lines = [await child.lines.next(), await child.lines.next()];
        expect(lines).toEqual(['head', 'uncaught by a callback']);
      }
    });

    test('whose worker thread is terminated with a door open: nothing is left of it', async () => {
      const { child, client, upstream, port } = await start('worker');
      child.write('terminate');
      expect(await client.ended).toBe('reset');
      expect(await upstream.ended).toBe('reset');
      expect(await child.lines.next()).toBe('terminated, 0 left');
      await expect(RawPeer.connect(port)).rejects.toThrow('ECONNREFUSED');
      child.end();
      expect(await child.exited).toBe(0);
    });
  });
});

interface DoorEvent {
  readonly kind: keyof typeof DOOR_EVENT;
  readonly visit: number;
  readonly extra: number;
  readonly address: string;
  readonly text: string;
}

/* oxlint-disable vitest/no-standalone-expect -- these are called by tests */

/** A door with an engine of its own; its events are an inbox. */
class Door {
  readonly engine: EngineHandle;
  readonly handle: DoorHandle;
  readonly events = new Inbox<DoorEvent>('the door');
  readonly batches: number[] = [];
  readonly tunnelEnded: Promise<void>;
  onEvent: (event: DoorEvent) => void = () => {};
  port = 0;
  #heard = 0;

  constructor({ room = 64 } = {}) {
    const words = new Int32Array(room * EVENT_WORDS);
    const bytes = Buffer.from(new ArrayBuffer(2 ** 18));
    const kinds = Object.keys(DOOR_EVENT) as DoorEvent['kind'][];
    let onEnded!: () => void;
    this.tunnelEnded = new Promise((resolve) => (onEnded = resolve));
    this.engine = binding.open(1, 256, onEnded);
    binding.addSlab(this.engine, new ArrayBuffer(256 * 64));
    this.handle = binding.openDoor(this.engine, words, bytes, (count) => {
      this.batches.push(count);
      for (let at = 0; at < count * EVENT_WORDS; at += EVENT_WORDS) {
        const [kind, visit, offset, length, extra, addressLength] = words.subarray(at, at + EVENT_WORDS);
        const event = {
          kind: kinds.find((name) => DOOR_EVENT[name] === kind)!,
          visit: visit!,
          extra: extra!,
          address: bytes.toString('latin1', offset! - addressLength!, offset),
          text: bytes.toString('latin1', offset, offset! + length!),
        };
        this.events.push(event);
        this.onEvent(event);
      }
    });
    onTestFinished(() => {
      binding.closeDoor(this.handle);
      binding.close(this.engine);
    });
  }

  next(): Promise<DoorEvent> {
    this.#heard++;
    return this.events.next();
  }

  /** Events that no test has asked for. */
  get unheard(): number {
    return this.events.all.length - this.#heard;
  }

  async listen(listener = 0, at = '127.0.0.1'): Promise<number> {
    const server = createServer();
    this.port = await listening(server, at);
    expect(binding.doorListen(this.handle, fdOf(server), listener)).toBe(0);
    // The door has a duplicate: Node accepts nobody.
    server.close();
    return this.port;
  }

  /** A client whose first bytes were told. */
  async visit(options?: { paused: boolean }): Promise<{ client: RawPeer; visit: number }> {
    if (this.port === 0) await this.listen();
    const client = await RawPeer.connect(this.port, options);
    client.write('GET');
    const { kind, visit } = await this.next();
    expect(kind).toBe('head');
    return { client, visit };
  }

  join(visit: number, answer: string, early = '', toUpstream = '', slot = 0): number {
    const bytes = Buffer.from(early);
    const up = toUpstream === '' ? nothing : Buffer.from(toUpstream);
    return binding.doorJoin(this.handle, visit, slot, answer, bytes, up, 0, 0, 0, 0);
  }

  take(visit: number): [Socket | undefined, Socket | undefined] {
    const fds = new Int32Array(2);
    binding.doorTake(this.handle, visit, fds);
    const [client, upstream] = [...fds].map((fd) =>
      fd < 0 ? undefined : new Socket({ fd, allowHalfOpen: true, readable: true, writable: true }),
    );
    return [client, upstream];
  }
}

/** A visit whose upstream has got the offer. */
async function dialled(door = new Door()) {
  const upstreams = await listenUpstream();
  const { client, visit } = await door.visit();
  expect(binding.doorDial(door.handle, visit, '127.0.0.1', upstreams.port, 'OFFER')).toBe(0);
  const upstream = await upstreams.next();
  expect((await upstream.take(5)).toString()).toBe('OFFER');
  return { door, visit, client, upstream, upstreams };
}

async function listenUpstream(host = '127.0.0.1', options?: { paused: boolean }) {
  const inbox = new Inbox<RawPeer>('the upstream');
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: options?.paused ?? false }, (socket) =>
    inbox.push(new RawPeer(socket, options)),
  );
  const port = await listening(server, host);
  return { port, next: () => inbox.next() };
}

async function listening(server: Server, at: string): Promise<number> {
  server.listen(at.startsWith('/') ? { path: at } : { port: 0, host: at });
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const address = server.address();
  return typeof address === 'string' ? 0 : (address as AddressInfo).port;
}

function fdOf(server: Server): number {
  const { _handle: handle } = server as Server & { _handle: { fd: number } };
  return handle.fd;
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listening(server, '127.0.0.1');
  server.close();
  await once(server, 'close');
  return port;
}

async function start(...how: string[]) {
  const upstreams = await listenUpstream();
  const child = new Child('door', process.execPath, [program, addon, String(upstreams.port), ...how]);
  onTestFinished(() => child.stop());
  const port = Number((await child.lines.next()).split(' ')[1]);
  const client = await RawPeer.connect(port);
  client.write('GET');
  expect(await child.lines.next()).toBe('head');
  const upstream = await upstreams.next();
  upstream.write('ANSWER');
  expect(await child.lines.next()).toBe('answer');
  return { child, port, client, upstream };
}
