// A program that starts Tidegate inside itself, in front of a WebSocket server of its own.
//
//   node examples/embed/server.mjs
import { once } from 'node:events';
import { createProxy, defineConfig } from 'tidegate';
import { WebSocketServer } from 'ws';

const backend = new WebSocketServer({ host: '127.0.0.1', port: 0 });
backend.on('connection', (socket) => {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
await once(backend, 'listening');

const config = defineConfig({
  listeners: [process.env.LISTEN ?? '127.0.0.1:8080'],
  routes: [
    {
      match: { path: '/echo' },
      to: `http://127.0.0.1:${backend.address().port}`,
      websocket: { idleTimeout: '1h' },
    },
  ],
});

const proxy = createProxy(config);
proxy.on('session.opened', ({ id, client, generation }) =>
  console.log(`opened ${id} ${client} ${generation}`),
);
proxy.on('session.closed', (record, { id }) => {
  console.log(
    `closed ${id} ${record.outcome} ${record.messagesFromClient} messages, code ${record.closeCodeFromClient}`,
  );
});
await proxy.start();
console.log(`ws://127.0.0.1:${proxy.listeners[0].port}/echo`);

await once(process, 'SIGTERM');
await proxy.stop({ timeoutMs: 1000 });
backend.close();
