/** Applications of `@fanoutio/serve-grip` and `@fanoutio/grip`, as they are, behind a gateway. */
import type { WebSocketContext } from '@fanoutio/grip';
import { Publisher, validateSig, WebSocketMessageFormat } from '@fanoutio/grip';
import { ServeGrip } from '@fanoutio/serve-grip';
import express from 'express';
import { createServer } from 'node:http';
import { describe, expect, test } from 'vitest';
import { startGateway } from '../fixtures/gateway.js';
import { Inbox } from '../fixtures/inbox.js';
import { takesPart } from '../fixtures/interop.js';
import { watchGatewaySessions } from '../fixtures/interop-sessions.js';
import { listening } from '../fixtures/listening.js';
import { needPerl, type PerlGeneration, startPerlClient } from '../fixtures/peers/perl.js';
import { startNodeWebSocketClient } from '../fixtures/peers/socket-io-06.js';
import { running } from '../fixtures/running.js';
import { npmSoftware } from '../fixtures/software.js';

const KEY = 'a key that both know';

/** A chat as the library’s own examples write it; everything that it was told is a line. */
async function startApp() {
  takesPart('server', npmSoftware('@fanoutio/serve-grip'));
  const lines = new Inbox<string>('the application');
  const app = express();
  const serveGrip = new ServeGrip({
    grip: { control_uri: 'http://127.0.0.1:1/' },
    gripVerifyKey: KEY,
    gripProxyRequired: true,
  });
  app.use(serveGrip as unknown as express.RequestHandler);
  // serve-grip 2.0.0 does not await this, so that to it every signature is a good one.
  app.use((req, res, next) => {
    const answer = (isSigned: boolean): void => {
      if (isSigned) next();
      else res.status(401).end('signed by somebody else\n');
    };
    validateSig(String(req.headers['grip-sig']), KEY).then(answer, next);
  });
  app.post('/chat', (req, res) => {
    const { wsContext: ws } = (req as unknown as { grip: { wsContext: WebSocketContext | null } }).grip;
    if (ws === null) {
      res.status(400).end('no WebSocket\n');
      return;
    }
    if (ws.isOpening()) {
      ws.accept();
      ws.subscribe('room');
      ws.meta['user'] = 'alice';
      lines.push('open');
    }
    while (ws.canRecv()) {
      let message: string | Uint8Array | null;
      try {
        message = ws.recvRaw();
      } catch {
        lines.push('disconnect');
        break;
      }
      if (message === null) {
        lines.push(`close ${ws.closeCode}`);
        ws.close();
        break;
      }
      lines.push(`message ${String(message)} of ${ws.meta['user']}`);
      if (message === 'bye') ws.close();
      else if (message === 'done') ws.close(4001);
      else if (message === 'leave') ws.unsubscribe('room');
      else if (typeof message === 'string') ws.send(message);
      else ws.sendBinary(message);
    }
    res.end();
  });
  const server = await running(listening(createServer(app)));
  return { url: server.url, lines };
}

describe('serve-grip in Express', () => {
  test('open, echo, subscribe, publish, unsubscribe, and the client’s Close', async () => {
    const app = await startApp();
    const { connect, proxy, records, troubles } = await startGateway({
      to: app.url,
      gateway: { grip: { key: KEY } },
      more: { publish: '127.0.0.1:0' },
    });
    watchGatewaySessions(proxy);
    const [one, other] = [await connect(), await connect()];
    one.socket.send('hello');
    expect(await one.messages.next()).toBe('hello');
    await app.lines.next((line) => line === 'message hello of alice');
    one.socket.send(Buffer.from([0, 255, 16]));
    expect(await one.messages.next()).toEqual(Buffer.from([0, 255, 16]));

    const address = proxy.publish as { port: number };
    const publisher = new Publisher(`http://127.0.0.1:${address.port}/`);
    await publisher.publishFormats('room', new WebSocketMessageFormat('to all'));
    expect(await one.messages.next()).toBe('to all');
    expect(await other.messages.next()).toBe('to all');

    other.socket.send('leave');
    await app.lines.next((line) => line === 'message leave of alice');
    other.socket.send('after');
    expect(await other.messages.next()).toBe('after');
    await publisher.publishFormats('room', new WebSocketMessageFormat('to those who stayed'));
    expect(await one.messages.next()).toBe('to those who stayed');
    other.socket.send('mark');
    expect(await other.messages.next()).toBe('mark');

    one.socket.close(1000);
    expect(await one.closed).toMatchObject({ code: 1000 });
    expect(await app.lines.next((line) => line.startsWith('close'))).toBe('close 1000');
    expect(await records.next()).toMatchObject({ outcome: 'client-closed' });
    other.socket.terminate();
    expect(await app.lines.next((line) => line === 'disconnect')).toBe('disconnect');
    expect(troubles.all).toEqual([]);
  });

  test('its close() without a code is 1000; with one it is that', async () => {
    const app = await startApp();
    const { connect } = await startGateway({ to: app.url, gateway: { grip: { key: KEY } } });
    const [one, other] = [await connect(), await connect()];
    one.socket.send('bye');
    expect(await one.closed).toEqual({ code: 1000, reason: '' });
    other.socket.send('done');
    expect(await other.closed).toEqual({ code: 4001, reason: '' });
  });

  test('who is not signed for is not let in', async () => {
    const app = await startApp();
    for (const [grip, status] of [
      [{}, 501],
      [{ key: 'another key' }, 401],
    ] as const) {
      const { connect, records } = await startGateway({ to: app.url, gateway: { grip } });
      await expect(connect()).rejects.toThrow(`Unexpected server response: ${status}`);
      expect(await records.next()).toMatchObject({ status });
    }
    expect(app.lines.all).toEqual([]);
  });
});

/** What is said to them is text, and comes back; both can be told of what is published. */
describe('clients of 2010, of an application of today', () => {
  async function start() {
    const app = await startApp();
    const house = await startGateway({
      to: app.url,
      gateway: { grip: { key: KEY } },
      more: { publish: '127.0.0.1:0' },
    });
    watchGatewaySessions(house.proxy);
    const { port } = house.proxy.publish as { port: number };
    return { ...house, lines: app.lines, publisher: new Publisher(`http://127.0.0.1:${port}/`) };
  }

  test('node-websocket-client 0.9.5 (Hixie-76)', async () => {
    const { port, lines, publisher, records } = await start();
    const client = await running(startNodeWebSocketClient(`ws://127.0.0.1:${port}/chat`));
    expect(await client.lines.next()).toBe('open');
    client.write('grüße ✓');
    expect(await client.lines.next()).toBe('text grüße ✓');
    await publisher.publishFormats('room', new WebSocketMessageFormat('to all'));
    expect(await client.lines.next()).toBe('text to all');
    client.end();
    expect(await lines.next((line) => /^(?:close|disconnect)/.test(line))).toBeDefined();
    expect(await records.next()).toMatchObject({ generation: 'hixie-76', outcome: 'client-closed' });
  });

  test.skipIf(needPerl.missing).each(['hixie-75', 'hixie-76', 'hybi-08'] as const)(
    `Perl’s Protocol::WebSocket as %s${needPerl.note}`,
    async (generation: PerlGeneration) => {
      const { port, lines, publisher, records } = await start();
      const options = { host: '127.0.0.1', port, path: '/chat', generation };
      const client = await running(startPerlClient(options));
      expect(await client.lines.next()).toMatch(/^answer HTTP\/1\.1 101 /);
      expect(await client.lines.next()).toMatch(/^open/);
      client.write('hello');
      expect(await client.lines.next()).toBe('text hello');
      await publisher.publishFormats('room', new WebSocketMessageFormat('to all'));
      expect(await client.lines.next()).toBe('text to all');
      client.end();
      expect(await lines.next((line) => /^(?:close|disconnect)/.test(line))).toBeDefined();
      expect(await records.next()).toMatchObject({ generation, outcome: 'client-closed' });
    },
  );
});
