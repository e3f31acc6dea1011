/** The door in the addon: what comes to it, what it takes, and how it ends. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import {
  missing,
  binding,
  collect,
  ESRCH,
  EINVAL,
  Door,
  dialled,
  listenUpstream,
  listening,
  fdOf,
  start,
} from '../fixtures/door.js';

describe.skipIf(missing !== '')(`the door in the addon${missing}`, () => {
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
