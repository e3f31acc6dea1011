/** Servers of HTTP/2: WebSockets go to them by RFC 8441, whatever the client speaks. */
import { describe, expect, test } from 'vitest';
import type { ConfigInput } from '../../src/config/schema.js';
import { Http2WsServer } from '../fixtures/peers/http2-ws.js';
import { connectWs } from '../fixtures/peers/ws.js';
import { startProxy } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';

async function start(
  servers: string | string[],
  upstream: Partial<Extract<NonNullable<ConfigInput['upstreams']>[string], { servers: unknown }>> = {},
  more: Partial<ConfigInput> = {},
) {
  return running(
    startProxy({
      listeners: [{ address: '127.0.0.1:0', http2: true }],
      upstreams: { chat: { servers, http2: true, ...upstream } },
      routes: [{ to: 'chat' }],
      ...more,
    }),
  );
}

describe('from clients of HTTP/1.1', () => {
  test('messages, subprotocol, close', async () => {
    const server = await Http2WsServer.start();
    const proxy = await start(server.url);
    const client = await running(connectWs(`${proxy.url}/chat?x=1`, ['v1', 'v2']));
    expect(client.socket.protocol).toBe('v2');
    client.socket.send('hello');
    expect(await client.messages.next()).toBe('hello');
    const end = await server.ends.next();
    expect(end.fields).toMatchObject({ ':protocol': 'websocket', ':path': '/chat?x=1' });
    client.socket.close(4000, 'bye');
    expect(await client.closed).toEqual({ code: 4000, reason: 'bye' });
    expect(await end.closed).toEqual({ code: 4000, reason: 'bye' });
    expect(await proxy.nextRecord()).toMatchObject({ status: 101, outcome: 'client-closed' });
  });
});
