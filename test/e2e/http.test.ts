import { expect, test } from 'vitest';
import { startHttpProxy } from '../fixtures/http-proxy.js';
import { RawPeer } from '../fixtures/raw-peer.js';
import { RawServer } from '../fixtures/raw-server.js';

test('a request and its answer pass as they were sent, hop-by-hop fields aside', async () => {
  const backend = await RawServer.listen();
  const proxy = await startHttpProxy([backend.url]);
  const client = await RawPeer.connect(proxy.port);
  client.write(
    'GET /a?b=%20c HTTP/1.1\r\nX-B: 1\r\nHOST: example.com\r\nx-a: caf\xe9\r\nX-B: 2\r\nx-b: 3\r\nConnection: keep-alive, X-Secret\r\nX-Secret: s\r\nKeep-Alive: timeout=9\r\nProxy-Connection: x\r\nTE: trailers, gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n',
  );
  const server = await backend.accept();
  expect(await server.head()).toEqual([
    'GET /a?b=%20c HTTP/1.1',
    'X-B: 1',
    'HOST: example.com',
    'x-a: caf\xe9',
    'X-B: 2',
    'x-b: 3',
    'TE: trailers',
    'Connection: keep-alive',
  ]);
  server.write(
    'HTTP/1.1 200 F\xefne\r\nSet-Cookie: a=1\r\nx-Z: 1\r\nset-cookie: b=2\r\nContent-Length: 2\r\nSet-Cookie: c=\xe9\r\nConnection: X-Internal\r\nX-Internal: 1\r\nKeep-Alive: timeout=1\r\nUpgrade: h2c\r\n\r\nhi',
  );
  expect(await client.head()).toEqual([
    'HTTP/1.1 200 F\xefne',
    'Set-Cookie: a=1',
    'x-Z: 1',
    'set-cookie: b=2',
    'Content-Length: 2',
    'Set-Cookie: c=\xe9',
    'Connection: keep-alive',
    'Keep-Alive: timeout=60',
  ]);
  expect((await client.take(2)).toString()).toBe('hi');
  expect(await proxy.nextResult()).toEqual({
    status: 200,
    server: backend.url,
    bytesFromClient: 0,
    bytesFromUpstream: 2,
  });
});
