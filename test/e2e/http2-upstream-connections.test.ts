/** The connections of HTTP/2 to servers: how many tunnels each carries, which one a handshake gets, how it ends. */
import { connect, createServer, type Socket } from 'node:net';
import type { ServerHttp2Stream } from 'node:http2';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Inbox } from '../fixtures/inbox.js';
import { acceptOn, Http2WsServer } from '../fixtures/peers/http2-ws.js';
import { startProxy } from '../fixtures/proxy.js';
import { eventually, RawPeer } from '../fixtures/raw-peer.js';
import { running } from '../fixtures/running.js';
import { clients, handshake, start } from '../fixtures/http2-chat.js';

const REFUSED_STREAM = 7;

describe('connections', () => {
  const open = clients['HTTP/1.1'];

  test('one carries a hundred tunnels, each with its own bytes', async () => {
    const server = await Http2WsServer.start();
    const proxy = await start(server.url);
    const sockets = await Promise.all(Array.from({ length: 100 }, () => open(proxy)));
    sockets.forEach((socket, i) => socket.send(`message ${i}`));
    for (const [i, { messages }] of sockets.entries()) expect(await messages.next()).toBe(`message ${i}`);
    expect(server.sessions.all).toHaveLength(1);
  });

  test('no more streams are on one than the server allows', async () => {
    const server = await Http2WsServer.start({ maxConcurrentStreams: 2 });
    const proxy = await start(server.url);
    const sockets = await Promise.all(Array.from({ length: 5 }, () => open(proxy)));
    expect(server.sessions.all).toHaveLength(3);
    sockets[0]!.close();
    await sockets[0]!.closed;
    await proxy.nextRecord();
    const ended = (): boolean => server.ends.all.some(({ stream }) => stream.closed);
    await eventually(ended, 'its stream is closed');
    const sixth = await open(proxy);
    sixth.send('in its place');
    expect(await sixth.messages.next()).toBe('in its place');
    expect(server.sessions.all).toHaveLength(3);
  });

  test('a server that goes away keeps its tunnels, and gets new ones on a new connection', async () => {
    const server = await Http2WsServer.start();
    const proxy = await start(server.url);
    const first = await open(proxy);
    const session = await server.sessions.next();
    const isGone = new Promise((resolve) => session.once('close', resolve));
    session.close();
    const second = await open(proxy);
    for (const client of [first, second]) {
      client.send('still there');
      expect(await client.messages.next()).toBe('still there');
    }
    expect(server.sessions.all).toHaveLength(2);
    first.close();
    await isGone;
    second.send('and on');
    expect(await second.messages.next()).toBe('and on');
  });

  test('one that nothing is on is closed after keepAliveTimeout', async () => {
    const server = await Http2WsServer.start();
    const proxy = await start(server.url, { upstream: { keepAliveTimeout: '100ms' } });
    const client = await open(proxy);
    const session = await server.sessions.next();
    const isGone = new Promise((resolve) => session.once('close', resolve));
    // It is in use for longer than that.
    await new Promise((resolve) => setTimeout(resolve, 300));
    client.send('in use');
    expect(await client.messages.next()).toBe('in use');
    client.close();
    await isGone;
  });

  test('a stream that was refused unseen is asked for once more', async () => {
    let refusals = 0;
    const server = await Http2WsServer.start({
      onConnect: (stream, fields) => {
        if (refusals++ === 0) stream.close(REFUSED_STREAM);
        else acceptOn(stream, fields);
      },
    });
    const proxy = await start(server.url);
    const client = await open(proxy);
    client.send('hello');
    expect(await client.messages.next()).toBe('hello');
    expect(refusals).toBe(2);
  });

  test('a handshake on one that dies goes to another server, and failures count', async () => {
    const dying = await Http2WsServer.start({ onConnect: (stream) => stream.session!.destroy() });
    const living = await Http2WsServer.start();
    const proxy = await start([dying.url, living.url], {
      upstream: { passiveHealth: { failures: 2, window: '1m', time: '1m', maxShare: '50%' } },
    });
    const states = new Inbox<{ server: string; state: string }>('the states');
    proxy.proxy.on('server.changed', (change) => states.push(change));
    for (let i = 0; i < 4; i++) {
      const client = await open(proxy);
      client.close();
      expect(await proxy.nextRecord()).toMatchObject({ server: living.url, status: 101 });
    }
    expect(await states.next()).toMatchObject({ server: dying.url, state: 'ejected' });
  });

  test('nobody there is a connection that failed', async () => {
    const proxy = await start('http://127.0.0.1:9');
    await expect(open(proxy)).rejects.toThrow('502');
    expect(await proxy.nextRecord()).toMatchObject({ outcome: 'failed(UPSTREAM_CONNECT_FAILED)' });
  });

  test('a server that hangs is found out by a handshake that it does not answer', async () => {
    const server = await Http2WsServer.start();
    const line = await startLine(server.port);
    const proxy = await start(`http://127.0.0.1:${line.port}`, {
      upstream: { connectTimeout: '500ms', retries: 0 },
      websocket: { handshakeTimeout: '500ms' },
    });
    const first = await open(proxy);
    line.hold();
    await expect(open(proxy)).rejects.toThrow('504');
    // Its tunnels need not wait for TCP to find out.
    expect((await first.closed).code).toBe(1006);
    line.release();
    const third = await open(proxy);
    third.send('back');
    expect(await third.messages.next()).toBe('back');
  });

  test('a tunnel that nobody reads holds up none of its siblings, either way', async () => {
    const deaf: ServerHttp2Stream[] = [];
    const server = await Http2WsServer.start({
      onConnect: (stream, fields) => {
        if (fields[':path'] !== '/deaf') return void acceptOn(stream, fields);
        deaf.push(stream);
        stream.pause();
        stream.respond({ ':status': 200 });
      },
    });
    const proxy = await start(server.url);
    const stalled = await RawPeer.connect(proxy.port);
    stalled.write(handshake('/deaf'));
    expect((await stalled.head())[0]).toContain(' 101 ');
    stalled.pause();
    // As much as fits: each into every buffer on its way, until nobody takes any more.
    const block = Buffer.alloc(64 * 1024);
    const message = Buffer.from('82ff000000010000000000000000', 'hex');
    const towardsServer = fill(stalled.socket, Buffer.concat([message, block]));
    const towardsClient = fill(deaf[0]!, Buffer.concat([Buffer.from('827f0000000100000000', 'hex'), block]));
    const [up, down] = await Promise.all([towardsServer, towardsClient]);
    // Neither the kernel’s buffers nor ours are without end.
    expect(Math.max(up, down)).toBeLessThan(64 * 1024 * 1024);
    const sibling = await open(proxy);
    sibling.send(Buffer.alloc(1_000_000, 'x'));
    expect(await sibling.messages.next()).toHaveLength(1_000_000);
    expect(server.sessions.all).toHaveLength(1);
    // And when they are read again, all of it comes.
    stalled.resume();
    deaf[0]!.resume();
  });

  test('a reload of the upstream keeps tunnels, and those on their way', async () => {
    const server = await Http2WsServer.start();
    const line = await startLine(server.port);
    const chat = { servers: `http://127.0.0.1:${line.port}`, http2: true };
    const config = { listeners: [{ address: '127.0.0.1:0' }], routes: [{ to: 'chat' }] };
    const proxy = await running(startProxy({ ...config, upstreams: { chat } }));
    const reload = (keepAliveTimeout: string) =>
      proxy.proxy.reload({ ...config, upstreams: { chat: { ...chat, keepAliveTimeout } } });
    // Before its session stands.
    const connected = line.connected();
    const opening = open(proxy);
    await connected;
    await reload('10s');
    const client = await opening;
    await reload('20s');
    const next = await open(proxy);
    for (const { send, messages } of [client, next]) {
      send('still there');
      expect(await messages.next()).toBe('still there');
    }
    // What is left behind ends with its last tunnel.
    expect(server.sessions.all).toHaveLength(2);
    const left = server.sessions.all[0]!;
    const gone = new Promise((resolve) => left.once('close', resolve));
    client.close();
    await gone;
  });

  test('clients stick to their server', async () => {
    const servers = [await Http2WsServer.start(), await Http2WsServer.start()];
    const proxy = await start(
      servers.map(({ url }) => url),
      { upstream: { sticky: { key: 'a key of thirty-two characters..' } } },
    );
    const first = await RawPeer.connect(proxy.port);
    first.write(handshake());
    const cookie = (await first.head())
      .find((line) => line.startsWith('Set-Cookie: '))!
      .slice(12)
      .split(';')[0]!;
    first.destroy();
    const { server } = await proxy.nextRecord();
    for (let i = 0; i < 4; i++) {
      const again = await RawPeer.connect(proxy.port);
      again.write(handshake('/', [`Cookie: ${cookie}`]));
      await again.head();
      again.destroy();
      expect((await proxy.nextRecord()).server).toBe(server);
    }
  });
});

/** Writes until nobody has taken anything for a moment; resolves with how much was taken. */
async function fill(
  stream: NodeJS.WritableStream & { writableLength: number },
  block: Buffer,
): Promise<number> {
  let taken = 0;
  for (;;) {
    const hasRoom = stream.write(block);
    taken += block.length;
    if (hasRoom) continue;
    const isDrained = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), 500);
      stream.once('drain', () => {
        clearTimeout(timer);
        resolve(true);
      });
    });
    if (!isDrained) return taken - stream.writableLength;
  }
}

/** A line to a server that can be made to carry nothing, without anybody being told. */
async function startLine(to: number) {
  const sockets: Socket[] = [];
  let isHeld = false;
  let onConnection = (): void => {};
  const server = createServer((near) => {
    onConnection();
    const far = connect(to, '127.0.0.1');
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.push(from);
      from.on('error', () => into.destroy());
      from.on('data', (chunk: Buffer) => {
        if (!isHeld) into.write(chunk);
      });
      from.on('close', () => into.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port: (server.address() as { port: number }).port,
    connected: () => new Promise<void>((resolve) => (onConnection = resolve)),
    hold: () => (isHeld = true),
    release: () => (isHeld = false),
  };
}
