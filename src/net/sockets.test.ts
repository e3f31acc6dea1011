import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { RawPeer } from '../../test/fixtures/raw-peer.js';
import { endWith, plainAddress, reset } from './sockets.js';

/** A connection: the outer end in the test's hands, the inner one as the proxy has it. */
async function pair(path?: string): Promise<[outer: RawPeer, inner: Socket]> {
  const server = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve) =>
    path === undefined ? server.listen(0, '127.0.0.1', resolve) : server.listen(path, resolve),
  );
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const outer = await RawPeer.connect(path === undefined ? (server.address() as AddressInfo).port : { path });
  const [inner] = await accepted;
  server.close();
  onTestFinished(() => void inner.destroy());
  inner.on('error', () => {});
  return [outer, inner];
}

test('reset: the peer sees a reset, and the socket closes', async () => {
  const [outer, inner] = await pair();
  const closed = once(inner, 'close');
  reset(inner);
  expect(await outer.ended).toBe('reset');
  await closed;
});

test('reset with bytes still to be sent', async () => {
  const [outer, inner] = await pair();
  outer.pause();
  inner.write(Buffer.alloc(30 * 2 ** 20));
  const closed = once(inner, 'close');
  reset(inner);
  outer.resume();
  expect(await outer.ended).toBe('reset');
  await closed;
});

test('reset while an end is on its way still closes the socket', async () => {
  const [, inner] = await pair();
  const closed = once(inner, 'close');
  inner.end();
  await new Promise((resolve) => process.nextTick(resolve));
  reset(inner);
  inner.destroy(new Error('read ECONNRESET'));
  await closed;
});

test('reset of a unix socket closes it', async () => {
  const [outer, inner] = await pair(join(tmpdir(), `tidegate-${process.pid}.sock`));
  reset(inner);
  await outer.ended;
});

test('endWith: the answer arrives although the client is still sending', async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => endWith(socket, Buffer.from('no')));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const client = new RawPeer(connect((server.address() as AddressInfo).port, '127.0.0.1'));
  client.write(Buffer.alloc(100_000));
  expect((await client.rest()).toString()).toBe('no');
  expect(client.ending).toBe('end');
});

test.each([
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['::1', '::1'],
  ['10.0.0.1', '10.0.0.1'],
  [undefined, 'unix'],
])('plainAddress(%s)', (address, plain) => expect(plainAddress(address)).toBe(plain));
