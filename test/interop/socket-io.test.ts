import { describe, expect, test } from 'vitest';
import { connectEngineIo, startEngineIo } from '../fixtures/peers/engine-io.js';
import { connectSocketIo, socketIoVersions, startSocketIo } from '../fixtures/peers/socket-io.js';
import { running } from '../fixtures/running.js';
import { ways } from '../fixtures/ways.js';

const atLeast = (count: number): number => expect.toSatisfy((value: number) => value >= count) as number;

describe.each(ways)('$name', ({ to }) => {
  describe.each(socketIoVersions)('socket.io %d', (version) => {
    test('polling first, then the upgrade on the same path', async () => {
      const server = await running(startSocketIo(version));
      const path = await to(server);
      const client = await running(connectSocketIo(version, path.url));
      await client.upgraded;
      expect(client.transport()).toBe('websocket');
      expect(await client.ask('echo', 'grüße ✓')).toBe('grüße ✓');
      await path.expectRequest({ method: 'GET', path: '/socket.io/', status: 200 });
      await client.stop();
      await server.departures.next();
      await path.expectSession({
        path: '/socket.io/',
        generation: 'rfc6455',
        messagesFromClient: atLeast(3),
        messagesFromUpstream: atLeast(2),
        closedBy: 'client',
        outcome: 'client-closed',
      });
    });

    test('WebSocket only, binary and nested', async () => {
      const server = await running(startSocketIo(version));
      const path = await to(server);
      const client = await running(connectSocketIo(version, path.url, ['websocket']));
      expect(client.transport()).toBe('websocket');
      const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, index) => index % 256));
      const reply = (await client.ask('echo', { name: 'photo', parts: [bytes, Buffer.from([0xff])] })) as {
        parts: Buffer[];
      };
      expect(reply.parts.map((part) => part.length)).toEqual([70_000, 1]);
      expect(bytes.equals(Buffer.from(reply.parts[0] ?? []))).toBe(true);
      await client.stop();
      await server.departures.next();
      // The event and its acknowledgement are three each, a packet with two attachments. Beside them: in version 4 the
      // client asks for its namespace; the server opens and confirms; the client takes its leave.
      await path.expectSession({
        path: '/socket.io/',
        messagesFromClient: version === 4 ? 5 : 4,
        messagesFromUpstream: 5,
        bytesFromClient: atLeast(70_000),
        bytesFromUpstream: atLeast(70_000),
        closedBy: 'client',
        outcome: 'client-closed',
      });
    });

    test('polling only', async () => {
      const server = await running(startSocketIo(version));
      const path = await to(server);
      const client = await running(connectSocketIo(version, path.url, ['polling']));
      expect(await client.ask('echo', { text: 'grüße ✓' })).toEqual({ text: 'grüße ✓' });
      const bytes = Buffer.from([0, 1, 0x0d, 0x0a, 0xff]);
      expect(Buffer.from((await client.ask('echo', bytes)) as Buffer)).toEqual(bytes);
      expect(client.transport()).toBe('polling');
      await path.expectRequest({ method: 'POST', path: '/socket.io/', status: 200 });
    });

    test('rooms, with members on either transport', async () => {
      const server = await running(startSocketIo(version));
      const path = await to(server);
      const [speaker, member, stranger] = [
        await running(connectSocketIo(version, path.url, ['websocket'])),
        await running(connectSocketIo(version, path.url, ['polling'])),
        await running(connectSocketIo(version, path.url, ['websocket'])),
      ];
      await speaker.ask('join', 'harbour');
      await member.ask('join', 'harbour');
      await stranger.ask('join', 'elsewhere');
      speaker.tell('say', 'harbour', 'high tide at six');
      expect(await member.said.next()).toBe('high tide at six');
      speaker.tell('say', 'elsewhere', 'and low tide at noon');
      expect(await stranger.said.next()).toBe('and low tide at noon');
      expect(stranger.said.all).toHaveLength(1);
      expect(speaker.said.all).toHaveLength(0);
      for (const [client, least] of [
        [speaker, 3],
        [stranger, 1],
      ] as const) {
        await client.stop();
        await path.expectSession({
          path: '/socket.io/',
          messagesFromClient: atLeast(least),
          closedBy: 'client',
          outcome: 'client-closed',
        });
      }
    });

    test('a server that sends a client away', async () => {
      const server = await running(startSocketIo(version));
      const path = await to(server);
      const client = await running(connectSocketIo(version, path.url, ['websocket']));
      (await server.sockets.next()).disconnect(true);
      expect(await client.said.next()).toBe('disconnected: io server disconnect');
      // The client answers the farewell in socket.io's words at once; either Close may come first.
      await path.expectSession({
        path: '/socket.io/',
        messagesFromUpstream: 3,
        closeCodeFromClient: 1005,
        closeCodeFromUpstream: 1005,
        outcome: expect.stringMatching(/^(client|upstream)-closed$/) as 'upstream-closed',
      });
    });
  });

  test('engine.io alone, from polling to a compressed WebSocket', async () => {
    const server = await running(startEngineIo({ perMessageDeflate: { threshold: 0 } }));
    const path = await to(server);
    const client = await running(connectEngineIo(path.url));
    client.socket.send('still polling, or not');
    expect(await client.messages.next()).toBe('still polling, or not');
    await client.upgraded;
    const long = 'the same words again and again, '.repeat(4_000);
    client.socket.send(long);
    expect(await client.messages.next()).toBe(long);
    client.socket.send(Buffer.from([0, 0xff, 0x80]));
    expect(Buffer.from((await client.messages.next()) as Buffer)).toEqual(Buffer.from([0, 0xff, 0x80]));
    client.socket.close();
    expect(await server.departures.next()).toBe('transport close');
    await path.expectRequest({ path: '/engine.io/', method: 'GET', status: 200 });
    await path.expectSession({
      path: '/engine.io/',
      generation: 'rfc6455',
      messagesFromClient: atLeast(4),
      messagesFromUpstream: atLeast(3),
      bytesFromUpstream: expect.toSatisfy((bytes: number) => bytes < long.length / 10) as number,
      closedBy: 'client',
      outcome: 'client-closed',
    });
  });
});
