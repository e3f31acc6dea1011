import { once } from 'node:events';
import { createServer, Socket, type Server } from 'node:net';
import { PassThrough } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { RawPeer } from '../../test/fixtures/raw-peer.js';
import { FanOut } from './fan-out.js';
import { loadNative } from './native-binding.js';

/** Another build of the addon, with a sanitizer: see test/native/. */
const { TIDEGATE_TEST_ADDON: addon } = process.env;
const native = loadNative(addon === undefined ? undefined : [addon]);
const missing = 'reason' in native;

let server: Server;
const accepted: Socket[] = [];
beforeEach(async () => {
  server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {});
    accepted.push(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  for (const socket of accepted.splice(0)) socket.destroy();
  server.close();
});

interface Connection {
  readonly socket: Socket;
  readonly peer: RawPeer;
}

/** What fan-outs write to, and who reads it. */
async function connect(paused = false): Promise<Connection> {
  const { port } = server.address() as { port: number };
  const coming = once(server, 'connection') as Promise<[Socket]>;
  const peer = await RawPeer.connect(port, { paused });
  return { socket: (await coming)[0], peer };
}

async function connectAll(count: number): Promise<Connection[]> {
  const all: Connection[] = [];
  while (all.length < count) all.push(await connect());
  return all;
}

/** In place of the addon: each call is told, and takes of each socket’s frame what it is told to. */
class Sending {
  readonly calls: { readonly fds: readonly number[]; readonly text: string }[] = [];
  takes = 0;

  sendToAll(fds: Int32Array, count: number, bytes: Uint8Array): number {
    this.calls.push({ fds: [...fds.subarray(0, count)], text: Buffer.from(bytes).toString() });
    fds.fill(this.takes, 0, count);
    return this.takes < bytes.length ? count : 0;
  }
}

const turnEnds = () => new Promise((resolve) => process.nextTick(resolve));

describe('a fan-out', () => {
  it('writes a frame to all in one call, when what is running is over', async () => {
    const sending = new Sending();
    const fanOut = new FanOut(sending);
    const three = await connectAll(3);
    const frame = Buffer.from('frame');
    sending.takes = frame.length;
    const rounds = three.map(({ socket }) => fanOut.add(socket, frame));
    expect(rounds).toEqual([fanOut.round, fanOut.round, fanOut.round]);
    expect(sending.calls).toEqual([]);
    await turnEnds();
    expect(sending.calls).toEqual([{ fds: three.map(({ socket }) => fdOf(socket)), text: 'frame' }]);
    expect(fanOut.round).not.toBe(rounds[0]);
    await turnEnds();
    expect(sending.calls).toHaveLength(1);
  });

  it('writes the frames one after the other', async () => {
    const sending = new Sending();
    const fanOut = new FanOut(sending);
    const [one, other] = await connectAll(2);
    for (const text of ['1', '2']) {
      const frame = Buffer.from(text);
      fanOut.add(one!.socket, frame);
      fanOut.add(other!.socket, frame);
    }
    fanOut.flush();
    expect(sending.calls.map(({ fds, text }) => [fds.length, text])).toEqual([
      [2, '1'],
      [2, '2'],
    ]);
    for (const { peer } of [one!, other!]) expect((await peer.take(2)).toString()).toBe('12');
  });

  it('leaves to each socket what it did not take at once', async () => {
    const sending = new Sending();
    const fanOut = new FanOut(sending);
    const { socket, peer } = await connect();
    sending.takes = 3;
    const written = Buffer.from('abcdef');
    fanOut.add(socket, written);
    fanOut.flush();
    sending.takes = 0;
    fanOut.add(socket, Buffer.from('ghi'));
    fanOut.flush();
    socket.write('j');
    // The first three are with the addon that is none.
    expect((await peer.take(7)).toString()).toBe('defghij');
  });

  it('gives what goes to a socket with something waiting to that socket', async () => {
    const sending = new Sending();
    const fanOut = new FanOut(sending);
    const { socket, peer } = await connect();
    socket.cork();
    socket.write('first ');
    expect(fanOut.add(socket, Buffer.from('second'))).toBe(0);
    socket.uncork();
    fanOut.flush();
    expect(sending.calls).toEqual([]);
    expect((await peer.take(12)).toString()).toBe('first second');
  });

  it('asks for a descriptor when it writes, so that none is another’s by then', async () => {
    const sending = new Sending();
    const fanOut = new FanOut(sending);
    const [gone, there] = await connectAll(2);
    const frame = Buffer.from('frame');
    for (const { socket } of [gone!, there!]) fanOut.add(socket, frame);
    gone!.socket.destroy();
    fanOut.flush();
    expect(sending.calls.map(({ fds }) => fds)).toEqual([[-1, fdOf(there!.socket)]]);
    expect((await there!.peer.take(5)).toString()).toBe('frame');
    expect((await gone!.peer.rest()).toString()).toBe('');
  });

  it('writes nothing behind the end of a socket', async () => {
    const sending = new Sending();
    const fanOut = new FanOut(sending);
    const { socket, peer } = await connect();
    socket.end('last');
    expect(fanOut.add(socket, Buffer.from('too late'))).toBe(0);
    fanOut.flush();
    expect(sending.calls).toEqual([]);
    expect((await peer.rest()).toString()).toBe('last');
  });

  it('does not write to more sockets in one call than it has room for', async () => {
    const sending = new Sending();
    const fanOut = new FanOut(sending);
    const frame = Buffer.from('frame');
    sending.takes = frame.length;
    const { socket } = await connect();
    for (let i = 0; i < 2500; i++) fanOut.add(socket, frame);
    fanOut.flush();
    expect(sending.calls.map(({ fds }) => fds.length)).toEqual([1024, 1024, 452]);
  });

  it('takes plain sockets and nothing else', () => {
    const socket = new Socket();
    const secure = new TLSSocket(socket);
    secure.on('error', () => {});
    expect(FanOut.takes(socket)).toBe(true);
    expect(FanOut.takes(secure)).toBe(false);
    expect(FanOut.takes(new PassThrough())).toBe(false);
    secure.destroy();
  });
});

describe.skipIf(missing)(`with the addon${missing ? ` — skipped: ${native.reason}` : ''}`, () => {
  const open = () => {
    if (missing) throw new Error(native.reason);
    return new FanOut(native.binding);
  };

  test('all get all of it, in order; who does not read gets it later, and who is gone nothing', async () => {
    const fanOut = open();
    const readers = await connectAll(5);
    const slow = await connect(true);
    const gone = await connect();
    // Its socket has not heard of it when the first frame comes.
    gone.peer.reset();
    const heard = new Promise((resolve) => gone.socket.once('close', resolve));
    const all = [slow, gone, ...readers];
    // More than a connection that nobody reads takes.
    const frames = Array.from({ length: 300 }, (_, i) => Buffer.alloc(64 * 1024 - i, `${i} `));
    let blocked = 0;
    for (const frame of frames) {
      for (const { socket } of all) fanOut.add(socket, frame);
      fanOut.flush();
      if (slow.socket.writableLength > 0) blocked++;
    }
    expect(blocked).toBeGreaterThan(0);
    expect(blocked).toBeLessThan(frames.length);
    await heard;
    slow.peer.resume();
    const wanted = Buffer.concat(frames);
    for (const { peer } of [...readers, slow]) {
      expect((await peer.take(wanted.length)).equals(wanted)).toBe(true);
    }
  });

  test('what it is not given right is refused', () => {
    if (missing) throw new Error(native.reason);
    const { binding } = native;
    const bytes = Buffer.from('x');
    expect(() => binding.sendToAll(new Int32Array(1), 2, bytes)).toThrow('more descriptors than there are');
    expect(() => binding.sendToAll(new Uint8Array(1) as unknown as Int32Array, 1, bytes)).toThrow('tidegate');
    const fds = Int32Array.of(-1, 1 << 30);
    expect([binding.sendToAll(fds, 2, bytes), ...fds]).toEqual([2, 0, 0]);
  });
});

function fdOf(socket: Socket): number {
  const { _handle: handle } = socket as unknown as { _handle: { fd: number } };
  return handle.fd;
}
