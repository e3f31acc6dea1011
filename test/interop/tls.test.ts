/** Libraries of others that come by TLS, in both versions of it that Tidegate takes. */
import { Agent, WebSocket as UndiciWebSocket } from 'undici';
import { describe, expect, test } from 'vitest';
import { certificateFile } from '../fixtures/certificates.js';
import { Inbox } from '../fixtures/inbox.js';
import { takesPart } from '../fixtures/interop.js';
import { connectSocketIo, socketIoVersions, startSocketIo } from '../fixtures/peers/socket-io.js';
import { connectTurtle } from '../fixtures/peers/theturtle32.js';
import { connectWs, startWsServer, type WsServer } from '../fixtures/peers/ws.js';
import { startProxy } from '../fixtures/proxy.js';
import { running } from '../fixtures/running.js';
import { npmSoftware } from '../fixtures/software.js';
import { trusting } from '../fixtures/tls-client.js';

const pem = certificateFile('chat');
const large = 'grüße ✓'.repeat(30_000);

async function behindTls(server: { readonly url: string }) {
  const listeners = [{ address: '127.0.0.1:0', tls: { certificates: { cert: pem, key: pem } } }];
  const proxy = await running(startProxy({ listeners, routes: [{ to: server.url }] }));
  return { proxy, wss: `wss://127.0.0.1:${proxy.port}/chat` };
}

async function expectSecure({ ends }: WsServer): Promise<void> {
  const { request } = await ends.next();
  expect(request?.headers).toMatchObject({ 'x-forwarded-proto': 'https' });
}

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('%s', (version) => {
  const tls = { ...trusting, minVersion: version, maxVersion: version };

  test.each([8, 13])('ws, version %d', async (protocolVersion) => {
    const server = await running(startWsServer());
    const { proxy, wss } = await behindTls(server);
    const client = await running(connectWs(wss, ['v1'], { ...tls, protocolVersion }));
    await expectSecure(server);
    client.socket.send(large);
    expect(await client.messages.next()).toBe(large);
    client.socket.close(4000, 'enough');
    expect(await client.closed).toEqual({ code: 4000, reason: 'enough' });
    expect(await proxy.nextRecord()).toMatchObject({
      generation: protocolVersion === 8 ? 'hybi-08' : 'rfc6455',
      subprotocol: 'v1',
      closeCodeFromClient: 4000,
      outcome: 'client-closed',
    });
  });

  test.each([8, 13] as const)('websocket, version %d', async (protocolVersion) => {
    const server = await running(startWsServer());
    const { proxy, wss } = await behindTls(server);
    const client = await running(connectTurtle(wss, protocolVersion, [], 'http://app.example', tls));
    await expectSecure(server);
    client.connection.sendUTF(large);
    expect(await client.lines.next()).toBe(`text ${large}`);
    client.connection.close(4000, 'enough');
    expect(await client.lines.next()).toMatch(/^close 4000/);
    expect(await proxy.nextRecord()).toMatchObject({ closeCodeFromClient: 4000, outcome: 'client-closed' });
  });

  test('undici', async () => {
    takesPart('client', npmSoftware('undici'));
    const server = await running(startWsServer());
    const { proxy, wss } = await behindTls(server);
    const client = new UndiciWebSocket(wss, { dispatcher: new Agent({ connect: tls }) });
    const messages = new Inbox<unknown>('the client');
    client.addEventListener('message', ({ data }) => messages.push(data));
    await new Promise((resolve, reject) => {
      client.addEventListener('open', resolve);
      client.addEventListener('error', reject);
    });
    await expectSecure(server);
    client.send(large);
    expect(await messages.next()).toBe(large);
    client.close(4000, 'enough');
    expect(await proxy.nextRecord()).toMatchObject({ closeCodeFromClient: 4000, outcome: 'client-closed' });
  });
});

/** Version 2 takes Node’s own WebSocket where there is one, and that believes no certificate that is only told to it. */
const overTls = socketIoVersions.filter((version) => version !== 2 || !('WebSocket' in globalThis));

test.each(overTls)('socket.io %d, from polling to its WebSocket', async (version) => {
  const server = await running(startSocketIo(version));
  const { proxy } = await behindTls(server);
  const url = `https://127.0.0.1:${proxy.port}`;
  // It has no way to name the server that its certificate is for, nor to choose the version of TLS.
  const options = { rejectUnauthorized: false };
  const client = await running(connectSocketIo(version, url, ['polling', 'websocket'], options));
  await client.upgraded;
  expect(await client.ask('echo', large)).toBe(large);
  await client.stop();
  await server.departures.next();
  const record = await proxy.nextRecord(({ status }) => status === 101);
  expect(record).toMatchObject({ path: '/socket.io/', closedBy: 'client', outcome: 'client-closed' });
});
