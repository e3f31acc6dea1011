/** The door in the addon, with Node's own clients and upstreams: one visit, from its first bytes to the relay. */
import { renameSync, unlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { deafPort } from '../fixtures/deaf-port.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import {
  missing,
  binding,
  ESRCH,
  EINVAL,
  ECONNRESET,
  EISCONN,
  ENOTCONN,
  ESHUTDOWN,
  ECONNREFUSED,
  Door,
  dialled,
  listenUpstream,
  listening,
  fdOf,
} from '../fixtures/door.js';
import { quietPort } from '../fixtures/ports.js';

describe.skipIf(missing !== '')(`the door in the addon${missing}`, () => {
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
      expect(binding.doorDial(door.handle, visit, '127.0.0.1', await quietPort(), 'OFFER')).toBe(0);
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
});
