/** Software of different times, talking to each other through Tidegate; on both engines. */
import { describe, expect, test } from 'vitest';
import { Http2Client } from '../fixtures/http2-client.js';
import { startProxy, type RunningProxy } from '../fixtures/proxy.js';
import { needPerl, startPerlClient, startPerlServer, type PerlGeneration } from '../fixtures/peers/perl.js';
import { connectDriverClient, startDriverServer } from '../fixtures/peers/driver.js';
import { decode, encode, startNodeWebSocketClient, startSocketIo06 } from '../fixtures/peers/socket-io-06.js';
import { connectTurtle, startTurtleServer } from '../fixtures/peers/theturtle32.js';
import { connectWs, startWsServer } from '../fixtures/peers/ws.js';
import { running } from '../fixtures/running.js';

const path = '/socket.io/websocket';
const origin = 'http://pages.example.com';

describe.each(['stream', 'auto'] as const)('relay: %s', (relay) => {
  const before = async (
    server: { readonly url: string },
    upstreamGeneration: 'rfc6455' | 'hixie-76',
    websocket: object = {},
  ): Promise<RunningProxy & { readonly wsUrl: string }> => {
    const routes = [{ to: server.url, websocket: { upstreamGeneration, ...websocket } }];
    const proxy = await running(startProxy({ listeners: ['127.0.0.1:0'], relay, routes }));
    return {
      ...proxy,
      nextRecord: proxy.nextRecord,
      stop: proxy.stop,
      wsUrl: `ws://127.0.0.1:${proxy.port}`,
    };
  };

  describe.each(['0.6.0', '0.6.18'] as const)('socket.io %s, which knows Hixie only', (version) => {
    test('before a client of ws: session id, messages, heartbeats, the goodbye', async () => {
      const server = await running(startSocketIo06(version));
      const proxy = await before(server, 'hixie-76');
      const client = await running(connectWs(proxy.wsUrl + path, [], { origin }));
      const hear = async (matches: (message: string) => boolean): Promise<string> => {
        const frame = await client.messages.next((frame) => matches(decode(frame as string)[0] ?? ''));
        return decode(frame as string)[0]!;
      };

      const first = (await client.messages.next()) as string;
      const id = decode(first)[0]!;
      expect(first).toBe(`~m~${id.length}~m~${id}`);
      expect(await server.child.lines.next()).toBe(`connected ${id}`);
      client.socket.send(encode('grüße ✓'));
      expect(await hear((message) => message.startsWith('gr'))).toBe('grüße ✓');
      for (const beat of [1, 2]) {
        client.socket.send(encode(await hear((message) => message === `~h~${beat}`)));
        await server.child.lines.next((line) => line === `heartbeat ${beat}`);
      }
      client.socket.close(4000, 'enough');
      expect(await client.closed).toEqual({ code: 4000, reason: '' });
      await server.child.lines.next((line) => line === `disconnected ${id}`);
      expect(await proxy.nextRecord()).toMatchObject({
        generation: 'rfc6455',
        upstreamGeneration: 'hixie-76',
        status: 101,
        path,
        closedBy: 'client',
        outcome: 'client-closed',
        closeCodeFromClient: 4000,
        closeReasonFromClient: 'enough',
        messagesFromClient: 3,
      });
    });

    test('before websocket-driver’s client, which sends no origin', async () => {
      const server = await running(startSocketIo06(version, { heartbeatIntervalMs: 60_000 }));
      const proxy = await before(server, 'hixie-76');
      const client = await running(connectDriverClient(proxy.wsUrl + path));
      const id = decode((await client.messages.next()) as string)[0]!;
      expect(await server.child.lines.next()).toBe(`connected ${id}`);
      client.send(encode('hello'));
      expect(decode((await client.messages.next()) as string)).toEqual(['hello']);
    });

    test('two clients, of 2010 and of today, hear each other', async () => {
      const server = await running(startSocketIo06(version, { heartbeatIntervalMs: 60_000 }));
      const proxy = await before(server, 'hixie-76');
      const modern = await running(connectWs(proxy.wsUrl + path, [], { origin }));
      const modernId = decode((await modern.messages.next()) as string)[0]!;
      const old = await running(startNodeWebSocketClient(proxy.wsUrl + path));
      await old.lines.next((line) => line.startsWith('text '));
      modern.socket.send(encode('is anybody there?'));
      const heard = await old.lines.next((line) => line.startsWith('text '));
      expect(decode(heard.slice(5))).toEqual([`${modernId} says "is anybody there?"`]);
      old.write(encode('yes'));
      await modern.messages.next((frame) => (frame as string).endsWith('says "yes"'));
      old.end();
      // The old client’s frames need no translation.
      const record = await proxy.nextRecord();
      expect(record).toMatchObject({ generation: 'hixie-76', closedBy: 'client' });
      expect(record.upstreamGeneration).toBeUndefined();
    });
  });

  test.skipIf(needPerl.missing)(`a Hixie-75 client before it${needPerl.note}`, async () => {
    const server = await running(startSocketIo06('0.6.0', { heartbeatIntervalMs: 60_000 }));
    const proxy = await before(server, 'hixie-76');
    const client = await running(
      startPerlClient({ host: '127.0.0.1', port: proxy.port, path, generation: 'hixie-75' }),
    );
    expect(await client.lines.next()).toBe(
      [
        'answer HTTP/1.1 101 Web Socket Protocol Handshake',
        'Upgrade: WebSocket',
        'Connection: Upgrade',
        `WebSocket-Origin: ${proxy.url}`,
        `WebSocket-Location: ${proxy.wsUrl}${path}`,
      ].join('|'),
    );
    await client.lines.next((line) => line.startsWith('text '));
    client.write(encode('grüße ✓'));
    await client.lines.next((line) => line === `text ${encode('grüße ✓')}`);
    client.end();
    expect(await proxy.nextRecord()).toMatchObject({
      generation: 'hixie-75',
      upstreamGeneration: 'hixie-76',
      outcome: 'client-closed',
    });
  });

  describe('before a server of ws, which knows RFC 6455', () => {
    test('node-websocket-client 0.9.5 of 2010', async () => {
      const server = await running(startWsServer());
      const proxy = await before(server, 'rfc6455');
      const client = await running(startNodeWebSocketClient(`${proxy.wsUrl}/chat`));
      expect(await client.lines.next()).toBe('open');
      const end = await server.ends.next();
      expect(end.request?.headers).toMatchObject({ upgrade: 'websocket', 'sec-websocket-version': '13' });
      expect(end.request?.headers).not.toHaveProperty('sec-websocket-key1');
      for (const text of ['grüße ✓', 'x'.repeat(30_000), 'end']) {
        client.write(text);
        expect(await client.lines.next()).toBe(`text ${text}`);
      }
      client.end();
      // It ends its connection without the close of its generation.
      expect(await end.closed).toEqual({ code: 1001, reason: '' });
      expect(await proxy.nextRecord()).toMatchObject({
        generation: 'hixie-76',
        upstreamGeneration: 'rfc6455',
        outcome: 'client-closed',
        messagesFromClient: 3,
        messagesFromUpstream: 3,
        closeCodeFromUpstream: 1001,
      });
    });

    test.skipIf(needPerl.missing).each(['hixie-75', 'hixie-76', 'hybi-08'] as const)(
      `Perl’s Protocol::WebSocket as %s${needPerl.note}`,
      async (generation: PerlGeneration) => {
        const server = await running(startWsServer({ handleProtocols: () => 'chat' }));
        const proxy = await before(server, 'rfc6455');
        const { port } = proxy;
        const options = { host: '127.0.0.1', port, path: '/chat', generation, subprotocol: 'chat' };
        const client = await running(startPerlClient(options));
        expect(await client.lines.next()).toMatch(
          {
            'hixie-75': /^answer HTTP\/1.1 101 Web Socket Protocol Handshake\|/,
            'hixie-76': /^answer HTTP\/1.1 101 WebSocket Protocol Handshake\|/,
            'hybi-08': /^answer HTTP\/1.1 101 Switching Protocols\|/,
            rfc6455: /./,
          }[generation],
        );
        expect(await client.lines.next()).toBe('open chat');
        const end = await server.ends.next();
        expect(end.request?.headers['sec-websocket-version']).toBe('13');
        expect(end.request?.headers['origin']).toBeDefined();
        expect(end.request?.headers['sec-websocket-origin']).toBeUndefined();
        client.write('grüße ✓');
        expect(await client.lines.next()).toBe('text grüße ✓');
        client.end();
        expect((await end.closed).code).toBe({ 'hybi-08': 1005 }[generation as string] ?? 1000);
        expect(await proxy.nextRecord()).toMatchObject({
          generation,
          upstreamGeneration: 'rfc6455',
          subprotocol: 'chat',
          outcome: 'client-closed',
          messagesFromClient: 1,
          messagesFromUpstream: 1,
        });
      },
    );

    test.skipIf(needPerl.missing).each(['hixie-75', 'hixie-76'] as const)(
      `closes first, with %s${needPerl.note}`,
      async (generation) => {
        const server = await running(startWsServer());
        const proxy = await before(server, 'rfc6455');
        const options = { host: '127.0.0.1', port: proxy.port, path: '/chat', generation };
        const client = await running(startPerlClient(options));
        const end = await server.ends.next();
        end.socket.send('bye');
        end.socket.close(4001, 'done');
        await client.lines.next((line) => line === 'text bye');
        if (generation === 'hixie-76') await client.lines.next((line) => line === 'close 1005');
        await client.lines.next((line) => line === 'end');
        expect(await end.closed).toEqual({ code: 4001, reason: '' });
        expect(await proxy.nextRecord()).toMatchObject({
          outcome: 'upstream-closed',
          closedBy: 'upstream',
          closeCodeFromUpstream: 4001,
          closeReasonFromUpstream: 'done',
        });
      },
    );

    test('the websocket package as version 8: its origin moves, its messages stay', async () => {
      const server = await running(startWsServer({ perMessageDeflate: true }));
      const proxy = await before(server, 'rfc6455');
      const client = await running(connectTurtle(`${proxy.wsUrl}/chat`, 8, ['b', 'a'], origin));
      const end = await server.ends.next();
      expect(end.request?.headers).toMatchObject({
        origin,
        'sec-websocket-version': '13',
        'sec-websocket-protocol': 'b, a',
      });
      client.connection.sendUTF('grüße ✓');
      expect(await client.lines.next()).toBe('text grüße ✓');
      client.connection.sendBytes(Buffer.from([0, 255]));
      expect(await client.lines.next()).toBe('binary 00ff');
      client.connection.drop(4000, 'enough');
      expect((await end.closed).code).toBe(4000);
      expect(await proxy.nextRecord()).toMatchObject({
        generation: 'hybi-08',
        upstreamGeneration: 'rfc6455',
        subprotocol: 'b',
        messagesFromClient: 2,
        messagesFromUpstream: 2,
        closeCodeFromClient: 4000,
      });
    });

    test('ws as version 8, whose compression is not offered on', async () => {
      const server = await running(startWsServer({ perMessageDeflate: true }));
      const proxy = await before(server, 'rfc6455');
      const client = await running(connectWs(`${proxy.wsUrl}/chat`, [], { protocolVersion: 8, origin }));
      expect(client.socket.extensions).toBe('');
      client.socket.send('hello');
      expect(await client.messages.next()).toBe('hello');
    });
  });

  test('a client of ws before websocket-driver as Hixie-76: text, a ping, a close', async () => {
    const server = await running(startDriverServer());
    const proxy = await before(server, 'hixie-76');
    const client = await running(connectWs(`${proxy.wsUrl}/chat`, [], { origin }));
    expect(await server.lines.next()).toBe('open hixie-76');
    for (const text of ['grüße ✓', '', 'x'.repeat(300_000)]) {
      client.socket.send(text);
      expect(await client.messages.next()).toBe(text);
    }
    client.socket.ping('are you there?');
    expect(await client.controls.next()).toBe('pong are you there?');
    client.socket.send('bye');
    expect((await client.closed).code).toBe(1000);
    expect(await proxy.nextRecord()).toMatchObject({
      closedBy: 'upstream',
      outcome: 'upstream-closed',
      messagesFromClient: 4,
      messagesFromUpstream: 3,
      closeCodeFromUpstream: 1005,
    });
  });

  test.skipIf(needPerl.missing)(
    `a client of ws before the Perl server as Hixie-76${needPerl.note}`,
    async () => {
      const server = await running(startPerlServer({ subprotocol: 'chat' }));
      const proxy = await before(server, 'hixie-76');
      const client = await running(connectWs(`${proxy.wsUrl}/chat`, ['chat'], { origin }));
      expect(await client.messages.next()).toBe('hello draft-ietf-hybi-00');
      client.socket.send('grüße ✓');
      expect(await client.messages.next()).toBe('grüße ✓');
      client.socket.send('say goodbye');
      expect((await client.closed).code).toBe(1000);
    },
  );

  test('a client of HTTP/2 (RFC 8441) before socket.io 0.6.0', async () => {
    const server = await running(startSocketIo06('0.6.0', { heartbeatIntervalMs: 60_000 }));
    const listeners = [{ address: '127.0.0.1:0', http2: true }];
    const routes = [{ to: server.url, websocket: { upstreamGeneration: 'hixie-76' as const } }];
    const proxy = await running(startProxy({ listeners, relay, routes }));
    const session = await Http2Client.connect(proxy.url);
    const client = await session.open({ ':path': path, origin });
    const id = decode(await client.messages.next())[0]!;
    expect(await server.child.lines.next()).toBe(`connected ${id}`);
    client.socket.send(encode('grüße ✓'));
    expect(decode(await client.messages.next())).toEqual(['grüße ✓']);
    client.socket.close(4000);
    expect(await client.closed).toEqual({ code: 4000, reason: '' });
    expect(await proxy.nextRecord()).toMatchObject({
      via: 'h2',
      generation: 'rfc6455',
      upstreamGeneration: 'hixie-76',
      outcome: 'client-closed',
      closeCodeFromClient: 4000,
    });
  });

  test('a client of the websocket package, version 13, before websocket-driver as Hixie-76', async () => {
    const server = await running(startDriverServer());
    const proxy = await before(server, 'hixie-76');
    const client = await running(connectTurtle(`${proxy.wsUrl}/chat`, 13, [], origin));
    client.connection.sendUTF('grüße ✓');
    expect(await client.lines.next()).toBe('text grüße ✓');
    client.connection.sendBytes(Buffer.from([1, 2]));
    expect(await client.lines.next()).toMatch(/^close 1003 binary/);
    expect(await proxy.nextRecord()).toMatchObject({
      outcome: 'failed(TRANSLATION_BINARY)',
      closedBy: 'proxy',
      // Its answer to 1003.
      closeCodeFromClient: 1000,
      detail: 'binary messages cannot be said in Hixie, from the client',
    });
  });

  test.skipIf(needPerl.missing)(
    `the websocket package’s server sends binary to Hixie-76${needPerl.note}`,
    async () => {
      const server = await running(startTurtleServer());
      const proxy = await before(server, 'rfc6455');
      const options = { host: '127.0.0.1', port: proxy.port, path: '/chat', generation: 'hixie-76' } as const;
      const client = await running(startPerlClient(options));
      const end = await server.ends.next();
      expect(end.version).toBe(13);
      client.write('grüße ✓');
      await client.lines.next((line) => line === 'text grüße ✓');
      end.connection.sendBytes(Buffer.from([1, 2]));
      await client.lines.next((line) => line === 'close 1005');
      await client.lines.next((line) => line === 'end');
      expect(await end.lines.next((line) => line.startsWith('close'))).toMatch(/^close 1003 binary/);
      expect(await proxy.nextRecord()).toMatchObject({
        generation: 'hixie-76',
        outcome: 'failed(TRANSLATION_BINARY)',
        detail: 'binary messages cannot be said in Hixie, from the upstream',
      });
    },
  );
});
