/** HAProxy as a client of HTTP/2: what browsers ask of it goes on to Tidegate by RFC 8441. */
import { describe, expect, test } from 'vitest';
import { startBackend } from '../fixtures/http-backend.js';
import { takesPart } from '../fixtures/interop.js';
import { needCommand } from '../fixtures/need.js';
import { startHaproxy } from '../fixtures/peers/nginx-rivals-running.js';
import { connectWs, startWsServer } from '../fixtures/peers/ws.js';
import { startProxy } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';
import { haproxySoftware } from '../fixtures/software.js';

const haproxy = needCommand('haproxy');

describe.skipIf(haproxy.missing)(`HAProxy before Tidegate, HTTP/2 between them${haproxy.note}`, () => {
  async function start(to: string) {
    takesPart('client', haproxySoftware(), { between: true });
    const proxy = await running(
      startProxy({ listeners: [{ address: '127.0.0.1:0', http2: true }], routes: [{ to }] }),
    );
    const front = await running(
      startHaproxy(haproxy.path!, proxy.port, 'timeout tunnel 1m', 'proto h2 ws h2'),
    );
    return { proxy, front };
  }

  test('WebSockets: subprotocol, messages, code and reason', async () => {
    const server = await running(startWsServer());
    const { proxy, front } = await start(server.url);
    const client = await running(connectWs(`ws://127.0.0.1:${front.port}/chat`, ['v1', 'v2']));
    client.socket.send('grüße');
    expect(await client.messages.next()).toBe('grüße');
    client.socket.send(Buffer.alloc(500_000, 7));
    expect(await client.messages.next()).toHaveLength(500_000);
    (await server.ends.next()).socket.close(4001, 'enough');
    expect(await client.closed).toEqual({ code: 4001, reason: 'enough' });
    expect(await proxy.nextRecord()).toMatchObject({
      via: 'h2',
      status: 101,
      subprotocol: 'v1',
      closeCodeFromUpstream: 4001,
      outcome: 'upstream-closed',
    });
  });

  test('many at once, and plain requests between them', async () => {
    const server = await running(startWsServer());
    const { proxy, front } = await start(server.url);
    const url = `ws://127.0.0.1:${front.port}/chat`;
    const clients = await Promise.all(Array.from({ length: 30 }, () => running(connectWs(url))));
    clients.forEach(({ socket }, i) => socket.send(`from ${i}`));
    for (const [i, { messages }] of clients.entries()) expect(await messages.next()).toBe(`from ${i}`);
    expect(proxy.proxy.sessions.map(({ via }) => via)).toEqual(Array.from({ length: 30 }, () => 'h2'));
  });

  test('plain requests, with bodies both ways', async () => {
    const backend = await startBackend((req, res) => req.pipe(res));
    const { proxy, front } = await start(backend.url);
    const body = 'x'.repeat(300_000);
    const answer = await fetch(`http://127.0.0.1:${front.port}/upload`, { method: 'POST', body });
    expect(await answer.text()).toBe(body);
    expect(await proxy.nextRecord()).toMatchObject({ via: 'h2', status: 200, bytesFromClient: 300_000 });
  });

  test.each([
    [401, 401],
    // In HTTP/2 a 2xx would be the switch.
    [200, 502],
  ])('a server that answers %d to a handshake: %d', async (status, seen) => {
    const backend = await startBackend((_req, res) => res.writeHead(status).end('a page'));
    const { front } = await start(backend.url);
    const opening = connectWs(`ws://127.0.0.1:${front.port}/`);
    await expect(opening).rejects.toThrow(`Unexpected server response: ${seen}`);
  });
});
