/** WebSockets over HTTP/2 to HAProxy, which announces RFC 8441 and passes them on to `ws` over HTTP/1.1. */
import { describe, expect, test } from 'vitest';
import type { ConfigInput } from '../../src/config/schema.js';
import { authorityFile, certificateFile } from '../fixtures/certificates.js';
import { Http2Client } from '../fixtures/http2-client.js';
import { takesPart } from '../fixtures/interop.js';
import { needCommand } from '../fixtures/need.js';
import { startHaproxyWith } from '../fixtures/peers/haproxy-config.js';
import { connectWs, startWsServer, type WsEnd, type WsServer } from '../fixtures/peers/ws.js';
import { startProxy, type RunningProxy } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';
import { haproxySoftware } from '../fixtures/software.js';

const haproxy = needCommand('haproxy');

interface House {
  readonly proxy: RunningProxy;
  readonly app: WsServer;
}

async function start(
  relay: 'stream' | 'auto',
  bind = 'proto h2',
  upstream: object = {},
  frontend = '',
): Promise<House> {
  takesPart('server', haproxySoftware(), { between: true });
  const app = await running(startWsServer({ handleProtocols: (offered) => [...offered][1] ?? false }));
  const hap = await running(startHaproxyWith(haproxy.path!, configuration(app, bind, frontend)));
  const scheme = bind.includes('ssl') ? 'https' : 'http';
  const config: ConfigInput = {
    relay,
    listeners: [{ address: '127.0.0.1:0', http2: true }],
    upstreams: { chat: { servers: `${scheme}://127.0.0.1:${hap.port}`, http2: true, ...upstream } },
    routes: [{ to: 'chat' }],
  };
  return { app, proxy: await running(startProxy(config)) };
}

/** `X-Seen-Version` tells the app how the WebSocket came to HAProxy. */
function configuration(app: WsServer, bind: string, frontend: string): string {
  return `
frontend door
  mode http
  bind fd@3 ${bind}
  http-request set-header X-Seen-Version %[req.ver]
  ${frontend}
  default_backend app
backend app
  mode http
  server app 127.0.0.1:${app.port}
`;
}

const clients = {
  'HTTP/1.1': (proxy: RunningProxy) => running(connectWs(`${proxy.url}/chat`, ['v1', 'v2'])),
  'HTTP/2': async (proxy: RunningProxy): Promise<Pick<WsEnd, 'socket' | 'closed' | 'messages'>> => {
    const client = await Http2Client.connect(proxy.url);
    const { socket, closed, messages } = await client.open({ 'sec-websocket-protocol': 'v1, v2' });
    return { socket, closed, messages: messages as WsEnd['messages'] };
  },
};
const kinds = (['HTTP/1.1', 'HTTP/2'] as const).flatMap((kind) =>
  (['stream', 'auto'] as const).map((relay) => ({ kind, relay })),
);

describe.skipIf(haproxy.missing).each(kinds)(
  `HAProxy over HTTP/2, a client of $kind, relay: $relay${haproxy.note}`,
  ({ kind, relay }) => {
    const open = clients[kind];

    test('messages of any size, code and reason from the client', async () => {
      const { proxy, app } = await start(relay);
      const client = await open(proxy);
      client.socket.send('grüße');
      client.socket.send(Buffer.alloc(1_000_000, 'x'));
      expect(await client.messages.next()).toBe('grüße');
      expect(await client.messages.next()).toHaveLength(1_000_000);
      const end = await app.ends.next();
      expect(end.request?.headers).toMatchObject({ 'x-seen-version': '2.0', 'x-forwarded-for': '127.0.0.1' });
      client.socket.close(4000, 'bye');
      expect(await client.closed).toEqual({ code: 4000, reason: 'bye' });
      expect(await end.closed).toEqual({ code: 4000, reason: 'bye' });
      expect(await proxy.nextRecord()).toMatchObject({
        status: 101,
        subprotocol: 'v2',
        messagesFromUpstream: 2,
        outcome: 'client-closed',
      });
    });

    test('code and reason from the server', async () => {
      const { proxy, app } = await start(relay);
      const client = await open(proxy);
      (await app.ends.next()).socket.close(4001, 'enough');
      expect(await client.closed).toEqual({ code: 4001, reason: 'enough' });
      expect(await proxy.nextRecord()).toMatchObject({ outcome: 'upstream-closed' });
    });

    test('a server that is lost, and a client', async () => {
      const { proxy, app } = await start(relay);
      const first = await open(proxy);
      (await app.ends.next()).socket.terminate();
      expect((await first.closed).code).toBe(1006);
      expect(await proxy.nextRecord()).toMatchObject({ outcome: 'upstream-lost' });
      const second = await open(proxy);
      second.socket.terminate();
      expect((await (await app.ends.next()).closed).code).toBe(1006);
      expect(await proxy.nextRecord()).toMatchObject({ outcome: 'client-lost' });
    });

    test('a drain', async () => {
      const { proxy, app } = await start(relay);
      const client = await open(proxy);
      const end = await app.ends.next();
      const stopped = proxy.proxy.stop({ timeoutMs: 10_000, spreadMs: 0 });
      expect((await client.closed).code).toBe(1001);
      expect((await end.closed).code).toBe(1001);
      await stopped;
    });
  },
);

describe.skipIf(haproxy.missing)(`HAProxy over HTTP/2${haproxy.note}`, () => {
  const open = clients['HTTP/1.1'];

  test('many on one connection', async () => {
    const { proxy, app } = await start('auto', 'proto h2', {}, 'http-request set-header X-Port %[src_port]');
    const sockets = await Promise.all(Array.from({ length: 60 }, () => open(proxy)));
    sockets.forEach(({ socket }, i) => socket.send(`message ${i}`));
    for (const [i, { messages }] of sockets.entries()) expect(await messages.next()).toBe(`message ${i}`);
    const ports = new Set(app.ends.all.map(({ request }) => request?.headers['x-port']));
    expect(ports.size).toBe(1);
  });

  test('more than it allows on one', async () => {
    const more = 'http-request set-header X-Port %[src_port]';
    const { proxy, app } = await start('auto', 'proto h2', {}, more);
    // Its tune.h2.max-concurrent-streams is 100.
    const sockets = await Promise.all(Array.from({ length: 120 }, () => open(proxy)));
    sockets.forEach(({ socket }, i) => socket.send(`message ${i}`));
    for (const [i, { messages }] of sockets.entries()) expect(await messages.next()).toBe(`message ${i}`);
    const ports = new Set(app.ends.all.map(({ request }) => request?.headers['x-port']));
    expect(ports.size).toBe(2);
  });

  test('a refusal of its own, with its body', async () => {
    const { proxy } = await start('auto', 'proto h2', {}, 'http-request deny deny_status 403');
    await expect(open(proxy)).rejects.toThrow('403');
    expect(await proxy.nextRecord()).toMatchObject({ status: 403 });
  });

  test.each(['auto', true] as const)('by TLS, http2: %s', async (http2) => {
    const pem = certificateFile('chat');
    const tls = { ca: authorityFile, serverName: 'chat.example.test' };
    const { proxy, app } = await start('auto', `ssl crt ${pem} alpn h2,http/1.1`, { http2, tls });
    const client = await open(proxy);
    client.socket.send('hello');
    expect(await client.messages.next()).toBe('hello');
    expect((await app.ends.next()).request?.headers).toMatchObject({ 'x-seen-version': '2.0' });
  });

  test('auto falls back where it agrees to HTTP/1.1 only', async () => {
    const pem = certificateFile('chat');
    const tls = { ca: authorityFile, serverName: 'chat.example.test' };
    const { proxy, app } = await start('auto', `ssl crt ${pem} alpn http/1.1`, { http2: 'auto', tls });
    const client = await open(proxy);
    client.socket.send('hello');
    expect(await client.messages.next()).toBe('hello');
    expect((await app.ends.next()).request?.headers).toMatchObject({ 'x-seen-version': '1.1' });
  });
});
