/** What only the native engine does: clients come in without Node’s sockets. What they see is in the other files. */
import { expect, onTestFinished, test } from 'vitest';
import { loadNative } from '../../src/relay/native-binding.js';
import { startProxy } from '../fixtures/proxy.js';
import { switched } from '../fixtures/raw-pair.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';
import { switchHead, upgradeHead } from '../fixtures/rfc6455.js';

const native = loadNative();

test.skipIf('reason' in native).each([
  ['native', 0],
  ['stream', 2],
] as const)('%s: a handshake, and the tunnel behind it, hold %i sockets of Node’s', async (relay, held) => {
  const backend = await RawServer.listen();
  const proxy = await startProxy({ relay, listeners: ['127.0.0.1:0'], routes: [{ to: backend.url }] });
  onTestFinished(() => proxy.stop());
  const before = nodeSockets();
  const client = await RawPeer.connect(proxy.port);
  client.write(upgradeHead('x'));
  const server = await backend.accept();
  await server.head();
  // The test’s own two ends are Node’s in any case.
  expect(nodeSockets() - before).toBe(2 + held);
  server.write(switchHead());
  await client.head();
  expect(nodeSockets() - before).toBe(2 + held);
});

test.skipIf('reason' in native)(
  'a client that is not for the door is Node’s, with all it has sent',
  async () => {
    const backend = await RawServer.listen();
    const proxy = await startProxy({
      relay: 'native',
      listeners: ['127.0.0.1:0'],
      routes: [{ to: backend.url }],
    });
    onTestFinished(() => proxy.stop());
    const client = await RawPeer.connect(proxy.port);
    client.write('POST /form HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf');
    const server = await backend.accept();
    expect((await server.head())[0]).toBe('POST /form HTTP/1.1');
    client.write('-half');
    expect((await server.take(9)).toString()).toBe('half-half');
    server.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    await client.until('ok');
    // The same connection asks for a WebSocket next.
    await switched(client, backend);
  },
);

function nodeSockets(): number {
  return process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
}
