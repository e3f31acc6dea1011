import { Buffer } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { WebSocket as UndiciWebSocket } from 'undici';
import { describe, expect, test } from 'vitest';
import { Inbox } from '../fixtures/inbox.js';
import { takesPart } from '../fixtures/interop.js';
import { graphqlClient, startGraphqlServer } from '../fixtures/peers/graphql.js';
import { connectTurtle, startTurtleServer } from '../fixtures/peers/theturtle32.js';
import { connectWs, frameBytes, startWsServer } from '../fixtures/peers/ws.js';
import { running } from '../fixtures/running.js';
import { nodeSoftware, npmSoftware } from '../fixtures/software.js';
import { ways } from '../fixtures/ways.js';

const uncompressed = { perMessageDeflate: false, maxPayload: 128 << 20 };

describe.each(ways)('$name', ({ to }) => {
  describe('ws', () => {
    test('text and binary at every length encoding, to the byte', async () => {
      const server = await running(startWsServer(uncompressed));
      const path = await to(server);
      const client = await running(connectWs(`${path.wsUrl}/live?token=secret`, [], uncompressed));
      const lengths = [0, 1, 125, 126, 65_535, 65_536, 300_000];
      const messages = ['grüße ✓', ...lengths.map((length) => randomBytes(length))];
      for (const message of messages) client.socket.send(message);
      for (const message of messages) expect(isSame(await client.messages.next(), message)).toBe(true);
      client.socket.close(1000, 'thanks');
      expect(await client.closed).toEqual({ code: 1000, reason: 'thanks' });

      const payloads = ['grüße ✓', ...lengths].map((m) => (typeof m === 'string' ? Buffer.byteLength(m) : m));
      const closePayload = 2 + 'thanks'.length;
      const bytes = (from: 'client' | 'upstream'): number =>
        [...payloads, closePayload].reduce((sum, length) => sum + frameBytes(length, from), 0);
      await path.expectSession({
        generation: 'rfc6455',
        path: '/live',
        host: `127.0.0.1:${path.port}`,
        messagesFromClient: messages.length,
        messagesFromUpstream: messages.length,
        bytesFromClient: bytes('client'),
        bytesFromUpstream: bytes('upstream'),
        closeCodeFromClient: 1000,
        closeCodeFromUpstream: 1000,
        closedBy: 'client',
        outcome: 'client-closed',
      });
    });

    test('a message of 100 MiB each way', { timeout: 60_000 }, async () => {
      const server = await running(startWsServer(uncompressed));
      const path = await to(server);
      const client = await running(connectWs(path.wsUrl, [], uncompressed));
      const message = Buffer.alloc(100 << 20);
      for (let at = 0; at < message.length; at += 4099) message.writeUInt32LE(at, at);
      client.socket.send(message);
      const echoed = (await client.messages.next()) as Buffer;
      expect(message.equals(echoed)).toBe(true);
      client.socket.close();
      expect(await client.closed).toEqual({ code: 1005, reason: '' });
      await path.expectSession({
        messagesFromClient: 1,
        messagesFromUpstream: 1,
        bytesFromClient: frameBytes(message.length, 'client') + frameBytes(0, 'client'),
        bytesFromUpstream: frameBytes(message.length, 'upstream') + frameBytes(0, 'upstream'),
        closeCodeFromClient: 1005,
        closeCodeFromUpstream: 1005,
        outcome: 'client-closed',
      });
    });

    test('permessage-deflate from end to end', async () => {
      const compress = { perMessageDeflate: { threshold: 0, serverMaxWindowBits: 12 } };
      const server = await running(startWsServer(compress));
      const path = await to(server);
      const client = await running(connectWs(path.wsUrl, [], { perMessageDeflate: { threshold: 0 } }));
      const { request, socket } = await server.ends.next();
      expect(request?.headers['sec-websocket-extensions']).toBe('permessage-deflate; client_max_window_bits');
      expect(client.socket.extensions).toBe('permessage-deflate');
      expect(socket.extensions).toBe('permessage-deflate');

      const message = 'the same words again and again, '.repeat(4_000);
      for (const _ of [1, 2]) {
        client.socket.send(message);
        expect(await client.messages.next()).toBe(message);
      }
      client.socket.close(1000);
      await client.closed;
      await path.expectSession({
        messagesFromClient: 2,
        messagesFromUpstream: 2,
        bytesFromClient: expect.toSatisfy(isBetween(20, message.length / 50)) as number,
        bytesFromUpstream: expect.toSatisfy(isBetween(20, message.length / 50)) as number,
        closeCodeFromClient: 1000,
      });
    });

    test('several subprotocols: the server chooses', async () => {
      const handleProtocols = (offered: Set<string>): string => [...offered][1] ?? '';
      const server = await running(startWsServer({ handleProtocols }));
      const path = await to(server);
      const client = await running(connectWs(path.wsUrl, ['v3.chat', 'v2.chat', 'v1.chat']));
      const { request } = await server.ends.next();
      expect(request?.headers['sec-websocket-protocol']).toBe('v3.chat,v2.chat,v1.chat');
      expect(client.socket.protocol).toBe('v2.chat');
      client.socket.close();
      await path.expectSession({ subprotocol: 'v2.chat', generation: 'rfc6455' });
    });

    test('a HyBi-08 client', async () => {
      const server = await running(startWsServer(uncompressed));
      const path = await to(server);
      const options = { ...uncompressed, protocolVersion: 8, origin: 'http://app.example' };
      const client = await running(connectWs(path.wsUrl, [], options));
      const { request } = await server.ends.next();
      expect(request?.headers['sec-websocket-version']).toBe('8');
      expect(request?.headers['sec-websocket-origin']).toBe('http://app.example');
      client.socket.send('in the dialect of 2011');
      expect(await client.messages.next()).toBe('in the dialect of 2011');
      client.socket.close(4000, 'enough');
      expect(await client.closed).toEqual({ code: 4000, reason: 'enough' });
      await path.expectSession({
        generation: 'hybi-08',
        messagesFromClient: 1,
        messagesFromUpstream: 1,
        closeCodeFromClient: 4000,
        closeCodeFromUpstream: 4000,
        closeReasonFromClient: 'enough',
        outcome: 'client-closed',
      });
    });

    test('pings and pongs of either side, which are no messages', async () => {
      const server = await running(startWsServer(uncompressed));
      const path = await to(server);
      const client = await running(connectWs(path.wsUrl, [], uncompressed));
      const upstream = await server.ends.next();
      client.socket.ping('from the client');
      expect(await upstream.controls.next()).toBe('ping from the client');
      expect(await client.controls.next()).toBe('pong from the client');
      upstream.socket.ping('from the server');
      expect(await client.controls.next()).toBe('ping from the server');
      expect(await upstream.controls.next()).toBe('pong from the server');
      client.socket.pong('nobody asked');
      expect(await upstream.controls.next()).toBe('pong nobody asked');
      client.socket.close(1000);
      await path.expectSession({ messagesFromClient: 0, messagesFromUpstream: 0, closeCodeFromClient: 1000 });
    });

    test('fragments, a ping between them: one message', async () => {
      const server = await running(startWsServer(uncompressed));
      const path = await to(server);
      const client = await running(connectWs(path.wsUrl, [], uncompressed));
      client.socket.send('one, ', { fin: false });
      client.socket.ping('between');
      client.socket.send('two, ', { fin: false });
      client.socket.send('three', { fin: true });
      expect(await client.messages.next()).toBe('one, two, three');
      expect(await client.controls.next()).toBe('pong between');
      client.socket.close(1000);
      await path.expectSession({
        messagesFromClient: 1,
        messagesFromUpstream: 1,
        bytesFromClient: [5, 7, 5, 5, 2].reduce((sum, length) => sum + frameBytes(length, 'client'), 0),
      });
    });

    test('a server that speaks first and closes at once', async () => {
      const serve = ({ socket }: { socket: import('ws').WebSocket }): void => {
        socket.send('welcome');
        socket.send('and goodbye');
        socket.close(1001, 'going away');
      };
      const server = await running(startWsServer(uncompressed, serve));
      const path = await to(server);
      const client = await running(connectWs(path.wsUrl, [], uncompressed));
      expect(await client.closed).toEqual({ code: 1001, reason: 'going away' });
      expect(client.messages.all).toEqual(['welcome', 'and goodbye']);
      await path.expectSession({
        messagesFromUpstream: 2,
        closeCodeFromUpstream: 1001,
        closeCodeFromClient: 1001,
        closedBy: 'upstream',
        outcome: 'upstream-closed',
      });
    });

    describe.each(['client', 'upstream'] as const)('closed by the %s', (closedBy) => {
      test.each([1000, 1001, 1011, 3000, 4000, 4999])('with %d', async (code) => {
        const server = await running(startWsServer(uncompressed));
        const path = await to(server);
        const client = await running(connectWs(path.wsUrl, [], uncompressed));
        const upstream = await server.ends.next();
        const [closing, hearing] = closedBy === 'client' ? [client, upstream] : [upstream, client];
        closing.socket.close(code, 'because');
        expect(await hearing.closed).toEqual({ code, reason: 'because' });
        expect(await closing.closed).toEqual({ code, reason: 'because' });
        await path.expectSession({
          closeCodeFromClient: code,
          closeCodeFromUpstream: code,
          closedBy,
          outcome: `${closedBy}-closed`,
        });
      });

      test('without a Close frame', async () => {
        const server = await running(startWsServer(uncompressed));
        const path = await to(server);
        const client = await running(connectWs(path.wsUrl, [], uncompressed));
        const upstream = await server.ends.next();
        const [closing, hearing] = closedBy === 'client' ? [client, upstream] : [upstream, client];
        closing.socket.terminate();
        expect(await hearing.closed).toEqual({ code: 1006, reason: '' });
        await path.expectSession({ closedBy, outcome: `${closedBy}-lost` });
      });
    });

    test('fifty conversations at once stay apart', async () => {
      const server = await running(startWsServer(uncompressed));
      const path = await to(server);
      const talk = async (name: string): Promise<void> => {
        const client = await running(connectWs(`${path.wsUrl}/${name}`, [], uncompressed));
        const words = Array.from({ length: 20 }, (_, word) => `${name} ${word} ${'.'.repeat(word * 100)}`);
        for (const word of words) client.socket.send(word);
        for (const word of words) expect(await client.messages.next()).toBe(word);
        client.socket.close(1000);
        await client.closed;
      };
      await Promise.all(Array.from({ length: 50 }, (_, client) => talk(`client-${client}`)));
      for (let session = 0; session < 50; session++) {
        await path.expectSession({
          messagesFromClient: 20,
          messagesFromUpstream: 20,
          outcome: 'client-closed',
        });
      }
    });
  });

  describe('websocket (theturtle32)', () => {
    test.each([8, 13] as const)('version %d on both sides', async (version) => {
      const server = await running(startTurtleServer(['chat']));
      const path = await to(server);
      const origin = 'http://app.example';
      const client = await running(connectTurtle(`${path.wsUrl}/chat`, version, ['talk', 'chat'], origin));
      expect(client.connection.protocol).toBe('chat');
      expect(await server.ends.next()).toMatchObject({ version, origin });

      const long = 'fragmented by the sender, '.repeat(4_000);
      client.connection.sendUTF(long);
      expect(await client.lines.next()).toBe(`text ${long}`);
      client.connection.sendBytes(Buffer.from([0, 0xff, 0x80]));
      expect(await client.lines.next()).toBe('binary 00ff80');
      client.connection.close(4000, 'enough');
      expect(await client.lines.next()).toMatch(/^close 4000/);
      await path.expectSession({
        generation: version === 8 ? 'hybi-08' : 'rfc6455',
        subprotocol: 'chat',
        messagesFromClient: 2,
        messagesFromUpstream: 2,
        closeCodeFromClient: 4000,
        closedBy: 'client',
        outcome: 'client-closed',
      });
    });

    test.each([8, 13] as const)('its client (version %d) before ws', async (version) => {
      const server = await running(startWsServer());
      const path = await to(server);
      const client = await running(connectTurtle(path.wsUrl, version, [], 'http://app.example'));
      client.connection.sendUTF('hello');
      expect(await client.lines.next()).toBe('text hello');
      (await server.ends.next()).socket.close(4001, 'go');
      expect(await client.lines.next()).toBe('close 4001 go');
      await path.expectSession({
        closeCodeFromUpstream: 4001,
        closeReasonFromUpstream: 'go',
        closedBy: 'upstream',
        messagesFromClient: 1,
      });
    });

    test.each([8, 13] as const)('its server before ws (version %d)', async (protocolVersion) => {
      const server = await running(startTurtleServer());
      const path = await to(server);
      const client = await running(connectWs(path.wsUrl, [], { protocolVersion }));
      client.socket.send('hello');
      expect(await client.messages.next()).toBe('hello');
      const { connection } = await server.ends.next();
      connection.close(4002, 'go');
      expect(await client.closed).toEqual({ code: 4002, reason: 'go' });
      await path.expectSession({
        closeCodeFromUpstream: 4002,
        closedBy: 'upstream',
        messagesFromUpstream: 1,
      });
    });
  });

  // The WHATWG interface: undici's own, and the one that Node carries since 22.
  const whatwg = [
    ['undici’s WebSocket', UndiciWebSocket, npmSoftware('undici')],
    [
      'Node’s own WebSocket (since Node 22)',
      (globalThis as { WebSocket?: typeof UndiciWebSocket }).WebSocket,
      nodeSoftware('Node’s own WebSocket'),
    ],
  ] as const;

  describe.each(whatwg)('%s', (_, WebSocket, software) => {
    test.skipIf(!WebSocket)('text, binary, subprotocol, compression, close code', async () => {
      if (!WebSocket) return;
      takesPart('client', software);
      const server = await running(startWsServer({ perMessageDeflate: { threshold: 0 } }));
      const path = await to(server);
      const client = new WebSocket(`${path.wsUrl}/live`, ['v2.chat', 'v1.chat']);
      client.binaryType = 'arraybuffer';
      const messages = new Inbox<unknown>('the client');
      client.addEventListener('message', ({ data }) => messages.push(data));
      await new Promise((resolve, reject) => {
        client.addEventListener('open', resolve);
        client.addEventListener('error', reject);
      });
      expect(client.protocol).toBe('v2.chat');
      expect(client.extensions).toContain('permessage-deflate');

      client.send('grüße ✓');
      expect(await messages.next()).toBe('grüße ✓');
      client.send(new Uint8Array([0, 0xff, 0x80]));
      expect(new Uint8Array((await messages.next()) as ArrayBuffer)).toEqual(new Uint8Array([0, 0xff, 0x80]));

      const closed = new Promise((resolve) => {
        client.addEventListener('close', ({ code, reason, wasClean }) => resolve({ code, reason, wasClean }));
      });
      (await server.ends.next()).socket.close(4001, 'go');
      expect(await closed).toEqual({ code: 4001, reason: 'go', wasClean: true });
      await path.expectSession({
        subprotocol: 'v2.chat',
        messagesFromClient: 2,
        messagesFromUpstream: 2,
        closeCodeFromUpstream: 4001,
        closeCodeFromClient: 4001,
        closedBy: 'upstream',
        outcome: 'upstream-closed',
      });
    });
  });

  test('graphql-ws: a query and a subscription', async () => {
    const server = await running(startGraphqlServer());
    const path = await to(server);
    const client = graphqlClient(`${path.wsUrl}/graphql`);
    const query = client.iterate({ query: '{ greeting(name: "Tidegate") }' });
    expect(await query.next()).toMatchObject({ value: { data: { greeting: 'hello Tidegate' } } });

    const counted: unknown[] = [];
    for await (const { data } of client.iterate({ query: 'subscription { countdown(from: 3) }' })) {
      counted.push(data?.['countdown']);
    }
    expect(counted).toEqual([3, 2, 1, 0]);
    await client.dispose();
    // From the client init, two subscribes and what ends them; from the server ack, five results and two completes.
    await path.expectSession({
      path: '/graphql',
      subprotocol: 'graphql-transport-ws',
      messagesFromUpstream: 8,
      closeCodeFromClient: 1000,
      closedBy: 'client',
      outcome: 'client-closed',
    });
  });
});

/** vitest takes seconds to compare long buffers. */
function isSame(received: string | Buffer, sent: string | Buffer): boolean {
  return typeof sent === 'string' ? received === sent : Buffer.isBuffer(received) && sent.equals(received);
}

function isBetween(low: number, high: number): (value: number) => boolean {
  return (value) => value > low && value < high;
}
