// As its README proxies WebSockets with a server of one's own. Version 2 needs Node 22.
import { createServer } from 'node:http';

const [port, backend] = process.argv.slice(2).map(Number);
const isNode22 = Number(process.versions.node.split('.')[0]) >= 22;
const { createProxyServer } = await import(isNode22 ? 'http-proxy-3-node22' : 'http-proxy-3');

const proxy = createProxyServer({ target: { host: '127.0.0.1', port: backend } });
proxy.on('error', (error) => console.error(error.message));

createServer((req, res) => proxy.web(req, res))
  .on('upgrade', (req, socket, head) => proxy.ws(req, socket, head))
  .listen(port, '127.0.0.1');
