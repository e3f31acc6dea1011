// One of the servers of socket.io: the page, the chat, and a path for health checks.
//
//   node examples/socket-io/server.mjs NAME PORT
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const [name = 'server', port = '3001'] = process.argv.slice(2);
const page = readFileSync(new URL('index.html', import.meta.url));

const server = createServer((req, res) => {
  if (req.url === '/healthz') res.end('fine\n');
  else if (req.url === '/') res.setHeader('Content-Type', 'text/html; charset=utf-8').end(page);
  else res.writeHead(404).end();
});
const io = new Server(server);
io.on('connection', (socket) => {
  socket.emit('welcome', name);
  socket.on('say', (text) => io.emit('said', `${name}: ${String(text).slice(0, 1000)}`));
});
server.listen(Number(port), '127.0.0.1');
await once(server, 'listening');
console.log(`${name} (process ${process.pid}) on http://127.0.0.1:${port}`);

await once(process, 'SIGTERM');
await io.close();
