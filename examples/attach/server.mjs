// A program that already has an http.Server keeps it: it answers its own pages, and Tidegate takes the WebSockets.
//
//   BACKEND=http://127.0.0.1:3000 node examples/attach/server.mjs
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createProxy } from 'tidegate';

const proxy = createProxy({
  routes: [{ match: { path: '/live' }, to: process.env.BACKEND ?? 'http://127.0.0.1:3000' }],
});

const server = createServer((req, res) => {
  // Some requests are ours, some are the backend's.
  if (req.url === '/') res.end('a page of my own\n');
  else proxy.handleRequest(req, res);
});
server.on('upgrade', proxy.handleUpgrade);

server.listen(Number(process.env.PORT ?? 8080), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});

await once(process, 'SIGTERM');
server.close();
await proxy.stop({ timeoutMs: 1000 });
server.closeAllConnections();
