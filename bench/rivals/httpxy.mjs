// As its README proxies WebSockets.
import { createServer } from 'node:http';
import { createProxyServer } from 'httpxy';

const [port, backend] = process.argv.slice(2).map(Number);
const target = `http://127.0.0.1:${backend}`;

const proxy = createProxyServer({ target, ws: true });
proxy.on('error', (error) => console.error(error.message));

createServer((req, res) => void proxy.web(req, res))
  .on('upgrade', (req, socket, head) => void proxy.ws(req, socket, { target }, head))
  .listen(port, '127.0.0.1');
