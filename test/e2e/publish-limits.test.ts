import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { startAwsBackend } from '../fixtures/aws-backend.js';
import { startProxy } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';

test('no more connections to the publish address than it takes: the others are closed at once', async () => {
  const backend = await running(startAwsBackend());
  const { proxy } = await running(
    startProxy({
      listeners: ['127.0.0.1:0'],
      routes: [{ gateway: { to: backend.url } }],
      publish: { address: '127.0.0.1:0', maxConnections: 2 },
    }),
  );
  const { port } = proxy.publish as { port: number };
  const open = async () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  };
  const ask = 'GET /v1/sessions HTTP/1.1\r\nHost: localhost\r\n\r\n';
  const first = await open();
  const second = await open();
  for (const socket of [first, second]) {
    socket.write(ask);
    expect(String((await once(socket, 'data'))[0])).toContain('200 OK');
  }
  const third = await open();
  await once(third, 'close');
  second.destroy();
  await expect
    .poll(async () => {
      const next = await open();
      next.write(ask);
      const answered = await Promise.race([
        once(next, 'data').then(() => true),
        once(next, 'close').then(() => false),
      ]);
      next.destroy();
      return answered;
    })
    .toBe(true);
  first.destroy();
});
