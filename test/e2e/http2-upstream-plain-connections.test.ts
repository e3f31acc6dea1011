/** Plain requests to servers of HTTP/2: how many share a connection, and for how long. */
import { describe, expect, test } from 'vitest';
import { Http2Backend } from '../fixtures/http2-backend.js';
import { Http2Client } from '../fixtures/http2-client.js';
import { startProxy } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';
import { startH2, house } from '../fixtures/http2-upstream.js';

describe('connections', () => {
  test('one carries many at once, and no more than the server allows', async () => {
    const backend = await Http2Backend.start(undefined, { settings: { maxConcurrentStreams: 10 } });
    const proxy = await startH2([backend.url]);
    const answers = Array.from({ length: 25 }, (_, i) => fetch(`${proxy.url}/${i}`));
    for (let i = 0; i < 25; i++) await backend.asked.next();
    expect(backend.sessions.all).toHaveLength(3);
    for (const { stream, fields } of backend.asked.all) {
      stream.respond({ ':status': 200 });
      stream.end(fields[':path']);
    }
    for (const [i, answer] of answers.entries()) expect(await (await answer).text()).toBe(`/${i}`);
    for (let i = 0; i < 25; i++) await proxy.results.next();
    const next = fetch(`${proxy.url}/next`);
    (await backend.asked.next()).stream.respond({ ':status': 204 }, { endStream: true });
    expect((await next).status).toBe(204);
    expect(backend.sessions.all).toHaveLength(3);
  });

  test('many hundreds at once, where the server sets no limit', async () => {
    const { backend, proxy, client } = await house((stream) => {
      stream.respond({ ':status': 200 });
      stream.end('x'.repeat(1000));
    });
    client.destroy();
    const texts = await Promise.all(
      Array.from({ length: 400 }, async () => (await (await fetch(proxy.url)).text()).length),
    );
    expect(texts.filter((length) => length === 1000)).toHaveLength(400);
    expect(backend.sessions.all).toHaveLength(1);
  });

  test('maxConnections of a server counts its requests', async () => {
    const backend = await Http2Backend.start();
    const proxy = await running(
      startProxy({
        listeners: ['127.0.0.1:0'],
        upstreams: {
          pages: { servers: [{ url: backend.url, maxConnections: 1 }], http2: true, queue: { size: 0 } },
        },
        routes: [{ to: 'pages' }],
      }),
    );
    const first = fetch(proxy.url);
    const { stream } = await backend.asked.next();
    expect((await fetch(proxy.url)).status).toBe(503);
    stream.respond({ ':status': 204 }, { endStream: true });
    expect((await first).status).toBe(204);
  });

  test('WebSockets and requests share one; idle it is closed, and stopping closes it', async () => {
    const backend = await Http2Backend.start(
      (stream, fields) => {
        stream.respond({ ':status': 200 });
        if (fields[':method'] === 'GET') stream.end('page');
      },
      { settings: { enableConnectProtocol: true } },
    );
    const proxy = await running(
      startProxy({
        listeners: [{ address: '127.0.0.1:0', http2: true }],
        upstreams: { app: { servers: backend.url, http2: true, keepAliveTimeout: '200ms' } },
        routes: [{ to: 'app' }],
      }),
    );
    const browser = await Http2Client.connect(proxy.url);
    const socket = browser.offer({ ':path': '/chat' });
    await new Promise((resolve) => socket.once('response', resolve));
    expect(await browser.ask({ ':path': '/', cookie: 'a=1' })).toMatchObject({ status: 200, body: 'page' });
    expect(await proxy.nextRecord()).toMatchObject({ via: 'h2', status: 200, server: backend.url });
    const session = await backend.sessions.next();
    expect(backend.sessions.all).toHaveLength(1);
    const gone = new Promise((resolve) => session.once('close', resolve));
    socket.destroy();
    await gone;
    await fetch(proxy.url);
    const second = await backend.sessions.next();
    const stopped = new Promise((resolve) => second.once('close', resolve));
    await proxy.proxy.stop({ timeoutMs: 0, spreadMs: 0 });
    await stopped;
  });
});
