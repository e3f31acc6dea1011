import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { onTestFinished, test, expect } from 'vitest';
import { RawServer } from '../../test/fixtures/raw-server.js';
import { Http1Pool } from './http1-agent.js';

function newPool(maxIdleConnections = 4): Http1Pool {
  const tls = { verify: true, ca: undefined, serverName: undefined };
  const pool = new Http1Pool({ secure: false, tls, maxIdleConnections, keepAliveTimeoutMs: 60_000 });
  onTestFinished(() => pool.close());
  return pool;
}

test('an answer in the receive buffer survives a write that fails', async () => {
  const backend = await RawServer.listen({ paused: true });
  const upload = request({
    host: '127.0.0.1',
    port: backend.port,
    agent: newPool().agent,
    method: 'POST',
    headers: ['Host', 'a', 'Transfer-Encoding', 'chunked'],
  });
  upload.on('error', () => {});
  upload.write('never read');
  const server = await backend.accept();
  // All in one turn: the answer, a reset behind it because of the unread bytes, and a write that meets the reset
  // before anything was read.
  server.write('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig');
  server.destroy();
  upload.write('more');
  const [response] = (await once(upload, 'response')) as [IncomingMessage];
  expect(response.statusCode).toBe(413);
  let body = '';
  for await (const chunk of response.setEncoding('latin1')) body += chunk;
  expect(body).toBe('big');
});
